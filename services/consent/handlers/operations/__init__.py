"""What operators need: key rotation, restoring, health checks."""
