from __future__ import annotations

import io
import json
import math
import os
from pathlib import Path

import pytest

from tests.support import builders
from tracer.analysis.documents import compare_document
from tracer.reports.files import open_output
from tracer.reports.json import dump, jsonl


def test_a_document_is_json_with_a_line_end():
    stream = io.StringIO()
    document = compare_document(builders.pair(rounds=2, each=3))
    dump(document, stream)
    assert stream.getvalue().endswith("}\n")
    assert json.loads(stream.getvalue()) == document


def test_numbers_that_json_cannot_hold_become_null():
    stream = io.StringIO()
    dump({"a": math.inf, "b": [math.nan, (1.5, -math.inf)]}, stream)
    assert json.loads(stream.getvalue()) == {"a": None, "b": [None, [1.5, None]]}


def test_jsonl_has_one_request_a_line():
    stream = io.StringIO()
    requests = [builders.asgi_request(), builders.wsgi_request()]
    jsonl(requests, stream)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [one["request_id"] for one in lines] == [one.request_id for one in requests]
    assert {one["schema"] for one in lines} == {"tracer.request/1"}
    assert lines[0]["hops"][0]["site"].startswith("django.dispatch")


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_only_who_made_a_report_may_read_it(tmp_path, mode):
    before = os.umask(0o022)
    try:
        with open_output(tmp_path / "report", mode) as stream:
            stream.write("é" if mode == "w" else b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "report").stat().st_mode & 0o777 == 0o600


def test_a_report_goes_to_standard_output_where_that_is_asked_for(capfd):
    with open_output(Path("-")) as stream:
        stream.write("said")
        stream.flush()
    assert capfd.readouterr().out == "said"
