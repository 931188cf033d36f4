"""Disclosure control: building, protecting, auditing and freezing publications."""
