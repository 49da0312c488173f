from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import tracer
from tracer.launch import setup
from tracer.recording.memory import MemorySink
from tracer.ring.layout import CAPACITY
from tracer.runtime.recorder import Recorder, installed
from tracer.runtime.seams import Probe, Seam
from tracer.settings import rotation
from tracer.settings import sampling as policy

ROOT = Path(__file__).resolve().parents[2]
ALL_SEAMS = """
import sys, json, inspect
from tracer.probes import all_probes
from tracer.runtime.seams import locate

def raw():
    found = {}
    for probe in all_probes():
        for seam in probe.seams:
            if seam.module in sys.modules:
                try:
                    found[seam.target] = locate(seam.target)[2]
                except AttributeError:
                    pass
    return found
"""


def python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "DJANGO_SETTINGS_MODULE": "demo_site.settings"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def clean():
    """Leave nothing installed."""
    assert installed() is None
    yield
    tracer.uninstall()


@pytest.fixture
def library(monkeypatch):
    module = types.ModuleType("setup_library")
    module.function = lambda request: request
    monkeypatch.setitem(sys.modules, "setup_library", module)
    return module


def probe():
    def make_wrapper(_recorder, original):
        return lambda request: ("stood in", original(request))

    return Probe("one", (Seam("setup_library:function", make_wrapper),))


def test_installing_is_idempotent_and_uninstalling_exact(clean, library):
    original, finders = library.function, list(sys.meta_path)
    first = tracer.install(MemorySink(), (probe(),))
    replaced = library.function
    assert tracer.install(MemorySink(), (probe(),)) is first
    assert library.function is replaced
    tracer.uninstall()
    tracer.uninstall()
    assert library.function is original
    assert sys.meta_path == finders
    assert installed() is None


def test_without_an_agent_nothing_is_installed(clean, monkeypatch):
    monkeypatch.delenv(setup.RING_DIRECTORY, raising=False)
    assert tracer.install() is None
    monkeypatch.setenv(setup.RING_DIRECTORY, "/nowhere/at/all")
    assert tracer.install() is None
    monkeypatch.setenv(setup.RING_DIRECTORY, "")
    assert tracer.install() is None


@pytest.mark.parametrize(("text", "rate"), [("0.25", 0.25), ("", 1), ("0", 0), ("1", 1)])
def test_the_share_to_record_is_read_from_the_environment(clean, monkeypatch, text, rate):
    monkeypatch.setenv(policy.SAMPLE, text)
    assert tracer.install(MemorySink(), ()).policy.rate == rate


@pytest.mark.parametrize("text", ["2", "-1", "much", "nan", "inf"])
def test_what_is_no_share_is_said_in_one_warning_and_left_out(clean, monkeypatch, caplog, text):
    monkeypatch.setenv(policy.SAMPLE, text)
    monkeypatch.setenv(policy.PATHS, "health=0")
    monkeypatch.setenv(policy.ROUTES, "test/=0.5")
    recorder = tracer.install(MemorySink(), ())
    assert recorder.policy == policy.Policy(routes=(("test/", 0.5),))
    (record,) = caplog.records
    said = record.getMessage()
    assert "\n" not in said
    assert policy.SAMPLE in said
    assert "'health' is no prefix" in said


def test_what_is_no_rotation_is_said_in_one_warning_and_left_out(
    clean, monkeypatch, caplog, tmp_path
):
    monkeypatch.setenv(rotation.SIZE, "500")
    monkeypatch.setenv("TRACER_RING_HOME", str(tmp_path))
    assert tracer.install(probes=(), record=tmp_path / "site.tracer") is not None
    (record,) = caplog.records
    assert record.getMessage().endswith(
        "TRACER_ROTATE_SIZE: '500' is no size from 100kB on, as 500MB"
    )


