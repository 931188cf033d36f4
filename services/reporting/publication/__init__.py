"""Building, protecting, auditing and freezing publications."""
