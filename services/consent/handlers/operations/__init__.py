"""Acts of operators: key rotation, restoring, health checks."""
