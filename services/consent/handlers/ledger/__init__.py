"""Publishing the ledger as a tree, with witnesses and receipts."""
