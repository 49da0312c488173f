"""What was recorded by an older version reads as it did then, byte for byte."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from tests.support.server import SERVERS, tracer

DATA = Path(__file__).resolve().parents[1] / "data" / "recordings"
REPORTS = {"jsonl": ("--format", "jsonl"), "json": ("--format", "json"), "txt": ()}


def unpacked(name):
    return lzma.decompress((DATA / f"{name}.xz").read_bytes())


@pytest.fixture(scope="module", params=SERVERS)
def recording(request, tmp_path_factory):
    """An old recording, in a file of the name it had."""
    path = tmp_path_factory.mktemp("old") / f"{request.param}.tracer"
    path.write_bytes(unpacked(path.name))
    return path


def report(recording, *options):
    done = tracer("report", recording, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.encode()


@pytest.mark.parametrize("kind", REPORTS)
def test_a_report_says_what_it_said(recording, kind):
    assert report(recording, *REPORTS[kind]) == unpacked(f"{recording.stem}.{kind}")


def test_a_flame_graph_is_what_it_was(recording):
    done = tracer("flame", recording, "--request", "slowest", "--format", "collapsed")
    assert done.returncode == 0, done.stderr
    assert done.stdout.encode() == unpacked(f"{recording.stem}.collapsed")


def test_attributed_anew_it_comes_to_the_same(recording, tmp_path):
    copy = tmp_path / recording.name
    copy.write_bytes(recording.read_bytes())
    again = json.loads(report(copy, "--redo", "--format", "json"))
    before = json.loads(unpacked(f"{recording.stem}.json"))
    for document in (again, before):
        (configuration,) = document["configurations"]
        configuration["counts"].pop("attribution")
        # Routes of which there were as many requests come in any order.
        configuration["routes"].sort(key=lambda one: (-one["requests"], str(one["route"])))
    assert again == before
    assert report(copy, "--format", "jsonl") == unpacked(f"{recording.stem}.jsonl")
