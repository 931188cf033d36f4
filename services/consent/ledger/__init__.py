"""The ledger: records entries, commits to them in public leaves, signs them, and verifies them offline."""
