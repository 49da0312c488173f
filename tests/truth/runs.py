"""A server that has answered every scenario's requests, and what was recorded and noted."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass

from tests.support.run import Client, Run
from tests.support.server import ASGI
from tests.truth import sending

LEAST_NS = 50_000
SHARE = 0.02


@dataclass(frozen=True)
class Note:
    """What injected code measured of itself."""

    trace_id: str
    label: str
    start_ns: int
    end_ns: int
    thread: int

    @property
    def ns(self):
        return self.end_ns - self.start_ns


class TruthRun:
    """One server's recording of all scenarios."""

    def __init__(self, name, directory, stack, scenarios, environment=None):
        self.name = name
        self.interface = "asgi" if name in ASGI else "wsgi"
        site = "tests.truth.site"
        with Run(name, site, directory, {"TRUTH_STACK": stack, **(environment or {})}) as server:
            client = Client(server)
            self.answers = {}
            for scenario in scenarios:
                self.answers |= getattr(sending, scenario)(client)
            told = json.loads(client.ask("/notes/").body)["notes"]
            client.close()
            self.records = server.records()
        self._server = server
        self.notes = [Note(*entry) for entry in told]
        self._by_trace = {record["trace_id"]: record for record in self.records}

    @functools.cached_property
    def environment(self):
        """What the report says of the process."""
        return json.loads(self._server.report("json"))["environment"]

    def of(self, scenario):
        """The records of a scenario's requests, as they were sent."""
        return [self._by_trace[answer.trace_id] for answer in self.answers[scenario]]

    def noted(self, record, label):
        """What was noted with a label while a request lasted."""
        end = record["end_ns"] + record["after_response_ns"]
        return [
            note
            for note in self.notes
            if note.label == label
            and record["start_ns"] <= note.start_ns <= end
            and (
                note.trace_id == record["trace_id"]
                or (not note.trace_id and note.start_ns < record["end_ns"])
            )
        ]


def tolerance(ns):
    """2 % or 50 µs."""
    return max(LEAST_NS, ns * SHARE)


def within(segments, start_ns, end_ns, **owner):
    """How much of an interval an owner has."""
    return sum(
        max(0, min(s["end_ns"], end_ns) - max(s["start_ns"], start_ns))
        for s in segments
        if all(s[name] == value for name, value in owner.items())
    )


def whole(record):
    """The segments of window and after."""
    return [*record["segments"], *record["after_response"]]


def total(segments, **owner):
    return within(segments, 0, 1 << 62, **owner)


def assert_owned(segments, note, **owner):
    """An owner has what the injected code measured, there where it was.

    A collection that happened to run in it is its own as well, by the name `gc`.
    """
    had = within(segments, note.start_ns, note.end_ns, **owner)
    if owner.get("part", "") != "gc" and "part" in owner:
        had += within(segments, note.start_ns, note.end_ns, **{**owner, "part": "gc"})
    around = [
        (s["layer"], s["detail"], s["part"], s["phase"], s["state"], s["end_ns"] - s["start_ns"])
        for s in segments
        if s["end_ns"] > note.start_ns and s["start_ns"] < note.end_ns
    ]
    assert note.ns - had <= tolerance(note.ns), (note.label, note.ns, had, owner, around)


def assert_no_more(pairs, own_ns, what="", *, slept=False):
    """An owner has no more than what was measured and its own code.

    A busy machine only adds: the least excess of several requests is what counts. After
    milliseconds of anything else the own code finds its caches cold and takes up to as long
    again, after a sleep those of a core that was given to others. `pairs`: what was found
    and the notes of each request.
    """
    excess = min(found - sum(note.ns for note in notes) for found, notes in pairs) - own_ns
    allowed = min(sum(tolerance(note.ns) for note in notes) for _, notes in pairs)
    assert excess <= allowed * (2 if slept else 1) + own_ns, (what, own_ns, pairs)
