"""Every query of reporting: one module for services' own facts, one for what is counted of survivors."""
