"""The front door: agencies, their tokens, and the events they post. Locks boxes, cannot unlock them."""
