"""The acts of the consent service: one function and one transaction for each command or event."""
