"""From tallies to metrics."""
