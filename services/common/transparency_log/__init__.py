"""Merkle trees, tiles and signed notes, as RFC 6962 and C2SP define them; pure."""
