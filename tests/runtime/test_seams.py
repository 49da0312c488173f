from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import types

import pytest

from tracer.recording.memory import MemorySink
from tracer.runtime import seams
from tracer.runtime.recorder import Recorder
from tracer.runtime.seams import Installation, Probe, Seam, ShapeError


class Base:
    def inherited(self, a):
        return "inherited", a


class Target(Base):
    def method(self, a, b=2, *args, key=None, **kwargs):
        return self, a, b

    @staticmethod
    def static(a):
        return a

    @classmethod
    def of_class(cls, a):
        return cls, a

    async def coroutine(self, a):
        await asyncio.sleep(0)
        return a


def function(request):
    return request


@pytest.fixture
def library(monkeypatch):
    module = types.ModuleType("seams_library")
    module.Target = type("Target", (Target,), dict(vars(Target)))
    module.function = function
    module.number = 3
    monkeypatch.setitem(sys.modules, "seams_library", module)
    return module


@pytest.fixture
def recorder():
    return Recorder(MemorySink())


def make_wrapper(_recorder, original):
    @functools.wraps(original)
    def replaced(*args, **kwargs):
        return "stood in", original(*args, **kwargs)

    return replaced


def installed(recorder, *made, prepare=None):
    installation = Installation(recorder, (Probe("one", made, prepare),))
    installation.start()
    return installation


def test_a_seam_is_stood_in_for_and_put_back_identically(library, recorder):
    raw = inspect.getattr_static(library.Target, "method")
    seam = Seam("seams_library:Target.method", make_wrapper)
    installation = installed(recorder, seam)
    assert installation.statuses == {seam.target: ("installed", None)}
    assert library.Target().method(1)[0] == "stood in"
    installation.stop()
    assert inspect.getattr_static(library.Target, "method") is raw


def test_installing_twice_stands_in_once(library, recorder):
    installation = installed(recorder, Seam("seams_library:function", make_wrapper))
    replaced = library.function
    installation.start()
    installation.module_imported("seams_library")
    assert library.function is replaced
    installation.stop()
    installation.stop()
    assert library.function is function


def test_what_a_class_inherits_is_not_left_behind_on_it(library, recorder):
    installation = installed(recorder, Seam("seams_library:Target.inherited", make_wrapper))
    assert library.Target().inherited(1)[0] == "stood in"
    installation.stop()
    assert "inherited" not in vars(library.Target)


def test_seams_on_one_target_are_put_back_in_reverse(library, recorder):
    first = Probe("one", (Seam("seams_library:function", make_wrapper),))
    second = Probe("two", (Seam("seams_library:function", make_wrapper),))
    installation = Installation(recorder, (first, second))
    installation.start()
    installation.stop()
    assert library.function is function


@pytest.mark.parametrize(
    ("target", "shapes"),
    [
        ("Target.method", ("self, a, b, *args, key, **kwargs",)),
        ("Target.method", ("nonsense", "self, a, b, *args, key, **kwargs")),
        ("Target.static", ("a",)),
        ("Target.of_class", ("cls, a",)),
        ("function", ("request",)),
        ("function", ()),
    ],
)
def test_a_known_shape_is_accepted(library, target, shapes):
    raw = inspect.getattr_static(
        library.Target if "." in target else library, target.rpartition(".")[2]
    )
    seams.check_shape(raw, shapes)


def test_an_unknown_shape_is_refused_named_and_untouched(library, recorder):
    seam = Seam("seams_library:function", make_wrapper, shapes=("self, other",))
    installation = installed(recorder, seam)
    status, reason = installation.statuses[seam.target]
    assert status == "refused"
    assert "takes (request)" in reason
    assert "(self, other)" in reason
    assert recorder.problems == {seam.target: (status, reason)}
    assert library.function is function


def test_what_is_not_callable_is_refused(library, recorder):
    installation = installed(recorder, Seam("seams_library:number", make_wrapper))
    assert installation.statuses["seams_library:number"][0] == "refused"
    assert library.number == 3


def test_a_signature_that_cannot_be_read_is_refused():
    with pytest.raises(ShapeError, match="no readable signature"):
        seams.check_shape(type, ("self",))


def test_a_stand_in_that_raises_is_refused_and_leaves_the_original(library, recorder):
    def broken(_recorder, _original):
        raise LookupError("cannot")

    installation = installed(recorder, Seam("seams_library:function", broken))
    assert installation.statuses["seams_library:function"] == (
        "refused",
        "LookupError('cannot')",
    )
    assert library.function is function


def test_a_target_that_is_missing_is_absent(library, recorder):
    seam = Seam("seams_library:Target.none", make_wrapper)
    installation = installed(recorder, seam)
    assert installation.statuses[seam.target][0] == "absent"
    assert recorder.problems[seam.target][0] == "absent"


def test_an_optional_target_that_is_missing_is_no_problem(library, recorder):
    seam = Seam("seams_library:Target.none", make_wrapper, optional=True)
    assert installed(recorder, seam).statuses[seam.target][0] == "absent"
    assert recorder.problems == {}


def test_a_module_not_imported_yet_is_left_alone_until_it_is(recorder, monkeypatch):
    installation = installed(recorder, Seam("seams_later:function", make_wrapper))
    assert installation.statuses == {}
    later = types.ModuleType("seams_later")
    later.function = function
    monkeypatch.setitem(sys.modules, "seams_later", later)
    installation.module_imported("seams_later")
    assert later.function(1) == ("stood in", 1)
    installation.stop()


def test_a_probe_whose_preparation_fails_is_refused_and_its_seams_stay(library, recorder):
    def broken(_recorder):
        raise LookupError("cannot")

    seam = Seam("seams_library:function", make_wrapper)
    installation = installed(recorder, seam, prepare=broken)
    assert installation.statuses["one"] == ("refused", "LookupError('cannot')")
    assert installation.statuses[seam.target][0] == "installed"
    installation.stop()


def test_preparation_is_undone_with_the_rest(recorder):
    calls = []

    def prepare(_recorder):
        calls.append("prepared")
        return functools.partial(calls.append, "undone")

    installed(recorder, prepare=prepare).stop()
    assert calls == ["prepared", "undone"]


def test_one_seam_that_cannot_be_put_back_does_not_keep_the_others(recorder, library):
    def prepare(_recorder):
        return lambda: 1 / 0

    first = Probe("one", (Seam("seams_library:function", make_wrapper),))
    installation = Installation(recorder, (first, Probe("two", (), prepare)))
    installation.start()
    installation.stop()
    assert library.function is function


def test_two_probes_may_have_a_seam_on_the_same_attribute(library, recorder):
    seam = Seam("seams_library:function", make_wrapper)
    installation = Installation(recorder, (Probe("one", (seam,)), Probe("other", (seam,))))
    installation.start()
    assert library.function(7) == ("stood in", ("stood in", 7))
    assert set(installation.statuses) == {seam.target, f"{seam.target} (other)"}
    installation.stop()
    assert library.function is function


@pytest.mark.parametrize("error", [SystemExit, ZeroDivisionError])
def test_whatever_a_probe_raises_its_host_goes_on(library, recorder, error):
    def raises(*_given):
        raise error

    installation = installed(recorder, Seam("seams_library:function", raises), prepare=raises)
    assert {status for status, _ in installation.statuses.values()} == {"refused"}
    assert library.function is function
