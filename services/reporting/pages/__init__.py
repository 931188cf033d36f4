"""The public pages at `/reporting`: they read a data source of published files, and can reach nothing beyond it."""
