"""What every probe has to keep to, whichever it is: a new one is covered unedited."""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import sys

import pytest

from tracer.probes import all_probes
from tracer.runtime.seams import Installation, Probe, locate, parameters

PROBES = all_probes(server_timing=True)
ONE_BY_ONE = pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
SEAMS = [
    pytest.param(probe, seam, id=f"{probe.name}-{seam.target}")
    for probe in PROBES
    for seam in probe.seams
]


def import_all(probe):
    for seam in probe.seams:
        try:
            importlib.import_module(seam.module)
        except ImportError:
            assert seam.module.partition(".")[0] not in sys.stdlib_module_names


def raw(seam):
    """Return what an attribute's holder itself has, to be compared by identity."""
    try:
        holder, name, found = locate(seam.target)
    except (ImportError, AttributeError):
        return None
    return vars(holder).get(name), found


def raws(probe):
    return {seam.target: raw(seam) for seam in probe.seams}


def same(one, other):
    return all(
        mine is theirs
        or (mine and theirs and all(a is b for a, b in zip(mine, theirs, strict=True)))
        for mine, theirs in zip(one.values(), other.values(), strict=True)
    )


def around():
    """What probes touch that is no seam of theirs."""
    return list(gc.callbacks), list(sys.meta_path)


@ONE_BY_ONE
def test_installing_twice_changes_nothing_and_uninstalling_restores_exactly(probe, recorder):
    import_all(probe)
    before, outside = raws(probe), around()
    installation = Installation(recorder, (probe,))
    installation.start()
    try:
        installed, hooks = raws(probe), len(recorder.loop_hooks)
        for module in installation.modules():
            installation.module_imported(module)
        assert same(installed, raws(probe))
        assert len(recorder.loop_hooks) == hooks
        refused = [one for one in installation.statuses.items() if one[1][0] == "refused"]
        assert not refused
    finally:
        installation.stop()
    assert same(before, raws(probe))
    assert around() == outside
    assert recorder.loop_hooks == []


@ONE_BY_ONE
def test_every_seam_of_an_installed_library_is_there(probe, recorder):
    """On this interpreter and these releases nothing is missing that isn't said to be optional."""
    import_all(probe)
    installation = Installation(recorder, (probe,))
    installation.start()
    installation.stop()
    assert recorder.problems == {}


@ONE_BY_ONE
def test_a_missing_library_is_absent_and_breaks_nothing(probe, recorder, monkeypatch):
    missing = {
        seam.module
        for seam in probe.seams
        if seam.module.partition(".")[0] not in sys.stdlib_module_names
    }
    import_all(probe)
    before = raws(probe)
    installation = Installation(recorder, (Probe(probe.name, probe.seams),))
    with monkeypatch.context() as patched:
        for module in missing:
            patched.setitem(sys.modules, module, None)
            installation.module_imported(module)
    assert {status for status, _ in installation.statuses.values()} <= {"absent"}
    expected = {seam.target for seam in probe.seams if seam.module in missing}
    assert set(installation.statuses) == expected
    needed = {s.target for s in probe.seams if s.module in missing and not s.optional}
    assert set(recorder.problems) == needed
    installation.stop()
    assert same(before, raws(probe))


def surprise(*surprise):
    raise AssertionError("nobody calls this")


@pytest.mark.parametrize(("probe", "seam"), SEAMS)
def test_a_target_of_unknown_shape_is_refused_named_and_left_alone(
    probe, seam, recorder, monkeypatch
):
    import_all(probe)
    if raw(seam) is None:
        pytest.skip("not in this release")
    odd = surprise if seam.shapes else object()
    holder, name, _ = locate(seam.target)
    installation = Installation(recorder, (Probe(probe.name, (seam,)),))
    with monkeypatch.context() as patched:
        patched.setattr(holder, name, odd)
        installation.start()
        left = inspect.getattr_static(holder, name)
        installation.stop()
        assert inspect.getattr_static(holder, name) is odd
    assert left is odd
    assert recorder.problems[seam.target][0] == "refused"
    assert recorder.problems[seam.target][1]


@pytest.mark.parametrize(("probe", "seam"), SEAMS)
def test_a_stand_in_keeps_name_signature_and_kind_of_the_original(probe, seam, recorder):
    """APMs that changed a call's shape broke every request of a release."""
    import_all(probe)
    if raw(seam) is None:
        pytest.skip("not in this release")
    holder, name, original = locate(seam.target)
    installation = Installation(recorder, (Probe(probe.name, (seam,)),))
    installation.start()
    try:
        make_wrapper = inspect.getattr_static(holder, name)
        assert gives_coroutines(make_wrapper) == gives_coroutines(original)
        if not isinstance(original, staticmethod | classmethod) and hasattr(
            make_wrapper, "__wrapped__"
        ):
            assert parameters(make_wrapper) == parameters(original)
            assert make_wrapper.__name__ == original.__name__
    finally:
        installation.stop()


def gives_coroutines(function):
    """Whether asgiref takes it for a coroutine function; on 3.11 it looks for asyncio's mark."""
    return inspect.iscoroutinefunction(function) or (
        getattr(function, "_is_coroutine", None) is vars(asyncio.coroutines).get("_is_coroutine", 0)
    )
