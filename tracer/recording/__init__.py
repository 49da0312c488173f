"""Sinks take what workers hand over; they run beside the workers, not in them."""
