"""Counts labels and never opens a box: live facts about services, and person counts only in protected publications."""
