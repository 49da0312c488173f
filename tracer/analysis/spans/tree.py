"""Segments to a tree: what ran within what.

Segments tile a window and are flat; a trace is nested. What lies within what follows from
their order alone, since code that called other code has time of its own before and after
it: a middleware seen again closes what was opened after it. A hand-off says itself when it
begins and ends. So requests whose segments came in the same order have the same tree.

Where a middleware has no time of its own on one side (an exception that passed through it),
it ends with the last that it is known to contain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracer.analysis.spans.branch import Branch, leaves
from tracer.model.layers import Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracer.analysis.attribution.request import Handoff, Segment
    from tracer.analysis.spans.branch import Kind

HOOKS: Final = frozenset({"process_view", "process_template_response", "process_exception"})
"""Called by Django's core one after the other, so no link of the chain lies within."""

LATE: Final = frozenset({"render", "stream"})
"""Parts that may come when the code they belong to has returned."""

_LOOSE: Final = frozenset({"server", "event_loop", "network", "unattributed"})
_BRIEF: Final = frozenset({"query", "connect", "gc"})
_STEPS: Final = frozenset({"initialize", "initial", "handler", "exception", "finalize"})
_CHECKS: Final = frozenset({"authentication", "permission", "throttle"})
_LINKS: Final = frozenset({"whole", "hop", "handler", "middleware"})
_CALLERS: Final = _LINKS | {"core"}
_ON_THE_LOOP: Final = frozenset({"return", "wake"})
_NOT_RUN: Final = _CALLERS | {"phase", "view", "part", "function"}
_WHOLE: Final = frozenset({"whole", "hop"})
_MIDDLEWARE: Final = frozenset({"middleware"})


def build_span_tree(segments: Sequence[Segment], handoffs: Sequence[Handoff]) -> Branch:
    """Return the tree of segments that tile; hand-offs in the order in which they began."""
    return _Builder(segments, handoffs).tree()


