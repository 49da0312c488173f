"""The flame graphs of the page: of requests, of many added up, of what differs between sides."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from tracer.analysis.flame.flame_graph import difference, of_request, of_requests
from tracer.analysis.flame.pieces import is_thin
from tracer.model.wording import duration, plural
from tracer.reports.page.compact import Names
from tracer.reports.page.rectangles import drawings_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tracer.analysis.flame.flame_graph import FlameGraph, RequestStacks
    from tracer.reports.page.rectangles import SpanBatch

    Document = dict[str, Any]

ROOM: Final = 200_000
"""So many characters may the flame graphs of a page take; the smallest levels go first."""

_MOST: Final = (4_000, 2_000, 1_000, 500, 250, 100, 50)
_LESS: Final = 4
_REQUESTS: Final = 8
_ROUTES: Final = 4
_ALL: Final = "all routes"
_MARKUP: Final = "<>&"
_ESCAPED: Final = len("\\u003c")


@dataclass(frozen=True, slots=True)
class Stacked:
    """The requests of a side that have stacks: `taken` are added up, `apart` shown alone only.

    `wanted` is the id of one that was asked for.
    """

    name: str
    taken: Sequence[RequestStacks]
    apart: Sequence[RequestStacks] = ()
    wanted: str | None = None

    def ordered(self) -> list[RequestStacks]:
        """Return each request once, by duration."""
        every = {one[0].request_id: one for one in (*self.taken, *self.apart)}
        return sorted(every.values(), key=lambda one: one[0].duration_ns)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A picture with what it is called; `pick` is what a button for it says."""

    picture: FlameGraph
    kind: Literal["difference", "aggregate", "request"]
    label: str
    pick: str | None = None


def no_flames(how: str) -> Document:
    """Return what the page has instead of flame graphs; `how` says how to get some."""
    return {"how": how, "steps": [], "pictures": []}


def flames_of(sides: Sequence[Stacked], remark: str | None = None) -> Document:
    """Return the flame graphs of the sides that have stacks; the first one is shown first."""
    sides = [side for side in sides if side.taken]
    shown = [*_differences(sides), *(one for side in sides for one in _added_up(side, len(sides)))]
    requests = [one for side in sides for one in _requests(side, len(sides))]
    begins_with_one = len(sides) == 1 and not _is_better_added_up(sides[0])
    return _fitted([*requests, *shown] if begins_with_one else [*shown, *requests], remark)


def _differences(sides: Sequence[Stacked]) -> Iterator[_Shown]:
    """Each side against the first, route by route."""
    first, *others = sides
    for other in others:
        for place, route in enumerate(_routes([*first.taken, *other.taken])):
            a, b = (_of_route(one.taken, route) for one in (first, other))
            if a and b:
                names = (first.name, other.name)
                picture = difference(of_requests(a, ""), of_requests(b, ""), names)
                label = f"{picture.title}, {route}"
                yield _Shown(picture, "difference", label, None if place else picture.title)


def _added_up(side: Stacked, sides: int) -> Iterator[_Shown]:
    routes = _routes(side.taken)
    every = [(route, _of_route(side.taken, route)) for route in routes]
    if len(routes) > 1:
        every.insert(0, (_ALL, list(side.taken)))
    for place, (route, taken) in enumerate(every):
        picture = of_requests(taken, _named(side, sides, route))
        yield _Shown(
            picture, "aggregate", picture.title, None if place else _named(side, sides, "added up")
        )


def _requests(side: Stacked, sides: int) -> Iterator[_Shown]:
    """Those that stand for something, and others at even steps in the order of duration."""
    ordered = side.ordered()
    last = len(ordered) - 1
    picks = {last // 2: "median", last: "slowest"}
    for place, (request, _) in enumerate(ordered):
        if request.request_id == side.wanted:
            picks = {place: "asked for", **{at: said for at, said in picks.items() if at != place}}
    most = max(_REQUESTS // sides, len(picks))
    evenly = [last * step // max(most - 1, 1) for step in range(most)]
    for place in list(dict.fromkeys([*picks, *evenly]))[:most]:
        request, stacks = ordered[place]
        said = f"{request.method} {request.route or request.target or ''}".rstrip()
        label = f"{_named(side, sides, duration(request.duration_ns))}, {said}"
        pick = picks.get(place)
        yield _Shown(
            of_request(request, stacks), "request", label, pick and _named(side, sides, pick)
        )


def _is_better_added_up(side: Stacked) -> bool:
    """Whether the median request is too short for a picture by itself, and isn't the only one."""
    ordered = side.ordered()
    request, stacks = ordered[(len(ordered) - 1) // 2]
    return len(ordered) > 1 and side.wanted is None and is_thin(request.duration_ns, stacks)


def _named(side: Stacked, sides: int, what: str) -> str:
    return what if sides == 1 else f"{side.name}: {what}"


def _routes(taken: Iterable[RequestStacks]) -> list[str]:
    return [one for one, _ in Counter(_route(one) for one in taken).most_common(_ROUTES)]


def _of_route(taken: Iterable[RequestStacks], route: str) -> list[RequestStacks]:
    return [one for one in taken if _route(one) == route]


def _route(taken: RequestStacks) -> str:
    return taken[0].route or "no route"


def _fitted(shown: Sequence[_Shown], remark: str | None) -> Document:
    """Draw them with as many levels as there is room for, and leave the last out if need be."""
    drawn = [(one, drawings_of(one.picture, threads=False)) for one in shown]
    for most in _MOST:
        document = _document(drawn, most, remark)
        if _size(document) <= ROOM:
            return document
    while len(drawn) > 1 and _size(document) > ROOM:
        drawn.pop()
        document = _document(drawn, _MOST[-1], remark)
    return document


def _document(
    drawn: Sequence[tuple[_Shown, Sequence[SpanBatch]]], most: int, remark: str | None
) -> Document:
    """What has a button has more room than what is in the list only."""
    steps = Names()
    pictures = [
        {
            **_words(shown),
            "views": [one.data(steps, most if shown.pick else most // _LESS) for one in drawings],
        }
        for shown, drawings in drawn
    ]
    return {"how": remark, "steps": [list(one) for one in steps.all], "pictures": pictures}


def _words(shown: _Shown) -> Document:
    picture = shown.picture
    request = picture.request
    return {
        "kind": shown.kind,
        "label": shown.label,
        "pick": shown.pick,
        "title": f"{shown.label}, {request.request_id}" if request else shown.label,
        "request_id": request and request.request_id,
        "names": list(picture.names),
        "notes": list(picture.notes),
    }


def _size(document: Document) -> int:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return len(text) + sum(map(text.count, _MARKUP)) * (_ESCAPED - 1)


def newest_of(taken: int, known: int) -> str | None:
    """Say how many of the requests with stacks are in it, None where all are."""
    if taken >= known:
        return None
    return f"Added up are {plural(taken, 'request')} of the {known} that have stacks."
