"""Routes of the consent service: for agencies, for survivors, and the internal ones for intake."""
