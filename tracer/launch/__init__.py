"""How tracing is switched on: in this process, in a server's, and by whom."""
