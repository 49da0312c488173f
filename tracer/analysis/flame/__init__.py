"""Flame graphs: Python stacks below the segments of a request."""
