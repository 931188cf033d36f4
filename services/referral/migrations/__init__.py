"""The steps by which this service's database came to its present shape, oldest first."""
