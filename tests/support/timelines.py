"""Timelines of known truth, and what holds for whatever is made of any timeline."""

from __future__ import annotations

from collections import Counter

from tracer.analysis.attribution.worker import Worker
from tracer.model import timeline as t
from tracer.model.frames import Head
from tracer.model.layers import HOP_PHASES, LAYERS

LOOP, START_NS = 100, 1_000_000
OWNERS = ("handler", "middleware", "view", "server")
NAMES = (
    "asgi",
    "complete",
    "shop.views.detail",
    "asker → ran",
    *(f"{layer}\x1fdetail of {layer}\x1f\x1f" for layer in OWNERS),
    "disconnected",
    "wsgi",
    "\x1f\x1fquery\x1f",
)
SITE = 4
WORKER = Worker({"pid": 1, "boot_id": "boot"}, NAMES)
KNOWN = {"sequence": 1, "start_ns": START_NS, "interface": 1, "outcome": 2, "view": 3}


def head(**fields):
    values = dict.fromkeys(Head.__slots__, 0)
    values |= {"request_id": 1, "trace_id": 1, "weight": 1.0, "path": None, **KNOWN, **fields}
    return Head(**values)


class SymbolicTimeline:
    """Tells what happened in a request as marks, and keeps the truth of who owned what."""

    def __init__(self):
        self.now = START_NS
        self.marks = []
        self.truth = Counter()
        self.thread, self.track, self.layer = LOOP, t.ROOT, "server"
        self.ids, self.futures, self.threads = 0, 10_000, LOOP
        self.streams = 0

    def tell(self, actions, after=()):
        self.step(t.ROOT)
        self.act(actions)
        self.mark(t.LAST)
        self.truth, counted = Counter(), self.truth
        end_ns = self.now
        self.act(after)
        self.mark(t.DONE, t.ROOT)
        return end_ns, counted

    def mark(self, code, value=0, thread=None, at=None):
        instant = self.now if at is None else at
        self.marks.append((code, instant, thread or self.thread, value))

    def pass_time(self, ns, layer=None):
        self.now += ns
        self.truth[layer or self.layer] += ns

    def step(self, track):
        self.mark(t.TASK, 5_000 + track)
        self.mark(t.STEP, track)

    def act(self, actions):
        for name, *arguments in actions:
            getattr(self, name)(*arguments)

    def work(self, ns):
        self.pass_time(ns)

    def scope(self, layer, actions):
        outer, self.layer = self.layer, layer
        number = SITE + 1 + OWNERS.index(layer)
        self.mark(t.ENTER, number)
        self.act(actions)
        self.mark(t.EXIT, number)
        self.layer = outer

    def query(self, ns):
        self.mark(t.ENTER, 11)
        self.pass_time(ns)
        self.mark(t.EXIT, 11)

    def collect(self, ns):
        self.mark(t.PAUSE)
        self.pass_time(ns)
        self.mark(t.PAUSE_END)

    def start_thread(self):
        self.mark(t.THREAD)

    def stream(self, chunks):
        self.streams += 1
        number = self.streams
        self.mark(t.STREAM, number)
        outer, self.layer = self.layer, "view" if self.layer == "server" else self.layer
        for chunk in chunks:
            self.mark(t.PULL, number)
            self.pass_time(chunk)
            self.mark(t.PULLED, number)
        self.layer = outer

    def wait(self, ns, late, timer):
        if self.thread != LOOP:
            return self.pass_time(ns + late)
        self.futures += 1
        if timer:
            self.mark(t.TIMER, self.futures)
            self.mark(t.TIMER_DUE, self.futures, at=self.now + ns)
        self.mark(t.YIELD, self.futures)
        self.pass_time(ns)
        self.mark(t.READY, 5_000 + self.track)
        self.pass_time(late, "event_loop")
        return self.mark(t.STEP, self.track)

    def child(self, actions, turn):
        """The task awaits one of its own, which tiles."""
        if self.thread != LOOP:
            return
        self.ids += 1
        parent, child = self.track, self.ids
        self.mark(t.SPAWN, child)
        self.mark(t.YIELD, 1)
        self.mark(t.AWAITS, child)
        self.pass_time(turn, "event_loop")
        self.track = child
        self.step(child)
        self.act(actions)
        self.mark(t.DONE, child)
        self.track = parent
        self.mark(t.READY, 5_000 + parent)
        self.pass_time(turn, "event_loop")
        self.mark(t.STEP, parent)

    def eager(self, ns):
        if self.thread == LOOP:
            self.ids += 1
            self.mark(t.SPAWN, self.ids)
            self.step(self.ids)
            self.pass_time(ns)
            self.mark(t.DONE, self.ids)

    def gather(self, first, second):
        """Both run beside the main track, which owns its waiting for them."""
        if self.thread != LOOP:
            return
        parent, children = self.track, (self.ids + 1, self.ids + 2)
        self.ids += 2
        for child in children:
            self.mark(t.SPAWN, child)
        self.mark(t.YIELD, 1)
        for child, ns in zip(children, (first, second), strict=True):
            self.step(child)
            self.pass_time(ns)
            self.mark(t.DONE, child)
        self.mark(t.READY, 5_000 + parent)
        self.mark(t.STEP, parent)

    def hop(self, phases, actions, started, nested):
        """To a thread and back; a thread just started has often run before submit returns."""
        if self.thread != LOOP:
            return
        prepare, submit, queue, back = phases
        self.ids += 1
        number, future = self.ids, 1
        self.mark(t.HOP, SITE)
        self.pass_time(prepare, "handoff")
        self.mark(t.SUBMIT, number)
        self.pass_time(submit, "handoff")
        if started:
            self.mark(t.THREAD)
        else:
            self.mark(t.SUBMITTED, number)
            self.mark(t.YIELD, future)
        self.run(number, queue, actions, nested)
        if started:
            self.mark(t.SUBMITTED, number)
            self.mark(t.YIELD, future)
        self.mark(t.READY, 5_000 + self.track)
        self.pass_time(back, "handoff")
        self.mark(t.STEP, self.track)
        self.mark(t.HOP_END)

    def run(self, number, queue, actions, nested):
        self.threads += 1
        self.thread = self.threads
        self.pass_time(queue, "handoff")
        self.mark(t.RUN, number)
        self.mark(t.RUN_ON, self.thread, at=0)
        self.pass_time(1, "handoff")
        self.mark(t.BEGUN, number)
        self.act(actions)
        if nested:
            self.call(*nested)
        self.mark(t.RAN, number)
        self.mark(t.NOTIFIED, number)
        self.thread = LOOP

    def call(self, phases, actions):
        """From a thread to the loop and back."""
        submit, wake, back = phases
        thread, track = self.thread, self.track
        self.ids += 1
        self.mark(t.CALL, SITE)
        self.mark(t.BRIDGE, self.ids)
        self.mark(t.CALL_SUBMIT)
        self.pass_time(submit, "handoff")
        self.mark(t.CALL_SUBMITTED)
        self.pass_time(wake, "handoff")
        self.thread, self.track = LOOP, self.ids
        self.step(self.track)
        self.mark(t.BEGUN, self.track)
        self.act(actions)
        self.mark(t.DONE, self.track)
        self.thread, self.track = thread, track
        self.pass_time(back, "handoff")
        self.mark(t.CALL_END)


