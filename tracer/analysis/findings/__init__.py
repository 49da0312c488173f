"""Causes with evidence, advice and predicted saving."""
