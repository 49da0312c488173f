"""Servers whose requests have their stacks taken, and what was recorded of them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from tests.support.run import Client, Run
from tracer.recording.reader import Recording

SITE = "tests.flame.site"
AFTER_S = 0.03
"""So long a request may go on after its answer; until then no other one is armed."""


@dataclass
class Taken:
    """One request that was armed: what was recorded, and what it said of itself."""

    request: object
    stacks: object
    told: object


def server_of(name, directory, flame, **environment):
    """A server of the site that takes stacks of the requests `flame` says."""
    variables = {"TRACER_FLAME": flame, **environment}
    return Run(name, SITE, directory, variables)


class FlameRun:
    """One server's recording, `times` requests of each path; those that were armed."""

    def __init__(self, server, paths, *, times, at_once=()):
        self.answers = {}
        with server:
            client = Client(server)
            for path in paths:
                client.ask(path)  # imports, threads, caches
                time.sleep(AFTER_S)
                for _ in range(times):
                    self._note(client.ask(path))
                    time.sleep(AFTER_S)
            for _ in range(times if at_once else 0):
                for answer in client.at_once(*at_once):
                    self._note(answer)
                time.sleep(AFTER_S)
            client.close()
            server.stop()
        self.log = server.text()
        self.path = server.recording
        with Recording(self.path) as opened:
            self.taken = [
                Taken(request, stacks, self.answers.get(request.trace_id))
                for request in opened.requests()
                if (stacks := opened.stacks(request.request_id)) is not None
            ]

    def of(self, target):
        found = [one for one in self.taken if one.request.target == target and one.told is not None]
        assert found, (target, self.log[-2000:])
        return found

    def _note(self, answer):
        assert answer.status == 200, answer
        self.answers[answer.trace_id] = json.loads(answer.body)
