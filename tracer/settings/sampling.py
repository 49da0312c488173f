"""What the operator asked to be recorded, read from the environment of a process.

`tracer run` writes its options there, so there is one reader for both. Precedence:
`TRACER_SAMPLE`, then `OTEL_TRACES_SAMPLER` with its argument, then every request.
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SAMPLE: Final = "TRACER_SAMPLE"
PATHS: Final = "TRACER_SAMPLE_PATH"
ROUTES: Final = "TRACER_SAMPLE_ROUTE"
LIMIT: Final = "TRACER_REMOTE_LIMIT"
TRUST: Final = "TRACER_TRUST_REMOTE"
SLOWER: Final = "TRACER_KEEP_SLOWER_THAN"
ERRORS: Final = "TRACER_KEEP_ERRORS"
TIMING: Final = "TRACER_SERVER_TIMING"
VARIABLES: Final = (SAMPLE, PATHS, ROUTES, LIMIT, TRUST, SLOWER, ERRORS, TIMING)
OTEL_SAMPLER: Final = "OTEL_TRACES_SAMPLER"
OTEL_ARGUMENT: Final = "OTEL_TRACES_SAMPLER_ARG"

REMOTE_LIMIT: Final = 10
"""So many requests a second and worker may a caller's flag alone have recorded."""

_FIXED: Final = {"always_on": 1.0, "always_off": 0.0}
_RATIO: Final = "traceidratio"
_BY_PARENT: Final = "parentbased_"
_KNOWN: Final = tuple(f"{by}{name}" for by in ("", _BY_PARENT) for name in (*_FIXED, _RATIO))
_UNITS_NS: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_LONGEST_NS: Final = 86_400 * _UNITS_NS["s"]
_SWITCH: Final = {"0": False, "1": True}

_Value = TypeVar("_Value")
Rules = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Which requests are recorded, and whether their responses tell how long they took.

    `rate`, and the rates by prefix of the path and by route, are shares from 0 to 1.
    With `parent_based` a caller's sampled flag decides before any rate, for at most
    `remote_limit` requests a second and worker; None where callers are trusted.
    """

    rate: float = 1.0
    parent_based: bool = False
    paths: Rules = ()
    routes: Rules = ()
    remote_limit: int | None = REMOTE_LIMIT
    keep_slower_ns: int | None = None
    keep_errors: bool = False
    server_timing: bool = False


class Problem(NamedTuple):
    """A variable that can't be used, and why: what it says is left out."""

    variable: str
    reason: str


def read_policy(environ: Mapping[str, str]) -> tuple[Policy, list[Problem]]:
    """Return what an environment asks for, and what of it can't be used."""
    problems: list[Problem] = []

    def read(variable: str, parse: Callable[[str], _Value], default: _Value) -> _Value:
        text = environ.get(variable)
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            problems.append(Problem(variable, str(error)))
            return default

    rate: float | None = read(SAMPLE, _share, None)
    parent_based = False
    if rate is None:
        sampler = read(OTEL_SAMPLER, _sampler, "")
        parent_based = sampler.startswith(_BY_PARENT)
        ratio = read(OTEL_ARGUMENT, _share, 1.0) if sampler.endswith(_RATIO) else 1.0
        rate = _FIXED.get(sampler.removeprefix(_BY_PARENT), ratio)
    trusted = read(TRUST, _switch, default=False)
    limit: int | None = read(LIMIT, _limit, None)
    policy = Policy(
        rate=rate,
        parent_based=parent_based or trusted or bool(limit),
        paths=read(PATHS, _prefixes, ()),
        routes=read(ROUTES, _rules, ()),
        remote_limit=None if trusted else REMOTE_LIMIT if limit is None else limit,
        keep_slower_ns=read(SLOWER, duration_ns, None),
        keep_errors=read(ERRORS, _switch, default=False),
        server_timing=read(TIMING, _switch, default=False),
    )
    return policy, problems


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        message = f"{text!r} is no share from 0 to 1"
        raise ValueError(message)
    return share


def _sampler(text: str) -> str:
    name = text.strip().lower()
    if name and name not in _KNOWN:
        message = f"{text!r} is no sampler known here ({', '.join(_KNOWN)})"
        raise ValueError(message)
    return name


def _rules(text: str) -> Rules:
    import shlex  # noqa: PLC0415 - few processes have rules

    found: dict[str, float] = {}
    for word in shlex.split(text):
        what, equals, share = word.rpartition("=")
        if not equals:
            message = f"{word!r} has no rate: WHAT=RATE"
            raise ValueError(message)
        if what in found:
            message = f"{what!r} is given twice"
            raise ValueError(message)
        found[what] = _share(share)
    return tuple(found.items())


def _prefixes(text: str) -> Rules:
    rules = _rules(text)
    for prefix, _ in rules:
        if not prefix.startswith("/"):
            message = f"{prefix!r} is no prefix of a path: it begins with no /"
            raise ValueError(message)
    return rules


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        message = f"{text!r} is no whole number of requests a second"
        raise ValueError(message)
    return int(text)


def _switch(text: str) -> bool:
    if text not in _SWITCH:
        message = f"{text!r} is neither 0 nor 1"
        raise ValueError(message)
    return _SWITCH[text]


def duration_ns(text: str) -> int:
    """Return a duration like `500ms` or `1.5s`; raise `ValueError` for anything else."""
    number = text.rstrip("nums")
    unit = text[len(number) :]
    try:
        length = float(number) * _UNITS_NS[unit]
    except (ValueError, KeyError):
        length = -1.0
    if not 0 <= length <= _LONGEST_NS:
        message = f"{text!r} is no duration of a day at most, like 500ms or 1.5s"
        raise ValueError(message)
    return round(length)
