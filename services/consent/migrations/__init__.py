"""Migrations of the consent service's database, oldest first."""
