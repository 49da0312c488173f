"""`tracer top`: what a running server does right now, by route and by layer."""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from tracer.commands import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, Group

    from tracer.reports.top import Shown

WINDOWS: Final[dict[str, float | None]] = {"10 s": 10.0, "60 s": 60.0, "all": None}
_LONGEST_S: Final = 61.0
_WIDTH: Final = 120
_BACKSPACE: Final = "\x7f\b"
_ENTER: Final = "\r\n"
_ESCAPE: Final = "\x1b"
_CLEARED: Final = "\x15"


@click.command()
@click.argument("recording", type=click.Path(path_type=Path), required=False)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1, max=60),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="Print it once, as without a terminal, and end.")
def top(recording: Path | None, interval: float, *, once: bool) -> None:
    """Show live what the agent of a running server sees.

    RECORDING names the server by what it records, where several are traced.
    """
    from rich.console import Console

    from tracer.agent.live import LiveError, ask

    address = _address(recording)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    watched = Watched(lambda: ask(address))
    try:
        watched.look()
        if once or not (console.is_terminal and sys.stdin.isatty()):
            console.print(watched.view((console.width, 200)), highlight=False)
        else:
            _follow(watched, console, interval)
    except LiveError as error:
        raise BadInputError(f"{error}; has its server ended?") from error
    except KeyboardInterrupt:
        return


def _address(recording: Path | None) -> str:
    """Return the socket of the agent that is meant; complain where it isn't clear which."""
    from tracer.agent.directories import SOCKET
    from tracer.agent.health import agent_statuses

    there = {
        str(one["recording"]): one["directory"] for one in agent_statuses() if "recording" in one
    }
    if recording is not None:
        directory = there.get(str(recording.absolute()))
        if directory is None:
            raise BadInputError(f"{recording}: no agent of yours is writing it")
        return f"{directory}/{SOCKET}"
    if not there:
        raise BadInputError(
            "no server is traced right now: start one with `tracer run`, or see `tracer doctor`"
        )
    if len(there) > 1:
        raise BadInputError(f"several servers are traced, name one: {', '.join(sorted(there))}")
    (directory,) = there.values()
    return f"{directory}/{SOCKET}"


class Watched:
    """Snapshots of an agent over the last minute, and how they are looked at."""

    def __init__(self, ask: Callable[[], dict[str, Any]]) -> None:
        """Begin without any; `ask` gives one."""
        from tracer.reports.top import Shown

        self.shown: Shown = Shown()
        self.over = False
        self._ask = ask
        self._seen: deque[dict[str, Any]] = deque()

    def look(self) -> None:
        """Take a snapshot, unless the view is frozen."""
        if self.shown.frozen:
            return
        self._seen.append(self._ask())
        while self._age(self._seen[0]) > _LONGEST_S:
            self._seen.popleft()

    def view(self, size: tuple[int, int]) -> Group:
        """Return what there is to see."""
        from tracer.analysis.statistics.window_stats import window_stats
        from tracer.reports.top import live_view

        before, newest = self._since(), self._seen[-1]
        seconds = self._age(before) if before else 0.0
        return live_view(newest, window_stats(newest, before), seconds, self.shown, size)

    def press(self, pressed: str) -> None:
        """Do what keys ask for."""
        if pressed.startswith(_ESCAPE) and len(pressed) > 1:
            return  # an arrow or the like, which would be read as letters
        for key in pressed:
            self.shown = self._typed(key) if self.shown.typing else self._asked(key)

    def _asked(self, key: str) -> Shown:
        from tracer.reports.top import SORTS

        names = list(WINDOWS)
        if key in SORTS:
            return replace(self.shown, sort=key)
        if key == "/":
            return replace(self.shown, typing=True)
        if key == " ":
            return replace(self.shown, frozen=not self.shown.frozen)
        if key == "w":
            place = (names.index(self.shown.window) + 1) % len(names)
            return replace(self.shown, window=names[place])
        if key == _ESCAPE:
            return replace(self.shown, wanted="")
        self.over = self.over or key == "q"
        return self.shown

    def _typed(self, key: str) -> Shown:
        wanted = self.shown.wanted
        if key in _ENTER:
            return replace(self.shown, typing=False)
        if key == _ESCAPE:
            return replace(self.shown, typing=False, wanted="")
        if key in _BACKSPACE:
            return replace(self.shown, wanted=wanted[:-1])
        if key == _CLEARED:
            return replace(self.shown, wanted="")
        return replace(self.shown, wanted=wanted + key) if key.isprintable() else self.shown

    def _since(self) -> dict[str, Any] | None:
        """Return the snapshot that the window begins with, None for all since the beginning."""
        window = WINDOWS[self.shown.window]
        if window is None:
            return None
        older = [one for one in self._seen if self._age(one) >= window]
        return older[-1] if older else self._seen[0] if len(self._seen) > 1 else None

    def _age(self, one: dict[str, Any]) -> float:
        return float(self._seen[-1]["at_ns"] - one["at_ns"]) / 1e9


def _follow(watched: Watched, console: Console, interval: float) -> None:
    """Show it until `q` or Ctrl-C."""
    from rich.live import Live

    from tracer.commands.keyboard import keys

    with keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        due = time.monotonic()
        while not watched.over:
            if time.monotonic() >= due:
                due = time.monotonic() + interval
                watched.look()
            live.update(watched.view((console.width, console.height)), refresh=True)
            watched.press(pressed(due - time.monotonic()))
