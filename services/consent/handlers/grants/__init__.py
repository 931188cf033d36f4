"""Giving and taking back permissions, and what stands before a grant."""
