"""Pages for tests: of a comparison whose names are hostile, and of requests of any size."""

from __future__ import annotations

import json
import re

from tests.support import builders
from tracer.analysis.documents import compare_document, report_document
from tracer.analysis.statistics.measurement import SeamStatus
from tracer.reports.page.render import write_page
from tracer.reports.page.view import side_of, view_of

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=2>&amp;<!--"
DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


def measurements(rounds=3, each=20):
    """A pair in which every text that a user's site gives could be markup."""
    found = []
    for one in builders.pair(rounds=rounds, each=each):
        rounds_ = list(one.rounds)
        building = builders.Building(5_000_000).spend(40_000, "server")
        building.hop(HOSTILE, HOSTILE, 70_000, "view", HOSTILE)
        request = building.done(
            client=True,
            route=HOSTILE,
            target=HOSTILE,
            outcome="error",
            error_type=HOSTILE,
            interface=rounds_[0].requests[0].interface,
        )
        rounds_[0] = builders.one_round([*rounds_[0].requests, request])
        found.append(
            builders.measurement(
                rounds_,
                one.name,
                command=f"serve {HOSTILE}",
                network_floor_ns=one.network_floor_ns,
                notes=(HOSTILE,),
                seams=(*one.seams, SeamStatus("a:b", "refused", HOSTILE)),
            )
        )
    return found


def comparison(path, title="wsgi · asgi", **options):
    """Write a page of a comparison; return its document."""
    sides = measurements(**options)
    document = compare_document(sides)
    document["load"] = {
        "method": "GET",
        "paths": ["/test/"],
        "connection": "keep-alive",
        "concurrency": 1,
        "rate": None,
        "rounds": 3,
        "requests_per_round": 20,
    }
    compared(path, sides, document, title)
    return document


def compared(path, sides, document=None, title="some"):
    """Write a page of measurements side by side."""
    document = document or compare_document(sides)
    entries = document["configurations"]
    view = view_of(document, [side_of(*one) for one in zip(sides, entries, strict=True)])
    write_page(path, title, [view])


def single(path, request):
    """Write a page of one request."""
    measured = builders.measurement([builders.one_round([request], client=False)])
    document = report_document(measured)
    view = view_of(document, [side_of(measured, document["configurations"][0])])
    write_page(path, "one", [view])
    return document


def large_request(segments):
    """A request that goes to a thread and back, in so many segments or a few more."""
    building = builders.Building().spend(10_000, "server", thread=1)
    number = 0
    while len(building.segments) < segments:
        number += 1
        building.spend(3_000, "middleware", f"shop.Middleware{number % 9}", thread=1)
        building.hop("a:b", f"shop.work{number % 40}", 4_000, "view", "shop.views.detail")
    return building.spend(10_000, "server", thread=1).done()


def data_in(path):
    """What the page's scripts read, as a person finds it in the file."""
    return json.loads(DATA.search(path.read_text(encoding="utf-8"))[1])
