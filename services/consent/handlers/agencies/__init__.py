"""Acts of agencies about a survivor whom they know."""
