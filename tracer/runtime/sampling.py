"""Which requests are recorded: decided when a request's head is known, or else at its end.

A rate is a threshold on 56 random bits; a request is kept where they are at or above it.
Where callers are trusted the bits are those of the trace id that OpenTelemetry's consistent
probability sampling looks at, or `ot=rv:` of `tracestate` in their stead, so every service
that asks for the same rate keeps the same traces. From anybody else they could be chosen to
have a request recorded: then they are drawn here.
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Final, NamedTuple

from tracer.model.clock import now
from tracer.model.frames import COUNTERS, ERROR, PARENT, RATE, SLOW
from tracer.model.randomness import random_bits
from tracer.model.traceparent import Parent, parse_probability, parse_traceparent

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.model.timeline import Timeline
    from tracer.model.traceparent import ReadHeaders
    from tracer.settings.sampling import Policy

UNSEEN: Final = "a request that is not recorded"
"""What kept a thread busy, where nothing more is known of it."""

_BITS: Final = 56
_SPACE: Final = 1 << _BITS
_REST_BITS: Final = 128 - _BITS
_NOT_KEPT: Final = -1
_SERVER_ERROR: Final = 500
_NEVER_NS: Final = 1 << 62
_SECOND_NS: Final = 1_000_000_000
SEEN, SAMPLED, _KEPT_SLOW, _KEPT_ERROR, _CAPPED = range(len(COUNTERS))


class Rate(NamedTuple):
    """A share of requests as the smallest randomness that is kept, and what one stands for."""

    threshold: int
    weight: float

    @classmethod
    def of(cls, share: float) -> Rate:
        """Return the threshold of a share from 0 to 1."""
        kept = round(share * _SPACE)
        return cls(_SPACE - kept, _SPACE / kept if kept else math.nan)


class Verdict(NamedTuple):
    """What was decided about a request when its head was known.

    `kept` is why it is recorded, negative where only its end can be a reason to;
    `weight` is NaN where unknown. With `final` no route's rate applies.
    """

    kept: int
    weight: float
    randomness: int = 0
    trace_id: int = 0
    parent_span_id: int | None = None
    final: bool = True


EVERY: Final = Verdict(RATE, 1.0)
"""Where every request is recorded, there is nothing to decide, and no head is read."""


DROPPED: Final = Verdict(_NOT_KEPT, math.nan)
"""The head of a request was known, and nothing that comes can have it recorded."""


class Sampler:
    """Decides for one worker, and counts what it decided.

    No locks: each count and the bucket is one store, and a race of two threads for
    the last token lets one request too many be recorded.
    """

    def __init__(self, policy: Policy, name: Callable[[str], int]) -> None:
        """Prepare to decide by a policy; `name` gives a route its number."""
        self._name = name
        self._root = Rate.of(policy.rate)
        self._prefixes = tuple(
            (prefix, Rate.of(rate))
            for prefix, rate in sorted(policy.paths, key=lambda rule: -len(rule[0]))
        )
        self._routes = {name(route): Rate.of(rate) for route, rate in policy.routes}
        self._lowest = min((rate.threshold for rate in self._routes.values()), default=_SPACE)
        self._parent_based = policy.parent_based
        self._trusted = policy.remote_limit is None
        limit = policy.remote_limit or 0
        self._interval_ns = _SECOND_NS // limit if limit else 0
        self._burst_ns = (limit - 1) * self._interval_ns if limit else -_NEVER_NS
        self._due_ns = 0
        slower = policy.keep_slower_ns
        self._slower_ns = _NEVER_NS if slower is None else slower
        self._keep_errors = policy.keep_errors
        self._tail = slower is not None or policy.keep_errors
        plain = not (policy.paths or policy.routes or policy.parent_based)
        self.every = plain and not self._root.threshold
        """Every request is recorded, whatever it is."""
        self.never = plain and self._root.threshold == _SPACE and not self._tail
        """No request is recorded, whatever it is."""
        self.counts = array("Q", bytes(8 * len(COUNTERS)))

    def judge(self, path: str | None, read_headers: ReadHeaders | None) -> Verdict | None:
        """Count a request whose head is known; None if it is not recorded, whatever comes.

        `path` is None and there are no headers where the server could not read them.
        """
        self.counts[SEEN] += 1
        if self.every:
            return EVERY
        if self.never:
            return None
        rate = self._root
        final = False
        if path is not None:
            for prefix, own in self._prefixes:
                if path.startswith(prefix):
                    rate, final = own, own.threshold == _SPACE
                    break
        if final and not self._tail and not self._parent_based:
            return None
        headers = read_headers() if read_headers is not None else {}
        parent = parse_traceparent(headers.get("traceparent"))
        if parent is not None:
            return self._judge_child(rate, parent, headers.get("tracestate"), final=final)
        randomness = random_bits(_BITS)
        verdict = self._by_rate(rate, randomness, final=final)
        if verdict is None:
            return None
        trace_id = random_bits(_REST_BITS) << _BITS | randomness or 1
        return Verdict(*verdict, randomness, trace_id, None, final)

    def settle(self, timeline: Timeline, finish_ns: int) -> bool:
        """Decide at the end whether a request is recorded; set why, and its weight.

        A request that is slow or failed is recorded in any case, so it stands for
        itself alone, also where its rate would have kept it.
        """
        verdict: Verdict | None = timeline.verdict
        if verdict is EVERY:  # what a timeline begins with
            self.counts[SAMPLED] += 1
            return True
        if verdict is None or verdict is DROPPED:
            return False
        kept, weight = verdict.kept, verdict.weight
        if self._keep_errors and self._failed(timeline):
            kept, weight = ERROR, 1.0
        elif (timeline.last_ns or finish_ns) - timeline.start_ns > self._slower_ns:
            kept, weight = SLOW, 1.0
        elif not verdict.final and timeline.route in self._routes:
            threshold, weight = self._routes[timeline.route]
            kept = RATE if verdict.randomness >= threshold else _NOT_KEPT
        if kept < 0:
            return False
        self.counts[_OUTCOMES[kept]] += 1
        timeline.kept, timeline.weight = kept, weight
        return True

    def _failed(self, timeline: Timeline) -> bool:
        return timeline.status >= _SERVER_ERROR or timeline.outcome == self._name("error")

    def after_fork(self) -> None:
        """Count from nothing in a forked child."""
        self.counts[:] = array("Q", bytes(8 * len(COUNTERS)))
        self._due_ns = 0

    def _judge_child(
        self, rate: Rate, parent: Parent, tracestate: str | None, *, final: bool
    ) -> Verdict | None:
        """Decide about a request of a caller who has decided about its own."""
        trace_id, span_id, sampled = parent
        threshold, randomness = parse_probability(tracestate) if self._trusted else (None, None)
        if randomness is None:
            randomness = trace_id & (_SPACE - 1) if self._trusted else random_bits(_BITS)
        if self._parent_based and not sampled:
            unkept = Verdict(_NOT_KEPT, math.nan, randomness, trace_id, span_id)
            return unkept if self._tail else None
        if self._parent_based:
            if self._trusted or self._take_token():
                weight = _weight(threshold, randomness)
                return Verdict(PARENT, weight, randomness, trace_id, span_id)
            self.counts[_CAPPED] += 1
            final = True
        verdict = self._by_rate(rate, randomness, final=final)
        return None if verdict is None else Verdict(*verdict, randomness, trace_id, span_id, final)

    def _by_rate(self, rate: Rate, randomness: int, *, final: bool) -> tuple[int, float] | None:
        if randomness >= rate.threshold:
            return RATE, rate.weight
        if self._tail or (randomness >= self._lowest and not final):
            return _NOT_KEPT, math.nan
        return None

    def _take_token(self) -> bool:
        """Take one from the bucket; it holds a second's worth, and is kept as one instant."""
        instant = now()
        due = self._due_ns
        if due - instant > self._burst_ns:
            return False
        self._due_ns = max(due, instant) + self._interval_ns
        return True


_OUTCOMES: Final = {RATE: SAMPLED, PARENT: SAMPLED, SLOW: _KEPT_SLOW, ERROR: _KEPT_ERROR}


def _weight(threshold: int | None, randomness: int) -> float:
    """Return what a request stands for that its caller kept, NaN where the caller doesn't say.

    A threshold above the randomness it was held against is a lie or a mistake.
    """
    if threshold is None or threshold > randomness:
        return math.nan
    return _SPACE / (_SPACE - threshold)
