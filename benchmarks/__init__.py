"""What tracing costs, and what others cost: `python -m benchmarks --help`."""
