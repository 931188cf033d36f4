"""Measured ratios: how fast the hub is beside a bare baseline in the same run."""
