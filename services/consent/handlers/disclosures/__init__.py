"""Deciding and opening: the only way in which content leaves."""