@pytest.mark.parametrize(
    ("text", "capacity"),
    [
        *((text, CAPACITY) for text in ("", "much", "-1", "10", "9" * 20)),
        ("65536", 65_536),
        ("1000000", 999_424),
    ],
)
def test_a_ring_is_as_large_as_asked_for_within_reason(
    clean, monkeypatch, tmp_path, text, capacity
):
    monkeypatch.setenv(setup.RING_DIRECTORY, str(tmp_path))
    monkeypatch.setenv(setup.RING_BYTES, text)
    assert tracer.install(probes=()).sink._capacity == capacity


def test_a_probe_that_cannot_be_built_leaves_the_process_untraced(clean, monkeypatch, tmp_path):
    """An application that calls `wrap` starts, whatever is wrong with us."""

    def broken():
        raise LookupError("cannot")

    monkeypatch.setattr("tracer.probes.all_probes", broken)
    application = object()
    monkeypatch.setattr("tracer.launch.setup.RingWriter", lambda *_: MemorySink())
    monkeypatch.setenv(setup.RING_DIRECTORY, str(tmp_path))
    assert tracer.wrap(application) is application
    assert installed() is None


def test_what_a_process_says_of_itself_is_json_and_names_its_seams(clean, library):
    recorder = tracer.install(MemorySink(), (probe(),))
    recorder.problem("middleware:shop.Odd", "absent", "not reached")
    document = json.loads(json.dumps(recorder.describe()))
    assert {seam["seam"]: seam["status"] for seam in document["seams"]} == {
        "setup_library:function": "installed",
        "middleware:shop.Odd": "absent",
    }
    environment = document["environment"]
    assert environment["django"]
    assert {"python", "cpus", "servers", "switch_interval_ns", "debug"} <= set(environment)


def test_the_environment_described_is_this_process():
    description = setup.process_description()
    assert description["python"] == ".".join(map(str, sys.version_info[:3]))
    assert description["cpus"] == len(os.sched_getaffinity(0))


def test_broken_metadata_of_a_library_does_not_keep_a_process_from_describing_itself(
    clean, monkeypatch, request
):
    def broken(_name):
        raise KeyError("Version")

    monkeypatch.setattr("importlib.metadata.version", broken)
    setup._version.cache_clear()
    request.addfinalizer(setup._version.cache_clear)
    recorder = tracer.install(MemorySink(), ())
    assert recorder.describe()["environment"]["django"] is None


def test_importing_tracer_patches_nothing():
    code = ALL_SEAMS + (
        "import django.core.handlers.asgi, django.core.handlers.wsgi, asgiref.sync\n"
        "import uvicorn.protocols.http.h11_impl, gunicorn.workers.sync, rest_framework.views\n"
        "finders, before = list(sys.meta_path), raw()\n"
        "import tracer, tracer.launch.setup\n"
        "same = all(value is before[name] for name, value in raw().items())\n"
        "print(len(before) > 40, same, sys.meta_path == finders)\n"
    )
    assert python(code).split() == ["True"] * 3


def test_uninstalling_puts_every_seam_back_whenever_its_module_came():
    code = ALL_SEAMS + (
        "import django.core.handlers.base, asgiref.sync, uvicorn.protocols.http.h11_impl\n"
        "before = raw()\n"
        "import tracer\n"
        "from tracer.recording.memory import MemorySink\n"
        "tracer.install(MemorySink())\n"
        "import gunicorn.workers.sync\n"
        "changed = [name for name, value in raw().items() if before.get(name) is not value]\n"
        "tracer.uninstall()\n"
        "after = raw()\n"
        "left = [n for n, v in after.items() if 'tracer' in str(getattr(v, '__code__', ''))]\n"
        "print(len(changed) > 30, all(after[name] is value for name, value in before.items()))\n"
        "print(left)\n"
    )
    assert python(code).split() == ["True", "True", "[]"]


def test_the_public_names_are_there_and_no_others():
    assert {"install", "uninstall", "wrap"} <= set(tracer.__all__)
    for name in tracer.__all__:
        assert getattr(tracer, name)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        tracer.nonsense  # noqa: B018 - the look-up is the test
    assert isinstance(Recorder(MemorySink()), Recorder)
