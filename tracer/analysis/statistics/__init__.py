"""Tallies, summaries and comparisons of many requests."""
