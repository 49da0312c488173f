"""Reports: conclusions made readable, for people and for programs."""
