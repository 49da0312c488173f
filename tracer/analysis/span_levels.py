"""Three levels of detail: what of a tree gets a span, and where the time of the rest goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    from tracer.analysis.branch import Branch, Kind

Level = Literal["layers", "handoffs", "all"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
DEFAULT: Final[Level] = "handoffs"

_ALWAYS: Final[frozenset[Kind]] = frozenset({"handler", "core", "middleware", "view"})
_NEVER_ALONE: Final[frozenset[Kind]] = frozenset({"loose", "hop phase", "run"})

_SMALL: Final = frozenset({"gc", "lazy", "initialize", "finalize"})


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


def fold(tree: Branch, level: Level, *, whole: bool) -> Kept:
    """Return the spans of a tree; what gets none is told with what it lies in.

    `whole` says that the tree as such is a part of the trace, not all of it.
    """
    return _Folding(level, of_root=not whole).keep(tree)


class _Folding:
    def __init__(self, level: Level, *, of_root: bool) -> None:
        self._level = level
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
        if branch.kind == "run":
            return all(one is branch or one.kind in _NEVER_ALONE for one in parent.within)
        return branch.kind != "hop phase" and branch.owner.part not in _SMALL
