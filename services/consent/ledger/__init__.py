"""The ledger's entries: recorded, committed to in public leaves, signed, and verified offline."""
