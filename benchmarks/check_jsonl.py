"""Count the requests of a report and check that every one tiles, from nothing but its JSONL.

    tracer report site.tracer --format jsonl | python benchmarks/check_jsonl.py --count 2000 -

Checks what `contract.md` says of `tracer.request/1`: segments tile the window, layers
sum to it, the work after the response tiles its own window, ids are unique. Prints one
line; exits 1 if something doesn't hold, after naming the first few that don't.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LAYERS = (
    *("server", "event_loop", "handler", "handoff", "middleware", "view"),
    *("network", "unattributed"),
)
SHOWN = 5


def check(lines: Iterable[str], count: int | None = None) -> tuple[dict[str, Any], list[str]]:
    """Return the figures of a report and what does not hold in it."""
    wrong: list[str] = []
    layers: collections.Counter[str] = collections.Counter()
    seen: set[str] = set()
    total = segments = 0
    for number, line in enumerate(lines, 1):
        try:
            request = json.loads(line)
            complaints = list(_complaints(request))
            identity = request["request_id"]
        except (ValueError, KeyError, TypeError) as error:
            wrong.append(f"line {number}: no request: {error!r}")
            continue
        if identity in seen:
            complaints.append("not the first with this id")
        seen.add(identity)
        total += 1
        segments += len(request["segments"])
        layers.update(request["layers"])
        wrong += [f"line {number}: request {identity}: {complaint}" for complaint in complaints]
    if count is not None and total != count:
        wrong.append(f"{total} requests, {count} were expected")
    whole = sum(layers.values()) or 1
    figures = {
        "requests": total,
        "segments": segments,
        "wrong": len(wrong),
        "unattributed_share": round(layers["unattributed"] / whole, 6),
    }
    return figures, wrong


def _complaints(request: dict[str, Any]) -> Iterator[str]:
    if request["schema"] != "tracer.request/1":
        yield f"schema {request['schema']}"
    start, end = request["start_ns"], request["end_ns"]
    yield from _tiling("segments", request["segments"], start, end)
    finish = end + request["after_response_ns"]
    yield from _tiling("after_response", request["after_response"], end, finish)
    layers = request["layers"]
    if sum(layers.values()) != end - start:
        yield f"layers sum to {sum(layers.values())}, not {end - start}"
    found: collections.Counter[str] = collections.Counter()
    for segment in request["segments"]:
        found[segment["layer"]] += segment["end_ns"] - segment["start_ns"]
    if any(layers.get(layer, 0) != found[layer] for layer in {*layers, *found}):
        yield "layers are not the sums of their segments"
    if unknown := {*layers, *found} - set(LAYERS):
        yield f"unknown layers {sorted(unknown)}"


def _tiling(name: str, segments: list[dict[str, Any]], start: int, end: int) -> Iterator[str]:
    cursor = start
    for segment in segments:
        low, high = segment["start_ns"], segment["end_ns"]
        if not isinstance(low, int) or not isinstance(high, int):
            yield f"{name}: instants that are no integers"
            return
        if low != cursor or high <= low:
            yield f"{name}: [{low}, {high}) after {cursor}"
            return
        cursor = high
    if cursor != end:
        yield f"{name}: end at {cursor}, not at {end}"


def main() -> int:
    """Read, check, say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=argparse.FileType(encoding="utf-8"), help="- for stdin")
    parser.add_argument("--count", type=int, help="how many requests there must be")
    options = parser.parse_args()
    figures, wrong = check(options.file, options.count)
    for complaint in wrong[:SHOWN]:
        sys.stderr.write(f"{complaint}\n")
    print(" ".join(f"{name}={figure}" for name, figure in figures.items()))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
