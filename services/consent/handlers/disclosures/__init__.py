"""Deciding and opening: content leaves through here only."""
