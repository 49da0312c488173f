"""What runs inside a traced worker."""
