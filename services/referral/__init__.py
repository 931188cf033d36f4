"""Carries sealed envelopes, runs the referral's life, shows agencies what waits for them."""
