"""The public pages at `/reporting`: they are given a shelf of published files, and can reach nothing that leads further."""
