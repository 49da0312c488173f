"""Synthetic requests and measurements of known truth."""

from __future__ import annotations

import itertools

from tracer.analysis.attribution.request import Client, Handoff, Request, Segment
from tracer.analysis.statistics.measurement import Measurement, Round, SeamStatus
from tracer.model.layers import LAYERS

ADAPTER = "django.utils.deprecation:MiddlewareMixin.__acall__"
CORE = "django.core.handlers.base:BaseHandler._get_response_async"
VIEW = "shop.views.detail"
MIDDLEWARES = (
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
)
ENVIRONMENT = {
    "python": "3.12.4",
    "implementation": "CPython",
    "django": "6.1.3",
    "asgiref": "3.13.0",
    "djangorestframework": "3.16.0",
    "servers": {"gunicorn": "23.0.0"},
    "cpus": 2,
    "switch_interval_ns": 5_000_000,
    "kernel": "6.8",
    "debug": False,
    "asyncio_debug": False,
}
PHASES = {
    "prepare": 2_000,
    "submit": 8_000,
    "queue": 0,
    "wake": 30_000,
    "run": None,
    "notify": 6_000,
    "return": 14_000,
    "resume": 10_000,
}
_ids = itertools.count(1)


class Building:
    """A request under construction: each call lays the next stretch of time."""

    def __init__(self, start_ns=1_000_000):
        self.start_ns = self.now = start_ns
        self.segments = []
        self.hops = []
        self.after = []

    def spend(self, ns, layer, detail=None, **more):
        self.segments.append(Segment(self.now, self.now + ns, layer, detail, **more))
        self.now += ns
        return self

    def hop(self, asked_by, ran, run_ns, layer, detail, **more):
        """Lay a hand-off: `cost` scales its phases, `started` starts its thread."""
        site = f"{asked_by} → {ran}"
        started, phases = more.get("started", False), dict(PHASES)
        phases.update(more.get("phases", {}))
        phases["submit"] += 200_000 if started else 0
        phases["run"] = run_ns
        start = self.now
        for name, ns in phases.items():
            if name == "run" and run_ns:
                self.spend(run_ns, layer, detail, thread=7)
            elif ns:
                self.spend(ns, "handoff", site, phase=name, state="wait")
        self.hops.append(self._hop(site, start, phases, started, more))
        return self

    def _hop(self, site, start, phases, started, more):
        direction = more.get("direction", "to_thread")
        after, overlapped = more.get("after", False), more.get("overlapped", False)
        return Handoff(site, direction, start, phases, 0, started, after, overlapped, None)

    def done(self, **fields):
        layers = dict.fromkeys(LAYERS, 0)
        for one in self.segments:
            layers[one.layer] += one.duration_ns
        number = next(_ids)
        client = None
        if fields.pop("client", False):
            client = Client(self.start_ns, self.now - 1, self.now)
        known = {
            "request_id": f"{number:016x}",
            "trace_id": f"{number:032x}",
            "parent_span_id": None,
            "method": "GET",
            "route": "test/",
            "target": "test/",
            "status": 200,
            "interface": "asgi",
            "server": "uvicorn",
            "loop": "asyncio",
            "http": "h11",
            "pid": 1,
            "connection": "1",
            "boot_id": "boot",
            "start_unix_ns": 0,
            "weight": 1.0,
            "outcome": "complete",
            "error_type": None,
            "start_ns": self.start_ns,
            "end_ns": self.now,
            "window": "client" if client else "server",
            "client": client,
            "segments": tuple(self.segments),
            "layers": {name: ns for name, ns in layers.items() if ns},
            "hops": tuple(self.hops),
            "threads_started": sum(hop.thread_started for hop in self.hops),
            "threads_started_after_response": 0,
            "connections_opened": 0,
            "after_response": tuple(self.after),
            "after_response_ns": sum(one.duration_ns for one in self.after),
            "overlapped": (),
        }
        return Request(**{**known, **fields})


def wsgi_request(extra_ns=0, **fields):
    building = Building().spend(20_000, "network").spend(40_000, "server")
    for middleware in MIDDLEWARES:
        building.spend(8_000, "middleware", middleware, phase="process_request")
    building.spend(150_000 + extra_ns, "view", VIEW)
    for middleware in reversed(MIDDLEWARES):
        building.spend(8_000, "middleware", middleware, phase="process_response")
    building.spend(30_000, "server")
    known = {"interface": "wsgi", "server": "gunicorn.sync", "loop": None, "http": None}
    return building.done(**{**known, "client": True, **fields})


def asgi_request(extra_ns=0, wake_ns=30_000, **fields):
    building = Building().spend(20_000, "network").spend(60_000, "server")
    building.spend(40_000, "event_loop", "turn")
    building.hop(
        "django.dispatch.dispatcher:Signal.asend",
        "django.db.reset_queries",
        5_000,
        "handler",
        None,
        started=True,
    )
    _middlewares(building, MIDDLEWARES, "process_request", wake_ns)
    building.spend(25_000, "handler")
    building.hop(CORE, VIEW, 150_000 + extra_ns, "view", VIEW)
    _middlewares(building, tuple(reversed(MIDDLEWARES)), "process_response", wake_ns)
    building.spend(50_000, "server")
    building.after = [
        Segment(building.now, building.now + 90_000, "handler", "response.close"),
    ]
    after = building._hop(f"{CORE} → close", building.now, dict(PHASES), False, {"after": True})
    building.hops.append(after)
    known = {"threads_started": 2, "threads_started_after_response": 1, "client": True}
    return building.done(**{**known, **fields})


def _middlewares(building, middlewares, method, wake_ns):
    for middleware in middlewares:
        building.spend(3_000, "middleware", middleware, phase=method)
        ran = f"{middleware}.{method}"
        phases = {"wake": wake_ns}
        building.hop(ADAPTER, ran, 6_000, "middleware", middleware, phases=phases)


def one_round(requests, number=0, *, client=True, **fields):
    latencies = tuple(request.duration_ns for request in requests) if client else ()
    return Round(number, traced=True, requests=tuple(requests), latencies_ns=latencies, **fields)


def measurement(rounds, name="asgi", **fields):
    known = {
        "command": f"serve {name}",
        "environment": ENVIRONMENT,
        "seams": (SeamStatus("asgiref.sync:SyncToAsync.thread_handler", "installed"),),
    }
    return Measurement(name=name, rounds=tuple(rounds), **{**known, **fields})


def pair(rounds=6, each=20, *, jitter_ns=1_000):
    """Return a WSGI and an ASGI measurement with controls and a network floor."""
    found = []
    for name, make in (("wsgi", wsgi_request), ("asgi", asgi_request)):
        made = []
        for number in range(rounds):
            requests = [make(jitter_ns * ((number * 7 + i) % 11)) for i in range(each)]
            made.append(one_round(requests, number))
            control = tuple(int(request.duration_ns * 0.98) for request in requests)
            made.append(Round(number, traced=False, latencies_ns=control))
        floor = tuple(18_000 + 100 * i for i in range(20))
        found.append(measurement(made, name, network_floor_ns=floor))
    return tuple(found)
