"""Her other rights: export, erasure, statistics, contacts, corrections, letters."""
