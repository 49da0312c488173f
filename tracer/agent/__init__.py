"""The process beside the workers: it takes what they hand over and writes the recording."""
