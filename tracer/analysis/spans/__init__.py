"""From segments to trees of spans."""
