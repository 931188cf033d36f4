"""The consent service's doors: for agencies, for survivors, and the inner one for intake."""
