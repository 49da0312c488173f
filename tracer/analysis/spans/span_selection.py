"""What of a tree gets a span at a level of detail, and where the time of the rest goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from tracer.analysis.spans.branch import IDLE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from tracer.analysis.spans.branch import Branch, Kind
    from tracer.analysis.spans.span_levels import Level

    Ints = NDArray[np.int64]

_ALWAYS: Final[frozenset[Kind]] = frozenset({"handler", "core", "middleware", "view"})
_NEVER_ALONE: Final[frozenset[Kind]] = frozenset({"loose", "hop phase", "run"})

_SMALL: Final = frozenset({"gc", "lazy", "initialize", "finalize"})

_LONGEST: Final = 8
"""So many preemptions of a request get a span: one that shares its loop with seven has 150."""


@dataclass(slots=True, eq=False)
class Kept:
    """A branch that gets a span. `own`: its segments in no span within, by layer.

    `hops` are the hand-offs within that have no span, `phases` its own without one.
    """

    branch: Branch
    own: dict[str, list[int]] = field(default_factory=dict)
    within: list[Kept] = field(default_factory=list)
    phases: list[Branch] = field(default_factory=list)
    hops: int = 0


def longest(durations: Sequence[int], level: Level) -> list[int]:
    """Return the places of the preemptions that get a span, of all that one request had."""
    length = np.array(durations, np.int64)
    found: list[int] = longest_of_each(np.zeros(len(length), np.int64), length, level).tolist()
    return found


def longest_of_each(request: Ints, length: Ints, level: Level) -> Ints:
    """Return the rows of preemptions that get a span; rows are in order of request.

    Of several that took as long, the first.
    """
    if level == "layers":
        return np.zeros(0, np.int64)
    rows = np.arange(len(request))
    if level == "all":
        return rows
    order = np.lexsort((-length, request))
    rank = rows - np.searchsorted(request, request)  # the order is by request, too
    found: Ints = np.sort(order[rank < _LONGEST])
    return found


def select_spans(
    tree: Branch, level: Level, blockers: Collection[int] = (), *, whole: bool
) -> Kept:
    """Return the spans of a tree; the time of what gets none is its parent's.

    `whole` says that the tree as such is a part of the trace, not all of it; `blockers` are
    the segments of preemptions that get one.
    """
    return _Selection(level, blockers, of_root=not whole).keep(tree)


class _Selection:
    def __init__(self, level: Level, blockers: Collection[int], *, of_root: bool) -> None:
        self._level, self._blockers = level, blockers
        self._of_root = of_root

    def keep(self, branch: Branch) -> Kept:
        """Return a branch with what lies within."""
        kept = Kept(branch)
        self._take_own(kept, branch)
        self._take(kept, branch)
        return kept

    def _take(self, kept: Kept, branch: Branch) -> None:
        for one in branch.within:
            if self._has_span(one, branch):
                kept.within.append(self.keep(one))
                continue
            self._take_own(kept, one)
            if one.kind == "hop":
                kept.hops += 1
            if one.kind == "hop phase" and kept.branch.kind == "hop":
                kept.phases.append(one)
            self._take(kept, one)

    @staticmethod
    def _take_own(kept: Kept, branch: Branch) -> None:
        if branch.own:
            kept.own.setdefault(branch.owner.layer, []).extend(branch.own)

    def _has_span(self, branch: Branch, parent: Branch) -> bool:
        if self._level == "all" or branch.kind in _ALWAYS:
            return True
        if self._level == "layers":
            return branch.kind == "loose" and parent.kind == "whole" and self._of_root
        if branch.owner.layer == "event_loop" and branch.owner.detail not in IDLE:
            return branch.first in self._blockers
        if branch.kind == "run":
            return all(one is branch or one.kind in _NEVER_ALONE for one in parent.within)
        return branch.kind != "hop phase" and branch.owner.part not in _SMALL
