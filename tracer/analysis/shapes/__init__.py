"""Many requests at once: those whose marks came in the same order are attributed once."""
