"""All queries of the consent service, by subject; no decision is made here."""
