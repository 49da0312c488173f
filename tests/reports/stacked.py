"""Sides whose requests have stacks, for pages with flame graphs."""

from __future__ import annotations

import dataclasses

from tests.flame.pictures import request, stacks
from tests.support.builders import measurement, one_round
from tracer.analysis.documents import compare_document, report_document
from tracer.model.stackframes import EXACT
from tracer.reports.page.flames import Stacked, flames_of
from tracer.reports.page.render import write_page
from tracer.reports.page.view import side_of, view_of

LOAD = {
    "method": "GET", "paths": ["/"], "connection": "keep-alive", "concurrency": 1, "rate": None,
    "rounds": 1, "requests_per_round": 5,
}  # fmt: skip


def taken(count=5, source=EXACT, route="test/", first=1):
    """Requests that are the longer the later, the last of their layers being the longer."""
    found = []
    for number in range(first, first + count):
        plain = request(route=route, request_id=f"{number:016x}", trace_id=f"{number:032x}")
        *segments, last = plain.segments
        more = number * 1_000
        longer = dataclasses.replace(last, end_ns=last.end_ns + more)
        layers = {**plain.layers, last.layer: plain.layers[last.layer] + more}
        made = dataclasses.replace(
            plain, segments=(*segments, longer), end_ns=plain.end_ns + more, layers=layers
        )
        found.append((made, stacks(source, number)))
    return found


def without_a_thread(several):
    """The same, without what ran in the pool's thread."""
    return [
        (made, dataclasses.replace(kept, stretches=kept.stretches[:-1])) for made, kept in several
    ]


def measured(name, several):
    return measurement([one_round([one for one, _ in several], client=False)], name)


def report(path, several, wanted=None):
    """Write the page of a recording; return its view."""
    one = measured("site", several)
    document = report_document(one)
    flames = flames_of([Stacked("site", several, wanted=wanted)])
    return written(path, document, [one], flames)


def comparison(path, sides):
    """Write the page of a comparison of sides by name; return its view."""
    every = [measured(name, several) for name, several in sides.items()]
    document = {**compare_document(every), "load": LOAD}
    flames = flames_of([Stacked(name, several) for name, several in sides.items()])
    return written(path, document, every, flames)


def written(path, document, every, flames):
    entries = document["configurations"]
    sides = [side_of(*one) for one in zip(every, entries, strict=True)]
    view = view_of(document, sides, "", flames)
    write_page(path, "stacked", [view])
    return view


def rows(view):
    """The rectangles of a view, those in short written out."""
    return [one if len(one) > 4 else [*one, one[1], 0] for one in view["rectangles"]]
