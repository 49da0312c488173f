"""Python stacks of chosen requests."""
