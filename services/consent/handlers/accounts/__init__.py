"""Signing in and what it takes: sessions, passphrase, PIN, passkeys, language."""
