"""The steps of one request, nested by hand-off and folded until they fit one screen."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from tracer.model.wording import ran_there

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tracer.analysis.attribution.request import Handoff, Request, Segment

# A step this small a part of the request is folded into its neighbour.
TOO_SMALL = 0.004
# A hand-off whose work has one such owner needs no rows for what is within.
NEARLY_ALL = 0.9


@dataclass(slots=True)
class Node:
    """A hand-off (or, without one, the request) and what lies within, in order."""

    hop: Handoff | None
    items: list[Segment | Node] = field(default_factory=list)

    def segments(self) -> list[Segment]:
        """Return all segments within, also those of nested hand-offs."""
        found: list[Segment] = []
        for item in self.items:
            found.extend(item.segments() if isinstance(item, Node) else [item])
        return found


@dataclass(slots=True)
class Row:
    """One line: consecutive segments, and the hand-offs among them."""

    depth: int
    segments: list[Segment]
    hops: list[Handoff] = field(default_factory=list)
    head: bool = False

    @property
    def took_ns(self) -> int:
        """Time from the first to the last segment."""
        return self.segments[-1].end_ns - self.segments[0].start_ns

    def join(self, other: Row) -> Row:
        """Return one row of two neighbours."""
        return Row(self.depth, self.segments + other.segments, self.hops + other.hops)


def steps(request: Request, limit: int) -> list[Row]:
    """Return what is drawn: nested, folded where a row would say too little."""
    found = _flatten(_tree(request).items, 0)
    found = _fold_small(found, TOO_SMALL * request.duration_ns)
    while len(found) > max(limit, 1):
        pairs = [place for place in range(len(found) - 1) if _may_join(found, place)]
        if not pairs:
            return _drop_deepest(found, limit)
        at = min(pairs, key=lambda place: found[place].took_ns + found[place + 1].took_ns)
        found[at : at + 2] = [found[at].join(found[at + 1])]
    return found


def _tree(request: Request) -> Node:
    """Put every segment into the innermost hand-off that was going on."""
    waiting = sorted(
        (hop for hop in request.hops if not hop.after_response and not hop.overlapped),
        key=lambda hop: hop.start_ns,
        reverse=True,
    )
    open_nodes, ends = [Node(None)], [request.end_ns]
    for segment in request.segments:
        while len(ends) > 1 and ends[-1] <= segment.start_ns:
            open_nodes.pop()
            ends.pop()
        while waiting and waiting[-1].start_ns <= segment.start_ns:
            hop = waiting.pop()
            end = hop.start_ns + sum(ns or 0 for ns in hop.phases.values())
            if end > segment.start_ns:
                node = Node(hop)
                open_nodes[-1].items.append(node)
                open_nodes.append(node)
                ends.append(min(end, ends[-1]))
        open_nodes[-1].items.append(segment)
    return open_nodes[0]


def _flatten(items: Iterable[Segment | Node], depth: int) -> list[Row]:
    found: list[Row] = []
    for _, group in groupby(items, key=_same_row):
        members = list(group)
        steps = [one for one in members if not isinstance(one, Node)]
        if steps:
            found.append(Row(depth, steps))
        for one in members:
            if isinstance(one, Node):
                found.extend(_hop_rows(one, depth))
    return found


def _same_row(item: Segment | Node) -> tuple[str, str | None] | None:
    return None if isinstance(item, Node) else (item.layer, item.detail)


def _hop_rows(node: Node, depth: int) -> list[Row]:
    """Return one row for a hand-off, with rows for its work where that is not plain."""
    segments = node.segments()
    hop = node.hop
    if not segments or hop is None:
        return []
    work = [item for item in node.items if isinstance(item, Node) or item.detail != hop.site]
    plain = [item for item in work if not isinstance(item, Node)]
    if len(plain) == len(work) and _one_owner(plain):
        return [Row(depth, segments, [hop])]
    inner = _flatten(work, depth + 1)
    return [Row(depth, segments, [hop], head=True), *inner]


def _one_owner(segments: Sequence[Segment]) -> bool:
    spent: dict[tuple[str, str | None], int] = {}
    for one in segments:
        key = (one.layer, one.detail)
        spent[key] = spent.get(key, 0) + one.duration_ns
    return not spent or max(spent.values()) >= NEARLY_ALL * sum(spent.values())


def _may_join(found: Sequence[Row], place: int) -> bool:
    one, other = found[place], found[place + 1]
    return one.depth == other.depth and not one.head and not other.head


def _fold_small(found: list[Row], least_ns: float) -> list[Row]:
    """Fold steps that nobody would see, and a middleware's own code beside its hand-off."""
    folded: list[Row] = []
    for row in found:
        before = folded[-1] if folded else None
        if before is not None and _may_join([before, row], 0):
            small = min(before.took_ns, row.took_ns) < least_ns and not (before.hops and row.hops)
            if small or _same_middleware(before, row):
                folded[-1] = before.join(row)
                continue
        folded.append(row)
    return folded


def _same_middleware(one: Row, other: Row) -> bool:
    hops = one.hops + other.hops
    owners = {s.detail for row in (one, other) if not row.hops for s in row.segments}
    if len(hops) != 1 or len(owners) != 1:
        return False
    owner = owners.pop()
    return owner is not None and ran_there(hops[0].site).startswith(owner + ".")


def _drop_deepest(found: list[Row], limit: int) -> list[Row]:
    """Leave out what lies deepest: the rows above contain it."""
    while len(found) > limit:
        deepest = max(row.depth for row in found)
        if not deepest:
            return found
        found = [row for row in found if row.depth < deepest]
        for row in found:
            row.head = row.head and row.depth < deepest - 1
    return found
