"""From the options of `tracer compare` to experiments; what can't be meant is a ValueError."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from tracer.compare.address import parse_command
from tracer.compare.demo import PATH, demo_configurations
from tracer.compare.experiment import Configuration, Experiment
from tracer.compare.load import LoadPlan

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUNDS = 10
REQUESTS = 100
_SECONDS_A_ROUND = 1.5  # unless requests are given: a slow site has fewer in a round
_WARMUP = 20
_BESIDE_CONCURRENCY = 10
_BESIDE_ROUNDS = 5
_BESIDE_SECONDS = 0.8
_NAME = re.compile(r"\w[\w.-]*")
_PATH_SAFE = "/?&=%:;,+~!$'()*@"
_FORM = ("Content-Type", "application/x-www-form-urlencoded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line, as it was given; `flame` are the variables its options stand for."""

    a: str | None = None
    b: str | None = None
    config: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    method: str | None = None
    header: tuple[str, ...] = ()
    data: str | None = None
    rounds: int | None = None
    requests: int | None = None
    concurrency: int | None = None
    rate: float | None = None
    connection: Literal["keep-alive", "close"] = "keep-alive"
    include_errors: bool = False
    record: str | None = None
    flame: Mapping[str, str] = field(default_factory=dict)


def experiments_of(options: Options) -> list[Experiment]:
    """Return what is to be run: without configurations the demo, at concurrency 1 and at 10."""
    if options.rate and options.concurrency:
        raise ValueError("--rate and --concurrency exclude each other")
    given = _configurations(options)
    load = _load(options, PATH if not given else "/")
    experiment = Experiment(
        configurations=given or demo_configurations(),
        load=load,
        rounds=options.rounds or ROUNDS,
        include_errors=options.include_errors,
        record_directory=None if options.record is None else Path(options.record),
        flame=options.flame,
    )
    if given or options.rate or options.concurrency:
        return [experiment]
    seconds = load.max_seconds and _BESIDE_SECONDS
    beside = replace(
        experiment,
        load=replace(load, concurrency=_BESIDE_CONCURRENCY, max_seconds=seconds),
        rounds=min(experiment.rounds, _BESIDE_ROUNDS),
        suffix=f"-c{_BESIDE_CONCURRENCY}",
        flame={},
    )
    return [experiment, beside]


def _configurations(options: Options) -> tuple[Configuration, ...]:
    pairs = [(name, text) for name, text in (("a", options.a), ("b", options.b)) if text]
    for text in options.config:
        name, sign, command = text.partition("=")
        if not sign or not _NAME.fullmatch(name):
            raise ValueError(f"--config {text!r} is not NAME=CMD")
        pairs.append((name, command))
    name, times = Counter(name for name, _ in pairs).most_common(1)[0] if pairs else ("", 0)
    if times > 1:
        raise ValueError(f"two configurations are named {name!r}")
    if len(pairs) == 1:
        raise ValueError(f"there is nothing to compare {name!r} with: give one configuration more")
    for _, command in pairs:
        parse_command(command, 0)
    return tuple(Configuration(name, command) for name, command in pairs)


def _load(options: Options, path: str) -> LoadPlan:
    concurrency = options.concurrency or 1
    headers = tuple(_header(text) for text in options.header)
    if options.data is not None and not any(name.lower() == "content-type" for name, _ in headers):
        headers = (*headers, _FORM)
    return LoadPlan(
        port=0,
        targets=tuple(
            quote(f"/{one.lstrip('/')}", safe=_PATH_SAFE) for one in options.path or (path,)
        ),
        method=(options.method or ("GET" if options.data is None else "POST")).upper(),
        headers=headers,
        body=(options.data or "").encode(),
        requests=options.requests or REQUESTS,
        warmup=max(_WARMUP, 2 * concurrency),
        concurrency=concurrency,
        rate=options.rate,
        connection=options.connection,
        max_seconds=None if options.requests else _SECONDS_A_ROUND,
    )


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ValueError(f"--header {text!r} is not 'Name: value'")
    return name.strip(), value.strip()
