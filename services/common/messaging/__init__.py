"""Events between services: the bus, the outbox and inbox on either side of it, and parked events."""
