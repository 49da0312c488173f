"""A flame in the formats of its readers: one file a format."""
