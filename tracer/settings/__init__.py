"""What can be asked for: one reader for each family of variables."""
