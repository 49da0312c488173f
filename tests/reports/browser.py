"""A real Chromium for tests, and what a page in it complained of or asked the network for."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def missing(why):
    """Skip; where CI is to be trusted, a test that can't be run has failed."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"no browser to test the page in: {why}")
    pytest.skip(why)


@contextmanager
def chromium():
    """Start Chromium, Debian's where it is there, else Playwright's own."""
    try:
        from playwright import sync_api as sync
    except ImportError:
        missing("playwright isn't installed")
    path = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    with sync.sync_playwright() as playwright:
        if path is None and not Path(playwright.chromium.executable_path).exists():
            missing("no chromium: tests/install_browser.sh installs it")
        browser = playwright.chromium.launch(executable_path=path, args=list(SWITCHES))
        try:
            yield browser
        finally:
            browser.close()


class Opened:
    """A page in a context of its own, with all that it said and asked for."""

    def __init__(self, browser, path, **options):
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, **options}
        )
        self.page = self.context.new_page()
        self.said = []
        self.asked = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-ready]", timeout=10_000)

    def frames(self):
        """Wait until what was asked to be drawn is drawn."""
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
