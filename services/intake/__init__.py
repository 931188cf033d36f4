"""Takes events in: agencies, their tokens, and the events they post. It seals envelopes and cannot open them."""
