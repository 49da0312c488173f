"""Plans with instants put in: what each of many requests took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tracer.analysis.shapes.batch_result import BatchResult, Hops, Stretches
from tracer.analysis.shapes.garbage import collect
from tracer.analysis.shapes.plan import NOBODY
from tracer.model.layers import HOP_PHASES, LAYERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tracer.analysis.shapes.batch import Batch, Shapes
    from tracer.analysis.shapes.occupancy import Found, Log
    from tracer.analysis.shapes.plan import InternTable, Plan

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

_PHASES: Final = len(HOP_PHASES)
_LAYERS: Final = len(LAYERS)
_RUN: Final = HOP_PHASES.index("run")
_TIME_BITS: Final = 42


def tell(  # noqa: PLR0913, PLR0917 - the parts of one batch
    batch: Batch, shapes: Shapes, places: list[int], plans: list[Plan], book: InternTable, log: Log
) -> BatchResult:
    """Put the instants of the timelines at `places` into their plans."""
    heads = [batch.heads[place] for place in places]
    at = np.array(places, np.int64)
    base = shapes.bounds[at]
    instants = shapes.instants
    ends = instants[base + np.array([one.end for one in plans], np.int64)]
    finishes = instants[base + np.array([one.finish for one in plans], np.int64)]
    told = BatchResult(len(places), ends, finishes - ends)
    segments, on = _segments(plans, base, instants)
    hops, returns = _hops(plans, base, instants)
    found = others(
        batch, shapes, at, log, (segments, on), returns, np.array([h.start_ns for h in heads])
    )
    of_hops = found.stretch >= len(segments.low)
    hop = found.stretch[of_hops] - len(segments.low)
    lost = _sums(hop, (found.high - found.low)[of_hops], len(hops.cost))
    told.hops = hops._replace(cost=np.maximum(hops.cost - lost, 0))
    told.segments = _split(segments, found, ~of_hops, book)
    collect(told, shapes, places, book)
    layer = np.array([LAYERS.index(one.layer) for one in book.owners.things], np.int64)
    query = np.array([one.part == "query" for one in book.owners.things], bool)
    one, within = told.segments, told.segments.within
    spent = _sums(
        (one.request * _LAYERS + layer[one.owner])[within],
        (one.high - one.low)[within],
        told.count * _LAYERS,
    )
    told.layers = spent.reshape(told.count, _LAYERS)
    told.queried[one.request[within & query[one.owner]]] = True
    return told


def _segments(plans: list[Plan], base: Ints, instants: Ints) -> tuple[Stretches, Ints]:
    counts = np.array([len(one.low) for one in plans], np.int64)
    request = np.repeat(np.arange(len(plans)), counts)
    offset = base[request]
    place = np.arange(len(request)) - np.repeat(np.cumsum(counts) - counts, counts)
    windows = np.array([one.windows for one in plans], np.int64)
    segments = Stretches(
        request,
        instants[_joined(plans, "low") + offset],
        instants[_joined(plans, "high") + offset],
        _joined(plans, "owner"),
        place < windows[request],
        np.concatenate([one.runs for one in plans]),
    )
    return segments, _joined(plans, "busy_on")


def _hops(plans: list[Plan], base: Ints, instants: Ints) -> tuple[Hops, tuple[Ints, ...]]:
    counts = np.array([len(one.hop_site) for one in plans], np.int64)
    request = np.repeat(np.arange(len(plans)), counts)
    first = np.cumsum(counts) - counts
    cuts = np.array([len(one.cut_hop) for one in plans], np.int64)
    offset = np.repeat(base, cuts)
    length = (
        instants[_joined(plans, "cut_high") + offset] - instants[_joined(plans, "cut_low") + offset]
    )
    cell = (_joined(plans, "cut_hop") + np.repeat(first, cuts)) * _PHASES
    spent = _sums(cell + _joined(plans, "cut_phase"), length, len(request) * _PHASES)
    phases = spent.reshape(len(request), _PHASES)
    hops = Hops(
        request,
        _joined(plans, "hop_site"),
        np.concatenate([one.hop_flags for one in plans]),
        phases,
        np.concatenate([one.observed for one in plans]),
        phases.sum(axis=1) - phases[:, _RUN],
    )
    offset = base[request]
    low = instants[_joined(plans, "return_low") + offset]
    high = instants[_joined(plans, "return_high") + offset]
    return hops, (request, low, high, _joined(plans, "return_on"))


def others(  # noqa: PLR0913, PLR0917 - two kinds of stretches
    batch: Batch,
    shapes: Shapes,
    at: Ints,
    log: Log,
    segments: tuple[Stretches, Ints],
    returns: tuple[Ints, ...],
    start: Ints,
) -> Found:
    """Find what others ran in stretches of segments, and after these in returns of hops."""
    ones, on = segments
    request = np.concatenate([ones.request, returns[0]])
    low = np.concatenate([ones.low, returns[1]]) + start[request]
    high = np.concatenate([ones.high, returns[2]]) + start[request]
    thread = np.concatenate([on, returns[3]])
    group = np.full(len(request), -1, np.int64)
    some = np.flatnonzero(thread != NOBODY)
    whose = np.array(batch.workers, np.int64)[at[request[some]]]
    ident = shapes.threads[shapes.thread_base[at[request[some]]] + thread[some]]
    known, number = np.unique(ident, return_inverse=True)
    pairs, place = np.unique(whose * len(known) + number, return_inverse=True)
    groups = [
        log.group(pair // len(known), int(known[pair % len(known)])) for pair in pairs.tolist()
    ]
    if groups:
        group[some] = np.array(groups, np.int64)[place]
    sequence = np.array([batch.heads[place].sequence for place in at.tolist()], np.int64)
    return log.others(group, low, high, sequence[request], start[request])


def _split(one: Stretches, found: Found, mine: Flags, book: InternTable) -> Stretches:
    """Give to the event loop what others ran; what is left of a segment stays its own."""
    if not mine.any():
        return one
    stretch, low, high = found.stretch[mine], found.low[mine], found.high[mine]
    known, number = np.unique(found.blocker[mine], return_inverse=True)
    owners = np.array([book.blocker(text) for text in known.tolist()], np.int64)[number]
    first = np.diff(stretch, prepend=-1) != 0
    last = np.diff(stretch, append=-1) != 0
    before = np.where(first, one.low[stretch], np.roll(high, 1))
    whole = np.ones(len(one.low), bool)
    whole[stretch] = False
    kept = np.flatnonzero(whole)
    source = np.concatenate([kept, stretch, stretch, stretch[last]])
    lows = np.concatenate([one.low[kept], before, low, high[last]])
    highs = np.concatenate([one.high[kept], low, high, one.high[stretch[last]]])
    owner = one.owner[source]
    taken = slice(len(kept) + len(stretch), len(kept) + 2 * len(stretch))
    owner[taken] = owners
    runs = one.runs[source]
    runs[taken] = False
    some = lows < highs
    chosen = np.flatnonzero(some)
    order = np.argsort((source[chosen] << _TIME_BITS) + lows[chosen], kind="stable")
    chosen = chosen[order]
    source = source[chosen]
    return Stretches(
        one.request[source], lows[chosen], highs[chosen], owner[chosen], one.within[source],
        runs[chosen],
    )  # fmt: skip


def _sums(places: Ints, values: Ints, size: int) -> Ints:
    """Return sums of values by place, exact below 2**53."""
    found: Ints = np.bincount(places, values, size).astype(np.int64)
    return found


def _joined(plans: list[Plan], name: str) -> Ints:
    every: Any = np.concatenate([getattr(one, name) for one in plans])
    found: Ints = every
    return found
