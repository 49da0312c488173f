"""Make the tracer fail inside a running server, at the client's word.

`/_fault/NAME` breaks one thing, `/_fault/none` nothing; `/_refuse/NUMBER` installs
everything anew with one seam refused, whose number is its place in `/_seams`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace


class BrokenError(Exception):
    """What a broken part of the tracer raises."""


_fault = ["none"]
_hits = [0]
_sinks: list[object] = []


def _raising(*_args, **_kwargs):
    _hits[0] += 1
    raise BrokenError


def _breaking(name, original):
    def broken(*args, **kwargs):
        if _fault[0] == name:
            _raising()
        return original(*args, **kwargs)

    return broken


def _log(recorder):
    return _raising if _fault[0] == "log" else recorder.__dict__["log"]


def _set_log(recorder, log):
    recorder.__dict__["log"] = log


def install():
    """Put the breaking points in, where a tracer is installed."""
    if "tracer.recorder" not in sys.modules:
        return
    from tracer.recorder import Recorder, installed
    from tracer.sites import Sites
    from tracer.timeline import Timeline

    for method in ("open", "close", "occupy", "name", "culprit", "note_error", "watch_loop"):
        setattr(Recorder, method, _breaking(method, getattr(Recorder, method)))
    Sites.of = _breaking("site", Sites.of)
    opened = Timeline.__init__

    def __init__(self, *args, **kwargs):  # noqa: N807
        opened(self, *args, **kwargs)
        if _fault[0] == "mark":
            self.append = _raising

    Timeline.__init__ = __init__
    recorder = installed()
    recorder.__class__ = type("Breakable", (Recorder,), {"log": property(_log, _set_log)})
    sink = recorder.sink
    _sinks.append(sink)
    sink.write = _breaking("sink", sink.write)
    sink.describe = _breaking("sink", sink.describe)


def _refuse(number):
    import tracer
    from tracer.probes import all_probes

    wanted = seams()[number]
    probes = tuple(
        replace(
            probe,
            seams=tuple(
                replace(seam, shapes=("unknown",)) if seam.target == wanted else seam
                for seam in probe.seams
            ),
        )
        for probe in all_probes()
    )
    tracer.uninstall()
    tracer.install(_sinks[0], probes)
    return wanted


def seams():
    """The target of every seam whose module is there."""
    from tracer.probes import all_probes

    return [
        seam.target for probe in all_probes() for seam in probe.seams if seam.module in sys.modules
    ]


def answer(path):
    """Do what a path says; return what to tell, or None where it is for the demo."""
    _, _, rest = path.partition("/_")
    if not rest or path[:2] != "/_":
        return None
    word, _, value = rest.partition("/")
    if word == "fault":
        told = {"was": _fault[0], "hits": _hits[0]}
        _fault[0], _hits[0] = value, 0
    elif word == "refuse":
        told = {"refused": _refuse(int(value))}
    else:
        told = {"seams": seams()}
    return json.dumps(told).encode()
