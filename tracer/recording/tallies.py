"""Tallies as they are stored: one JSON document each, compressed."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from tracer.analysis.statistics.spread import Buckets
from tracer.analysis.statistics.tally import HandoffTally, Key, Site, Tallies, Tally
from tracer.model.layers import LAYERS, Owner

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracer.analysis.statistics.spread import Spread

_PLAIN: Final = (
    "requests",
    "errors",
    "asking",
    "unknown",
    "after_ns",
    "connections",
    "threads",
    "threads_after",
    "outcomes",
    "statuses",
)
_SPREADS: Final = ("latency", "cold", "warm", "wakes")
_LISTS: Final = ("layers", "phases")
_LARGEST: Final = 1 << 26


def write_tally(key: Key, tally: Tally) -> tuple[str, bytes]:
    """Return key and value as they are stored."""
    value: dict[str, Any] = {name: getattr(tally, name) for name in _PLAIN}
    value |= {name: _spread(getattr(tally, name)) for name in _SPREADS}
    value |= {name: [_spread(one) for one in getattr(tally, name)] for name in _LISTS}
    value["details"] = [[*owner, *spent] for owner, spent in tally.details.items()]
    value["after"] = [[*owner, ns] for owner, ns in tally.after.items()]
    value["sites"] = [
        [*site, seen.count, seen.started, seen.queue_ns, _spread(seen.cost), _spread(seen.wake)]
        for site, seen in tally.sites.items()
    ]
    text = json.dumps(value, separators=(",", ":"))
    return json.dumps(key), zlib.compress(text.encode(), 1)


def read_tallies(stored: Iterable[tuple[str, bytes]]) -> Tallies:
    """Return what was stored; raise `ValueError` or its like if it can't be that."""
    tallies = Tallies()
    for key, value in stored:
        route, interface, server, weight = json.loads(key)
        inflate = zlib.decompressobj()
        text = inflate.decompress(value, _LARGEST)
        _fill(tallies[Key(route, interface, server, float(weight))], json.loads(text))
    return tallies


def _fill(tally: Tally, stored: dict[str, Any]) -> None:
    for name in _PLAIN:
        value = stored[name]
        setattr(tally, name, Counter(value) if isinstance(value, dict) else int(value))
    for name in _SPREADS:
        setattr(tally, name, Buckets.from_json(stored[name]))
    for name in _LISTS:
        setattr(tally, name, [Buckets.from_json(one) for one in stored[name]])
    if len(tally.layers) != len(LAYERS):
        raise ValueError("a tally of other layers")
    for layer, detail, part, phase, ns, times in stored["details"]:
        tally.details[Owner(layer, detail, part, phase)] = [int(ns), int(times)]
    for layer, detail, part, phase, ns in stored["after"]:
        tally.after[Owner(layer, detail, part, phase)] = int(ns)
    for name, direction, after, hops, started, queue_ns, cost, wake in stored["sites"]:
        tally.sites[Site(name, direction, bool(after))] = HandoffTally(
            Buckets.from_json(cost), Buckets.from_json(wake), int(hops), int(started), int(queue_ns)
        )


def _spread(spread: Spread) -> list[Any]:
    if not isinstance(spread, Buckets):
        raise TypeError("only spreads in buckets are stored")
    return spread.to_json()
