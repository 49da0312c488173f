from __future__ import annotations

import io
import json
import math
import re

from rich.text import Text

from tests.analysis import builders
from tracer.analysis.comparison import compare_document
from tracer.reports.html import write_html
from tracer.reports.json import dump, jsonl
from tracer.reports.terminal import render_comparison


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


def test_a_page_stands_alone_and_says_what_the_terminal_says(tmp_path):
    measurements = builders.pair(rounds=2, each=3)
    document = compare_document(measurements)
    path = tmp_path / "page.html"
    write_html(path, lambda c: render_comparison(document, measurements, c), "wsgi {a} <b> asgi")
    page = path.read_text(encoding="utf-8")
    assert '<meta charset="utf-8">' in page
    assert 'name="viewport"' in page
    assert "<title>wsgi {a} &lt;b&gt; asgi</title>" in page
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r"(src|href)=|https?://|@import|<script", page)
    plain = re.sub(r"<[^>]+>", "", page)
    assert "Findings" in plain
    assert "SecurityMiddleware.process_request" in plain


def test_a_page_shows_text_as_text(tmp_path):
    path = tmp_path / "page.html"
    write_html(path, lambda c: c.print(Text("<script>{x}</script> 100 %")), "t")
    assert "&lt;script&gt;{x}&lt;/script&gt; 100 %" in path.read_text(encoding="utf-8")
