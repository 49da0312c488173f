"""What the demo raises on purpose."""

from __future__ import annotations


class DemoError(Exception):
    """Nobody handles it: Django answers 500."""


class HandledError(Exception):
    """The demo's middlewares answer it in `process_exception`."""
