from __future__ import annotations


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "interpreters: runs the contract under every other interpreter found"
    )
