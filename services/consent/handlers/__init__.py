"""What the consent service does: one function and one transaction for each command or event."""
