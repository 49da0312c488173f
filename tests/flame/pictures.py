"""A request of known segments and the stacks of what ran in it."""

from __future__ import annotations

import dataclasses

from tests.support.builders import Building
from tracer.analysis.attribution.request import Segment
from tracer.analysis.flame.flame_graph import difference, of_request, of_requests
from tracer.model.stackframes import EXACT, NO_NODE, SAMPLED, SEPARATOR, Stacks, Stretch

LOOP, POOL = 11, 22
HOSTILE = "</script><script>alert(1)</script>"
VIEW = "shop.views.detail"
US = 1_000


def name(module, qualified, file="/shop/views.py", line=7):
    return SEPARATOR.join((module, qualified, file, str(line)))


class Tree:
    """Nodes of a tree of calls, made as they are asked for."""

    def __init__(self):
        self.names, self.nodes = {}, {}

    def node(self, *calls):
        parent = NO_NODE
        for call in calls:
            number = self.names.setdefault(call, len(self.names))
            parent = self.nodes.setdefault((parent, number), len(self.nodes))
        return parent


SERVER = name("uvicorn.server", "Server.run")
CORE = name("django.core.handlers.base", "BaseHandler._get_response")
DETAIL = name("shop.views", "detail")
PRICE = name("shop.prices", "price; of " + HOSTILE, "/shop/prices.py", 3)
SLEEP = SEPARATOR.join(("time", "sleep", "", "0"))
THREAD = name("threading", "Thread.run")
HANDLER = name("asgiref.sync", "SyncToAsync.thread_handler")


def request(**fields):
    """Server, handler, view on the loop, a hand-off, the view in a thread, a wait, the server."""
    building = Building(1_000 * US)
    building.spend(50 * US, "server", "parse", thread=LOOP)
    building.spend(50 * US, "handler", None, thread=LOOP)
    building.spend(400 * US, "view", VIEW, thread=LOOP)
    building.spend(60 * US, "handoff", "shop.views:detail → shop.prices.price", phase="submit",
                   thread=LOOP)  # fmt: skip
    building.spend(40 * US, "handoff", "shop.views:detail → shop.prices.price", phase="wake",
                   state="wait")  # fmt: skip
    building.spend(200 * US, "view", VIEW, thread=POOL)
    building.spend(100 * US, "view", VIEW, state="wait")
    building.spend(20 * US, "event_loop", "timer granularity", thread=LOOP)
    building.spend(80 * US, "server", "send", thread=LOOP)
    building.after = [
        Segment(building.now, building.now + 30 * US, "handler", "close", thread=LOOP)
    ]
    return building.done(**fields)


def stacks(source=EXACT, request_id=1, interval_ns=5 * US):
    """The view calls what sleeps on the loop, then has a price computed in a thread."""
    tree, at = Tree(), 1_000 * US
    detail = tree.node(SERVER, CORE, DETAIL)
    sleep = tree.node(SERVER, CORE, DETAIL, SLEEP)
    core = tree.node(SERVER, CORE)
    price = tree.node(THREAD, HANDLER, PRICE)
    stretches = [
        Stretch(at, at + 100 * US, LOOP, core),
        Stretch(at + 100 * US, at + 200 * US, LOOP, detail),
        Stretch(at + 200 * US, at + 450 * US, LOOP, sleep),
        Stretch(at + 450 * US, at + 500 * US, LOOP, detail),
        Stretch(at + 600 * US, at + 800 * US, POOL, price),
    ]
    sampled = source == SAMPLED
    return Stacks(
        request_id=request_id,
        start_ns=at,
        end_ns=at + 1_000 * US,
        source=source,
        interval_ns=interval_ns if sampled else 0,
        threshold_ns=0 if sampled else 5 * US,
        events=40,
        cost_ns=20 * US,
        truncated=False,
        names=tuple(tree.names),
        nodes=tuple(tree.nodes),
        stretches=tuple(stretches),
    )


def one():
    found = request()
    return of_request(found, stacks())


def many(count=3):
    return of_requests([(request(), stacks()) for _ in range(count)], "test/")


def compared():
    other = request(route="test/")
    without = dataclasses.replace(stacks(), stretches=stacks().stretches[:-1])
    return difference(many(), of_requests([(other, without)], "test/"), ("wsgi", "asgi"))
