"""Which request has its Python stacks taken: one at a time in a process, within a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracer.model.clock import now
from tracer.model.stackframes import EXACT, SAMPLED, SOURCES, encode
from tracer.model.traceparent import HEADERS
from tracer.runtime.stacks.capture import Capture
from tracer.runtime.stacks.sources import ProfilerTakenError, call_cost_ns, has_sampler, source_of
from tracer.settings.flame import HEADER

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.model.timeline import Timeline
    from tracer.model.traceparent import ReadHeaders
    from tracer.runtime.stacks.sources import Source
    from tracer.settings.flame import FlamePolicy

_SECOND_NS: Final = 1_000_000_000
_ROUTES: Final = 10_000


class Arming:
    """Decides for one process, and holds the one capture that is under way.

    No locks: two threads that arm in the same microsecond are told apart by whose
    source starts last; the other's capture finds itself closed.
    """

    def __init__(self, policy: FlamePolicy, say: Callable[[str], None]) -> None:
        """Decide by a policy; `say` takes why nothing can be armed, once."""
        self._policy = policy
        self._say = say
        self._since_ns = now()
        self._used_ns = 0
        self._count = 0
        self._due_ns = 0
        self._routes: dict[str, int] = {}
        self._slow: set[int] = set()
        self._armed: tuple[int, Capture, Source] | None = None
        wanted = policy.source or SOURCES[SAMPLED if has_sampler() else EXACT]
        self._kind = SOURCES.index(wanted)
        if policy.secret:
            HEADERS.add(HEADER)

    def consider(self, timeline: Timeline) -> None:
        """Arm a request that begins now on this thread, if it is one that is wanted."""
        try:
            if self._armed is not None and not self._let_go_of_the_lost():
                return
            if self._is_wanted(timeline.path, timeline.read_headers) and self._has_budget():
                self._arm(timeline)
        except Exception as error:  # noqa: BLE001 - a request never fails because of us
            self._disarm()
            self._say(repr(error))

    def ended(self, timeline: Timeline, finish_ns: int) -> Callable[[int, int], bytes] | None:
        """Disarm if it is this request that is armed.

        What is returned makes the frame, of a request id and how many bytes it may have;
        where that fails it is empty: stacks are lost, never the timeline.
        """
        try:
            return self._ended(timeline, finish_ns)
        except Exception as error:  # noqa: BLE001 - the timeline matters more
            self._say(repr(error))
            return None

    def _ended(self, timeline: Timeline, finish_ns: int) -> Callable[[int, int], bytes] | None:
        if self._policy.when == "slower":
            self._learn(timeline, finish_ns)
        if self._armed is None or self._armed[0] != id(timeline):
            return None
        _, capture, source = self._armed
        timeline.entered = None
        self._disarm()

        def finish(request_id: int, most: int) -> bytes:
            try:
                cost = call_cost_ns(type(source)) if capture.source == EXACT else 0
                return encode(capture.finish(request_id, cost), most)
            except Exception as error:  # noqa: BLE001 - the timeline matters more
                self._say(repr(error))
                return b""

        return finish

    def after_fork(self) -> None:
        """Nothing is armed in a forked child."""
        if self._armed is not None:
            self._disarm()
        self._since_ns, self._used_ns = now(), 0

    def _arm(self, timeline: Timeline) -> None:
        capture = Capture(timeline, self._kind, self._policy.interval_ns)
        try:
            source = source_of(capture)
            source.start()
        except ProfilerTakenError as error:
            if not error.by_us:
                self._say(str(error))
            return
        self._armed = (id(timeline), capture, source)
        timeline.entered = source.enter

    def _disarm(self) -> None:
        if self._armed is not None:
            _, capture, source = self._armed
            capture.closed = True
            try:
                source.stop()
            finally:  # last: until then no other thread arms
                self._armed = None
            self._used_ns += now() - capture.start_ns

    def _let_go_of_the_lost(self) -> bool:
        """Disarm a request that never ended; say whether another may be armed."""
        if self._armed is None or self._armed[1].is_expired():
            self._disarm()
            return True
        return False

    def _is_wanted(self, path: str | None, read_headers: ReadHeaders | None) -> bool:
        policy = self._policy
        if policy.when == "all":
            return True
        if policy.when == "every":
            self._count += 1
            return self._count % policy.every == 0
        if policy.when == "slower":
            route = self._routes.get(path or "")
            if route not in self._slow:
                return False
            self._slow.discard(route)
            return True
        return self._has_secret(read_headers)

    def _has_secret(self, read_headers: ReadHeaders | None) -> bool:
        given = read_headers().get(HEADER) if read_headers is not None else None
        if not given:
            return False
        from hmac import compare_digest  # noqa: PLC0415 - only where a secret is given

        instant = now()
        if instant < self._due_ns:
            return False
        self._due_ns = instant + _SECOND_NS  # wrong ones count too: none is tried in bulk
        return compare_digest(given.encode(), self._policy.secret.encode())

    def _has_budget(self) -> bool:
        policy = self._policy
        if policy.budget_ns is not None:
            return self._used_ns < policy.budget_ns
        # A second in advance, so that a young process can be looked at.
        return self._used_ns <= policy.share * (now() - self._since_ns) + _SECOND_NS

    def _learn(self, timeline: Timeline, finish_ns: int) -> None:
        """Remember which path leads to which route, and which route was slow."""
        path, route = timeline.path, timeline.route
        if not path or not route:
            return
        if len(self._routes) >= _ROUTES and path not in self._routes:
            self._routes.clear()
        self._routes[path] = route
        if (timeline.last_ns or finish_ns) - timeline.start_ns > self._policy.slower_ns:
            self._slow.add(route)
