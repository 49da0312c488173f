"""The demo's application with a peer started before it, for a real server."""

from __future__ import annotations

import importlib
import os

from benchmarks.peers import INTERFACE, PEER

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")
importlib.import_module(f"benchmarks.peers.{os.environ[PEER]}").start()

application = importlib.import_module(f"demo_site.{os.environ[INTERFACE]}").application
