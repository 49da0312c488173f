"""The answer in a sentence: who is slower, by how much, and through which layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracer.model.wording import count, duration, percent, plural, short
from tracer.reports.palette import NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tracer.model.layers import Layer

Entry = dict[str, Any]

# Below this ratio a difference reads better in percent.
SEVERAL_TIMES = 1.5
TIMES = "\N{MULTIPLICATION SIGN}"
WORTH_A_WORD = 0.05
NAMED = 3
NO_CULPRIT = frozenset({None, "turn", "timer granularity"})


def comparison_sentence(pair: Mapping[str, Any], a: Entry, b: Entry) -> str:
    """Say what a comparison of two found."""
    before, after = a["latency_ns"]["p50"], b["latency_ns"]["p50"]
    value, delta = pair["latency_ratio"]["value"], pair["latency_delta_ns"]
    if not value or not after:
        empty = a if not before else b
        return f"{empty['name']} has no latencies: there is nothing to compare."
    if delta["ci95"] is not None and delta["ci95"][0] <= 0 <= delta["ci95"][1]:
        low, high = (signed(end) for end in delta["ci95"])
        return (
            f"These rounds show no difference between {pair['a']} ({duration(before)} at the "
            f"median) and {pair['b']} ({duration(after)}): {low} to {high} at 95 %."
        )
    said = (
        f"{pair['b']} is {_times(value)} than {pair['a']} at the median ({_from_to(before, after)})"
    )
    causes = _causes(pair["layers"], b if after > before else a)
    return f"{said}: {causes}." if causes else f"{said}."


def certainty_sentence(pair: Mapping[str, Any]) -> str:
    """Say how sure the ratio is, and what it is without tracing."""
    ends, rounds = pair["latency_ratio"]["ci95"], pair["rounds"]
    if ends is None:
        said = "A single round says nothing about chance: repeat with more (--rounds)."
    else:
        said = (
            f"Ratio {pair['latency_ratio']['value']:.2f}, 95 % interval {ends[0]:.2f} to "
            f"{ends[1]:.2f} over {rounds[0]} and {rounds[1]} rounds."
        )
    untraced = pair["untraced_latency_ratio"]
    if untraced and untraced["value"] is not None:
        said += f" Untraced {untraced['value']:.2f}."
    return said


def report_sentence(entry: Entry) -> str:
    """Say where the time of one configuration goes."""
    if not entry["requests"]:
        return f"{entry['name']} has no recorded requests."
    layers = sorted(entry["layers"], key=lambda one: -one["share"])[:NAMED]
    parts = [
        f"{percent(one['share'])} is {_named(one['layer'], entry)}"
        for one in layers
        if one["share"] >= WORTH_A_WORD
    ]
    median = duration(entry["latency_ns"]["p50"])
    said = f"A request of {entry['name']} takes {median} at the median"
    return f"{said}: {_listed(parts)}." if parts else f"{said}."


def sampling_sentences(entry: Entry) -> list[str]:
    """Say how many requests there were where not each was recorded, and what is not known."""
    said = []
    seen = entry["requests_seen"]
    if seen and seen["seen"] > seen["sampled"]:
        kept = [
            f"{seen[name]} recorded {why}"
            for name, why in (
                ("sampled", "by sampling"),
                ("kept_slow", "for being slow"),
                ("kept_error", "for failing"),
            )
            if seen[name]
        ]
        there = f"{plural(seen['seen'], 'request')} seen"
        said.append(f"{_listed([there, *kept])}.")
    if seen and seen["remote_capped"]:
        capped = plural(seen["remote_capped"], "request")
        said.append(f"{capped} whose caller asked for a record came above the limit for that.")
    unknown = entry["requests_of_unknown_weight"]
    if unknown:
        whose = plural(unknown, "request")
        said.append(f"{whose} whose caller doesn't say how many they stand for count as one each.")
    return said


def signed(ns: float) -> str:
    """Say a difference with its sign."""
    return f"{'+' if ns > 0 else ''}{duration(ns)}"


def _times(value: float) -> str:
    word = "slower" if value > 1 else "faster"
    size = value if value > 1 else 1 / value
    return (
        f"{size:.1f}{TIMES} {word}"
        if size >= SEVERAL_TIMES
        else f"{percent(abs(1 - value))} {word}"
    )


def _from_to(before: int, after: int) -> str:
    start, end = duration(before).split(" "), duration(after).split(" ")
    said = start[0] if start[1] == end[1] else " ".join(start)
    return f"{said} → {' '.join(end)}"


def _causes(layers: Sequence[Entry], slower: Entry) -> str:
    shared = [one for one in layers if (one["share_of_delta"] or 0) >= WORTH_A_WORD]
    shared.sort(key=lambda one: -one["share_of_delta"])
    parts = [
        f"{percent(one['share_of_delta'])} "
        + ("of the difference is " if not place else "is ")
        + _named(one["layer"], slower)
        for place, one in enumerate(shared[:NAMED])
    ]
    return _listed(parts)


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts)


def _named(layer: Layer, entry: Entry) -> str:
    """Name a layer with the one figure or name that makes it concrete."""
    if layer == "handoff":
        handoffs = entry["handoffs"]
        there = handoffs["per_request"] or handoffs["to_loop_per_request"]
        return f"hand-offs ({count(there)} a request)"
    blockers = [
        one
        for one in entry["details"]
        if one["layer"] == layer == "event_loop" and one["detail"] not in NO_CULPRIT
    ]
    own = next((one for one in entry["layers"] if one["layer"] == layer), None)
    if blockers and own and blockers[0]["mean_ns"] * 2 >= own["mean_ns"]:
        return f"{NAMES[layer]} (busy with {short(blockers[0]['detail'])})"
    return NAMES[layer]
