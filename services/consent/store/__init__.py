"""Every query of the consent service, by what it is about; no decision is made here."""