class _Builder:
    """A tree on its way: the open branches from the whole to the innermost."""

    def __init__(self, segments: Sequence[Segment], handoffs: Sequence[Handoff]) -> None:
        self._segments = segments
        self._waiting = list(reversed(handoffs))
        self._open = [Branch("whole", Owner("unattributed"), 0, len(segments))]
        self._loose: list[int] = []
        self._ends: list[int | None] = [None]  # of the open branches that are hand-offs
        self._place: dict[str, Callable[[int, Owner], None]] = {
            "handoff": self._hand_off,
            "handler": self._handler,
            "middleware": self._middleware,
            "view": self._view,
        }

    def tree(self) -> Branch:
        """Give each segment its place, and close what is open."""
        for number, segment in enumerate(self._segments):
            self._leave_hops(segment.start_ns)
            self._enter_hops(number, segment.start_ns)
            if segment.layer in _LOOSE:
                self._loose.append(number)
            else:
                owner = Owner(segment.layer, segment.detail, segment.part, segment.phase)
                self._place[segment.layer](number, owner)
        if self._segments:
            self._leave_hops(self._segments[-1].end_ns)
        self._close_to(0)
        return self._open[0]

    # Opening and closing.

    def _close_to(self, depth: int) -> None:
        """Leave `depth` as the innermost; what was loose until now lies in it."""
        while len(self._open) - 1 > depth:
            closed, around = self._open.pop(), self._open[-1]
            self._ends.pop()
            around.last = max(around.last, closed.last)
            if closed.last == closed.first:
                around.within.pop()
        self._settle()

    def _settle(self) -> None:
        branch = self._open[-1]
        if self._loose:
            branch.within += leaves(self._segments, self._loose)
            branch.last = max(branch.last, self._loose[-1] + 1)
            self._loose = []

    def _push(self, kind: Kind, owner: Owner, number: int, handoff: Handoff | None = None) -> None:
        self._settle()
        branch = Branch(kind, owner, number, number, handoff)
        self._open[-1].within.append(branch)
        self._open.append(branch)
        self._ends.append(None if handoff is None else handoff.end_ns)

    def _own(self, number: int) -> None:
        self._settle()
        branch = self._open[-1]
        branch.own.append(number)
        branch.last = number + 1

    # Hand-offs.

    def _leave_hops(self, instant_ns: int) -> None:
        for depth, end_ns in enumerate(self._ends):
            if end_ns is not None and end_ns <= instant_ns:
                self._close_to(depth)
                self._close_to(depth - 1)
                return

    def _enter_hops(self, number: int, instant_ns: int) -> None:
        while self._waiting and self._waiting[-1].start_ns <= instant_ns:
            handoff = self._waiting.pop()
            if handoff.end_ns > instant_ns:
                self._push("hop", Owner("handoff", handoff.site), number, handoff)

    def _hand_off(self, number: int, owner: Owner) -> None:
        depth = self._find(lambda one: (one.kind, one.owner.detail) == ("hop", owner.detail), 0)
        if depth is not None:
            self._close_to(depth)
        self._settle()
        branch = self._open[-1]
        blamed = self._blamed(branch, number) if owner.phase in _ON_THE_LOOP else []
        before = branch.within[-1] if branch.within else None
        first = blamed[0].first if blamed else number
        if before is None or (before.kind, before.owner, before.last) != (
            "hop phase", owner, first,
        ):  # fmt: skip
            before = Branch("hop phase", owner, first, first)
            branch.within.append(before)
        before.within += blamed
        before.take(number)
        branch.last = number + 1

    @staticmethod
    def _blamed(branch: Branch, number: int) -> list[Branch]:
        """Take out who had the loop just now: it is within the phase that waited for it."""
        found: list[Branch] = []
        while branch.within:
            last = branch.within[-1]
            if (last.owner.layer, last.last) != ("event_loop", number):
                break
            number = last.first
            found.insert(0, branch.within.pop())
        return found

    # Whose turn it is. Only what was opened since the last hand-off began can be closed by it.

    @property
    def _bottom(self) -> int:
        return max(depth for depth, one in enumerate(self._open) if one.kind in ("whole", "hop"))

    def _find(self, wanted: Callable[[Branch], bool], bottom: int) -> int | None:
        for depth in range(len(self._open) - 1, bottom - 1, -1):
            if wanted(self._open[depth]):
                return depth
        return None

    def _close_until(self, kinds: frozenset[str]) -> None:
        depth = len(self._open) - 1
        while self._open[depth].kind not in kinds:
            depth -= 1
        self._close_to(depth)

    def _enter(self, kind: Kind, number: int, owner: Owner, over: frozenset[str] | None) -> bool:
        """Make the branch of that kind and owner the innermost; False if it is across a hop.

        A new one lies in the innermost of the kinds `over`, or wherever we are.
        """
        depth = self._find(lambda one: one.kind == kind and one.owner == owner, 0)
        if depth is None:
            self._close_until(_NOT_RUN if over is None else over)
            self._push(kind, owner, number)
        elif depth < self._bottom:
            return False
        else:
            self._keep_parts(depth)
        return True

    def _keep_parts(self, depth: int) -> None:
        """Close what is within a branch, but parts of it: they are closed by other parts."""
        top = depth
        while top + 1 < len(self._open) and self._open[top + 1].kind == "part":
            top += 1
        if top + 1 < len(self._open):
            self._close_to(top)

    def _handler(self, number: int, owner: Owner) -> None:
        bare = Owner("handler", owner.detail)
        kind: Kind = "handler" if owner.detail is None else "function"
        over = _WHOLE if kind == "handler" else _CALLERS
        if owner.detail == "get_response":
            kind, over = "core", _LINKS
        if not self._enter(kind, number, bare, over):
            self._run(number, bare)
        self._part(number, owner)

    def _middleware(self, number: int, owner: Owner) -> None:
        bare, method = Owner("middleware", owner.detail), owner._replace(part=None)
        over = None if owner.part in LATE else _LINKS
        if owner.phase in HOOKS:
            self._enter("phase", number, method, _CALLERS)
        elif method.phase is not None and self._is_open("phase", method):
            self._enter("phase", number, method, None)
        elif not self._enter("middleware", number, bare, over):
            self._run(number, method)
        elif method.phase is not None:
            self._enter("phase", number, method, _MIDDLEWARE)
        self._part(number, owner)

    def _view(self, number: int, owner: Owner) -> None:
        bare = Owner("view", owner.detail)
        over = None if owner.part in LATE else _CALLERS
        if not self._enter("view", number, bare, over):
            self._run(number, bare)
        self._part(number, owner)

    def _is_open(self, kind: Kind, owner: Owner) -> bool:
        """Say whether there is such a branch on this side of the last hand-off."""
        bottom = self._bottom
        return self._find(lambda one: one.kind == kind and one.owner == owner, bottom) is not None

    def _run(self, number: int, owner: Owner) -> None:
        """Whoever asked for a hand-off runs in it: once, whatever its phases are."""
        bottom = self._bottom
        depth = self._find(lambda one: one.kind == "run" and one.key == owner[:2], bottom)
        if depth is None:
            self._close_to(bottom)
            self._push("run", owner, number)
            return
        self._keep_parts(depth)
        branch = self._open[depth]
        if branch.owner.phase is None:
            branch.owner = owner

    def _part(self, number: int, owner: Owner) -> None:
        """Go into the part of the innermost branch that a segment belongs to."""
        base = len(self._open) - 1
        while self._open[base].kind == "part":
            base -= 1
        if owner.part is None:
            self._close_to(base)
        else:
            same = self._find(lambda one: one.owner.part == owner.part, base + 1)
            if same is not None:
                self._close_to(same)
            else:
                self._close_to(self._asker(base, owner.part))
                self._push("part", owner, number)
        self._own(number)

    def _asker(self, base: int, part: str) -> int:
        """Return the depth of what a new part lies in."""
        depth = len(self._open) - 1
        while depth > base and part != "gc":
            around = self._open[depth].owner.part
            if part in _CHECKS and around == "initial":
                break
            if part not in _STEPS | _CHECKS and around not in _BRIEF:
                break
            depth -= 1
        return depth
