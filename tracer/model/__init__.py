"""The words and their bytes: clock, layers, timelines, marks, names and frames."""
