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


def _breakable(name, fault):
    """An attribute of the recorder that can't be called while there is a fault."""

    def read(recorder):
        return _raising if _fault[0] == fault else recorder.__dict__[name]

    def write(recorder, value):
        recorder.__dict__[name] = value

    return property(read, write)


def install():
    """Put the breaking points in, where a tracer is installed."""
    if "tracer.runtime.recorder" not in sys.modules:
        return
    from tracer.model.native import native
    from tracer.model.timeline import Timeline
    from tracer.runtime.call_sites import Sites
    from tracer.runtime.recorder import Recorder, installed
    from tracer.runtime.sampling import Sampler

    for method in ("open", "occupy", "blocker", "note_error", "watch_loop"):
        setattr(Recorder, method, _breaking(method, getattr(Recorder, method)))
    Recorder.open_early = _breaking("open", Recorder.open_early)
    for method in ("judge", "settle"):
        setattr(Sampler, method, _breaking(method, getattr(Sampler, method)))
    Sites.of = _breaking("site", Sites.of)
    opened = Timeline.__init__

    def __init__(self, *args, **kwargs):  # noqa: N807
        if native is None:
            opened(self, *args, **kwargs)
        if _fault[0] == "mark" and native is None:
            self.append = _raising
        elif _fault[0] == "mark":
            _hits[0] += 1
            self.drop()

    Timeline.__init__ = __init__
    recorder = installed()
    recorder.close = _breaking("close", recorder.close)
    breakable = {name: name for name in ("name", "endpoint", "log")}
    breakable["busy"] = "log"
    attributes = {name: _breakable(name, fault) for name, fault in breakable.items()}
    recorder.__class__ = type("Breakable", (Recorder,), attributes)
    sink = recorder.sink
    _sinks.append(sink)
    sink.write = _breaking("sink", sink.write)
    sink.describe = _breaking("sink", sink.describe)
    sink.count = _breaking("sink", sink.count)


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
