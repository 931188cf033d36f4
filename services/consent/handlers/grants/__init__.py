"""Giving and taking back permissions, and the steps before a grant."""
