from __future__ import annotations


def pytest_configure(config):
    config.addinivalue_line("markers", "soak: loads servers for the best part of a minute")
