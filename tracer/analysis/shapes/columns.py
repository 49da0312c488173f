"""Figures of many requests as columns: a row a segment, a hand-off, a garbage collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]


class SegmentColumns(NamedTuple):
    """Segments of many requests, by request and time; `within` their windows."""

    request: Ints
    low: Ints
    high: Ints
    owner: Ints
    within: Flags
    runs: Flags


class HandoffColumns(NamedTuple):
    """Hand-offs of many requests; `phases` and `observed` have a row each.

    `flags` say whether one started its thread, and whether nobody waited for it;
    `event_loop_ns` is what others had of its wait for the loop.
    """

    request: Ints
    site: Ints
    flags: Flags
    phases: Ints
    observed: Flags
    event_loop_ns: Ints


class Collection(NamedTuple):
    """A garbage collection that took time from an owner of request `request`."""

    request: int
    owner: int
    ns: int
    within: bool


class Joined(NamedTuple):
    """Arrays of several requests end to end: whose each entry is, and where each one's begin."""

    values: Ints
    of: Ints
    bounds: Ints


def begins(counts: Sequence[int] | Ints) -> Ints:
    """Return where each of several stretches begins, and where the last ends."""
    found = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=found[1:])
    return found


def joined(several: Sequence[Ints]) -> Joined:
    """Lay a request's array each end to end."""
    bounds = begins([len(one) for one in several])
    of = np.repeat(np.arange(len(several)), np.diff(bounds))
    return Joined(end_to_end(several), of, bounds)


def end_to_end(several: Sequence[Ints]) -> Ints:
    """Return arrays as one."""
    every: Any = np.concatenate(several) if several else np.zeros(0, np.int64)
    found: Ints = every
    return found


def sums(places: Ints, values: Ints, size: int) -> Ints:
    """Return sums of values by place, exact below 2**53."""
    found: Ints = np.bincount(places, values, size).astype(np.int64)
    return found
