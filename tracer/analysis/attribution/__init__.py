"""One request: from its marks to segments that tile its window."""
