"""Connections, transactions, migrations and locks on SQLite and PostgreSQL."""
