"""The client's clock: widen a request's window to what its client saw.

On one host the clock is the same in every process, so the client's instants and the
server's lie on one line, and what is between them can be told apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tracer.analysis.attribution.request import Client, Request, Segment
from tracer.analysis.attribution.tiling import sum_layers, tile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BREATH_NS: Final = 150_000
"""A worker that rests for less than this between two callbacks hasn't been idle."""


def widen(
    request: Request,
    client: Client,
    busy: Iterable[tuple[int, int, str]],
    network_floor_ns: int,
) -> Request:
    """Return the request on its client's window.

    `busy` is what the worker ran before it touched the request: `(start, end, name)`.
    Outside the server's window, what the network takes at least (`network_floor_ns`)
    and the client's own measured lateness are `network`; the rest has no owner.
    """
    start, end = client.send_ns, max(client.last_byte_ns, client.send_ns)
    touched = min(max(request.start_ns, start), end)
    answered = min(max(request.end_ns, touched), end)
    read_late = max(answered, end - client.own_delay_ns)
    network = _Network(network_floor_ns)
    segments = [
        *_queued(request, start, touched, busy, network),
        *request.segments,
        *network.take(answered, read_late),
    ]
    if read_late < end:
        segments.append(Segment(read_late, end, "network", "client", state="wait"))
    window = tile([_clip(one, start, end) for one in segments], start, end)
    finish = max(request.end_ns + request.after_response_ns, end)
    after = tile([*request.segments, *request.after_response], end, finish)
    return replace(
        request,
        window="client",
        client=client,
        start_ns=start,
        end_ns=end,
        segments=window,
        layers=sum_layers(window),
        after_response=after,
        after_response_ns=finish - end,
    )


class _Network:
    """Gives time to the network until its share is used up, and then to nobody."""

    def __init__(self, floor_ns: int) -> None:
        self.floor_ns = self._left = floor_ns

    def take(self, start_ns: int, end_ns: int) -> list[Segment]:
        """Return segments for `[start_ns, end_ns)`."""
        if start_ns >= end_ns:
            return []
        share = min(self._left, end_ns - start_ns)
        self._left -= share
        parts = [
            Segment(start_ns, start_ns + share, "network", state="wait"),
            Segment(start_ns + share, end_ns, "unattributed", state="wait"),
        ]
        return [part for part in parts if part.start_ns < part.end_ns]


def _queued(
    request: Request,
    start_ns: int,
    touched_ns: int,
    busy: Iterable[tuple[int, int, str]],
    network: _Network,
) -> list[Segment]:
    """Own the time from the client's send to the server's first touch.

    A worker that was busy when the bytes had arrived doesn't sleep before it touches them:
    its next look finds them, however long it is in coming.
    """
    segments: list[Segment] = []
    arrived_ns = start_ns + network.floor_ns
    cursor, rest_ns = start_ns, 0
    for low, high, blocker in sorted(busy):
        if low >= touched_ns or high < cursor:
            continue
        first, last = max(low, cursor), min(high, touched_ns)
        if first < last:
            segments += _between(request, cursor, first, network.take, rest_ns)
            segments.append(_queueing(request, first, last, blocker))
            cursor = last
        rest_ns = max(rest_ns, BREATH_NS if high < arrived_ns else touched_ns - start_ns)
    return segments + _between(request, cursor, touched_ns, network.take, rest_ns)


def _between(
    request: Request,
    start_ns: int,
    end_ns: int,
    take: Callable[[int, int], list[Segment]],
    rest_ns: int,
) -> list[Segment]:
    """Own a gap in the worker's work: its own turn up to `rest_ns`, idle time if longer."""
    if start_ns >= end_ns:
        return []
    if end_ns - start_ns <= rest_ns:
        return [_queueing(request, start_ns, end_ns, "turn")]
    return take(start_ns, end_ns)


def _queueing(request: Request, start_ns: int, end_ns: int, blocker: str) -> Segment:
    if request.interface == "wsgi":
        return Segment(start_ns, end_ns, "server", "accept queue", state="wait")
    return Segment(start_ns, end_ns, "event_loop", blocker, state="wait")


def _clip(segment: Segment, start_ns: int, end_ns: int) -> Segment:
    return replace(
        segment,
        start_ns=min(max(segment.start_ns, start_ns), end_ns),
        end_ns=min(max(segment.end_ns, start_ns), end_ns),
    )
