"""Telling agencies what to stop using."""
