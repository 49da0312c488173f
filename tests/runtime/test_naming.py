from __future__ import annotations

import os
import threading

import pytest

from tracer.analysis.attribution.worker import owner_in
from tracer.model.clock import now
from tracer.model.frames import TIMELINE, decode_timeline
from tracer.model.layers import Owner
from tracer.model.nametable import OTHER, CodeLocation, Endpoint, endpoint_in, locations_in
from tracer.ring.reader import RingReader
from tracer.ring.writer import RingWriter
from tracer.runtime.naming import Naming
from tracer.runtime.recorder import Recorder
from tracer.runtime.threadnames import ThreadNames


def test_where_code_stands_is_told_once():
    naming = Naming()
    naming.place("a.b", CodeLocation("/a.py", 1))
    naming.place("a.b", CodeLocation("/other.py", 2))
    naming.place("len", len)
    assert locations_in(naming.take()) == {"a.b": CodeLocation("/a.py", 1)}
    assert naming.take() == []


def test_places_and_endpoints_of_any_number_make_no_table_grow_without_end():
    naming = Naming()
    for number in range(5_000):
        naming.place(f"a.{number}", CodeLocation("/a.py", number))
    numbers = [naming.endpoint("http", (f"host{number}", 80), "1.1") for number in range(5_000)]
    assert len(naming.numbers) < 2_500
    assert numbers[-1] == 0
    assert naming.endpoint("http", ("host0", 80), "1.1") == numbers[0]


def test_an_endpoint_says_what_is_known_and_nothing_a_client_made_up():
    naming = Naming()
    for given, said in (
        (("https", ("::1", 443, 0, 0), (2, 0)), Endpoint("https", "::1", 443, "2")),
        (("http", "/run/site.sock", "1.1"), Endpoint("http", "/run/site.sock", None, "1.1")),
        (("http", None, "1.77777"), Endpoint("http")),
        (("http", ("10.0.0.1", None), (1, 77777)), Endpoint("http", "10.0.0.1")),
    ):
        number = naming.endpoint(*given)
        text = next(text for text, known in naming.numbers.items() if known == number)
        assert endpoint_in(text) == said


def test_a_forked_child_tells_everything_again_in_order():
    naming = Naming()
    numbers = [naming.name(text) for text in ("a", "b", "c")]
    naming.take()
    naming.after_fork()
    assert naming.take() == ["a", "b", "c"]
    assert numbers == [1, 2, 3]


def test_threads_that_serve_are_known_by_their_names_once_each():
    names = ThreadNames()
    met, number = [], []

    def serve():
        met.extend((names.met(), names.met()))
        number.append(threading.get_native_id())

    thread = threading.Thread(target=serve, name="x" * 500)
    thread.start()
    thread.join()
    told = names.by_number()
    assert met == [True, False]
    assert told[str(number[0])] == "x" * 100
    assert told[str(os.getpid())] == threading.main_thread().name


def test_ever_new_threads_are_not_told_without_end():
    names = ThreadNames()
    threads = [threading.Thread(target=names.met) for _ in range(100)]
    gate = threading.Event()
    kept = [threading.Thread(target=lambda: (names.met(), gate.wait())) for _ in range(100)]
    for one in (*threads, *kept):
        one.start()
    gate.set()
    for one in (*threads, *kept):
        one.join()
    assert len(names.by_number()) <= 65


def test_a_flood_of_names_costs_names_and_nothing_else(tmp_path):
    writer = RingWriter(tmp_path, 1 << 20)
    recorder = Recorder(writer)
    for number in range(60_000):
        recorder.name(f"shop.errors.Error{number}")
    timeline = recorder.open("wsgi", "gunicorn.sync", now())
    timeline.error_type = recorder.name("shop.errors.OneMore")
    timeline.method = recorder.method("GET")
    recorder.close(timeline)
    reader = RingReader(next(tmp_path.glob("*.ring")))
    try:
        (kept,) = [one for kind, one in reader.frames() if kind == TIMELINE]
        names = reader.names(0)
    finally:
        reader.close()
    head, _ = decode_timeline(kept)
    assert names[head.error_type - 1] == OTHER
    assert names[head.server - 1] == OTHER
    assert len(recorder.names) < 60_000
    assert writer._told == len(writer._texts)
    assert recorder.problems["recorder:names"][0] == "refused"


def test_an_owner_without_room_is_its_layer():
    naming = Naming()
    number = naming.owner("view", "shop." + "v" * 20_000)
    text = next(text for text, known in naming.numbers.items() if known == number)
    assert owner_in(text) == Owner("view")


@pytest.mark.parametrize("text", ["BREW", "get", "G\x1fT", "X" * 8_000])
def test_a_method_that_no_standard_knows_has_no_name_of_its_own(text):
    naming = Naming()
    assert naming.method(text) == naming.name(OTHER)
    assert naming.method("PROPFIND") == naming.name("PROPFIND")
