"""Access tokens, DPoP proofs and signed JSON."""
