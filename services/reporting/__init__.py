"""Counts labels and never opens an envelope: live facts about services, and person counts only in protected publications."""
