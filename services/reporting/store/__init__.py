"""Every query of reporting: services' own facts, what is counted of survivors, and publications."""
