"""Of which requests the operator wants Python stacks, read from the environment of a process.

`tracer run` writes its options there, so there is one reader for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from tracer.settings.sampling import Problem, duration_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FLAME: Final = "TRACER_FLAME"
SOURCE: Final = "TRACER_FLAME_SOURCE"
INTERVAL: Final = "TRACER_FLAME_INTERVAL"
BUDGET: Final = "TRACER_FLAME_BUDGET"
SECRET: Final = "TRACER_FLAME_SECRET"  # noqa: S105 - the name of the variable
VARIABLES: Final = (FLAME, SOURCE, INTERVAL, BUDGET, SECRET)
HEADER: Final = "x-tracer-flame"

INTERVAL_NS: Final = 500_000
SHARE: Final = 0.1
"""So much of the time may a process be armed, unless `all` is asked for."""

_INTERVALS_NS: Final = range(10_000, 1_000_000_001)
_SHORTEST_SECRET: Final = 8

_Value = TypeVar("_Value")
When = Literal["all", "every", "slower", "header"]


@dataclass(frozen=True, slots=True)
class FlamePolicy:
    """Of which requests stacks are taken, and how.

    `every` is N of 1 in N, `slower_ns` the duration after which a route's next request is
    taken. `source` is None for samples where pyinstrument is installed, else exact calls.
    A process may be armed for `share` of the time and for `budget_ns` in all.
    """

    when: When
    every: int = 1
    slower_ns: int = 0
    secret: str = ""
    source: str | None = None
    interval_ns: int = INTERVAL_NS
    share: float = 1.0
    budget_ns: int | None = None


def read_flame_policy(environ: Mapping[str, str]) -> tuple[FlamePolicy | None, list[Problem]]:
    """Return what an environment asks for, None for nothing, and what can't be used.

    Nothing is armed by a `TRACER_FLAME` that can't be used.
    """
    text = environ.get(FLAME, "")
    if not text:
        return None, []
    problems: list[Problem] = []

    def read(variable: str, parse: Callable[[str], _Value], default: _Value) -> _Value:
        given = environ.get(variable)
        if not given:
            return default
        try:
            return parse(given)
        except ValueError as error:
            problems.append(Problem(variable, str(error)))
            return default

    when: tuple[When, int, int] | None = read(FLAME, _when, None)
    secret = environ.get(SECRET, "")
    if when is None:
        return None, problems
    kind, every, slower_ns = when
    if kind == "header" and len(secret) < _SHORTEST_SECRET:
        reason = f"header wants a secret of {_SHORTEST_SECRET} characters at least"
        return None, [Problem(SECRET, reason)]
    unasked: tuple[float, int | None] = (1.0 if kind == "all" else SHARE, None)
    share, budget_ns = read(BUDGET, _budget, unasked)
    policy = FlamePolicy(
        when=kind,
        every=every,
        slower_ns=slower_ns,
        secret=secret,
        source=read(SOURCE, _source, None),
        interval_ns=read(INTERVAL, _interval_ns, INTERVAL_NS),
        share=share,
        budget_ns=budget_ns,
    )
    return policy, problems


def _when(text: str) -> tuple[When, int, int] | None:
    if text == "all":
        return "all", 1, 0
    if text == "header":
        return "header", 1, 0
    if text.startswith("1/") and text[2:].isascii() and text[2:].isdigit() and int(text[2:]):
        return "every", int(text[2:]), 0
    if text.startswith("slower="):
        return "slower", 1, duration_ns(text.removeprefix("slower="))
    message = f"{text!r} is none of all, 1/N, slower=DURATION, header"
    raise ValueError(message)


def _source(text: str) -> str | None:
    if text not in {"sampled", "exact"}:
        message = f"{text!r} is neither sampled nor exact"
        raise ValueError(message)
    return text


def _interval_ns(text: str) -> int:
    interval = duration_ns(text)
    if interval not in _INTERVALS_NS:
        message = f"{text!r} is not between 10us and 1s"
        raise ValueError(message)
    return interval


def _budget(text: str) -> tuple[float, int | None]:
    if text.endswith("%"):
        try:
            share = float(text[:-1]) / 100
        except ValueError:
            share = -1.0
        if not 0 < share <= 1:
            message = f"{text!r} is no share up to 100%"
            raise ValueError(message)
        return share, None
    return 1.0, duration_ns(text)
