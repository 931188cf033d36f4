"""How long services keep what has ended: what is not kept cannot be searched, ordered out by a court, or stolen."""

from datetime import timedelta

KEPT = timedelta(days=400)
"""A year, and a month in which questions about it are asked. Survivors' own records last until they erase them."""