def check_tiling(request):
    """Assert what holds for every request, whatever its marks were."""
    assert request.start_ns <= request.end_ns
    _tiles(request.segments, request.start_ns, request.end_ns)
    finish_ns = request.end_ns + request.after_response_ns
    _tiles(request.after_response, request.end_ns, finish_ns)
    layers = Counter()
    for segment in request.segments:
        layers[segment.layer] += segment.duration_ns
    assert {layer: ns for layer, ns in request.layers.items() if ns} == dict(layers)
    assert sum(request.layers.values()) == request.end_ns - request.start_ns
    assert request.layers.keys() <= set(LAYERS)
    for segment in request.overlapped:
        assert segment.start_ns < segment.end_ns
    for number, hop in enumerate(request.hops):
        assert hop.parent is None or (0 <= hop.parent < len(request.hops) and hop.parent != number)
        assert list(hop.phases) == list(HOP_PHASES)
        assert all(ns is None or ns >= 0 for ns in hop.phases.values())
        assert hop.event_loop_ns >= 0


def _tiles(segments, start_ns, end_ns):
    cursor = start_ns
    for segment in segments:
        assert segment.start_ns == cursor
        assert segment.end_ns > segment.start_ns
        assert segment.layer in LAYERS
        assert segment.state in ("run", "wait")
        cursor = segment.end_ns
    assert cursor == end_ns
