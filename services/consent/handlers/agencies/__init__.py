"""What agencies do about a survivor whom they know."""
