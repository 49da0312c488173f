"""Pure functions: finished timelines in, conclusions out."""
