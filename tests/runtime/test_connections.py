"""What is traced keeps its attributes where CPython finds them quickest: in no dictionary."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.probes.interpreters import ROOT
from tracer.agent.session import open_session

SERVE = """
import gc, json, sys
from benchmarks.hosts import HOSTS
host = HOSTS[sys.argv[1]]()
for _ in range(3):
    host.request()
held = [host.worker] if sys.argv[1] == "wsgi" else [host.loop, host.protocol]
if sys.argv[2:]:
    held[0].__dict__
own = {"_ready", "cycle", "wsgi"}
print(json.dumps([
    any(isinstance(one, dict) and one.keys() & own for one in gc.get_referents(thing))
    for thing in held
]), "tracer.runtime.recorder" in sys.modules)
"""


def in_dictionaries(tmp_path, *arguments):
    """Whether each of the server's objects has a dictionary, once it has served traced requests."""
    with open_session(tmp_path / "recording") as session:
        environment = session.environment({**os.environ, "PYTHONPATH": str(ROOT)})
        environment["DJANGO_SETTINGS_MODULE"] = "demo_site.settings"
        command = [sys.executable, "-c", SERVE, *arguments]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    found, traced = done.stdout.split("\n")[-2].rsplit(" ", 1)
    assert traced == "True"
    return json.loads(found)


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_servers_objects_keep_their_attributes_out_of_dictionaries(tmp_path, interface):
    assert not any(in_dictionaries(tmp_path, interface))


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="asking is harmless there")
def test_asking_for_a_dictionary_would_be_noticed(tmp_path):
    assert in_dictionaries(tmp_path, "asgi", "ask") == [True, False]
