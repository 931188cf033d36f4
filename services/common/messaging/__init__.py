"""Events between services: the bus, the outbox and inbox on either side of it, and what is set aside."""
