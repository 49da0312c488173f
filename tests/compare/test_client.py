from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from tracer.compare.client import Driver
from tracer.compare.connection import Connection
from tracer.compare.echo import echo_server, measure_floor
from tracer.compare.load import LoadError, LoadPlan, run_load

MS = 1_000_000


@pytest.fixture(scope="module")
def echo():
    with echo_server(300) as port:
        yield port


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
@pytest.mark.parametrize("concurrency", [1, 7])
def test_every_request_has_its_stamps_in_order(echo, connection, concurrency):
    before = time.perf_counter_ns()
    plan = LoadPlan(port=echo, requests=300, concurrency=concurrency, connection=connection)
    result = run_load(plan)
    after = time.perf_counter_ns()
    assert len(result.answers) == 300
    assert result.errors == 0
    for one in result.answers:
        assert before < one.send_ns <= one.first_byte_ns <= one.last_byte_ns < after
        assert one.scheduled_ns == one.send_ns
        assert one.status == 200
        assert one.error is None
        assert 0 <= one.own_delay_ns <= one.latency_ns
    assert len({one.trace_id for one in result.answers}) == 300
    assert result.connections == (concurrency if connection == "keep-alive" else 300)
    opened = sum(one.new_connection for one in result.answers)
    assert opened == result.connections


def test_a_request_carries_what_was_asked_for(serve, ok):
    server = serve(lambda sock, _head, _number: sock.sendall(ok))
    plan = LoadPlan(
        port=server.port,
        targets=("/a?x=1", "/b"),
        headers=(("Host", "example.org"), ("X-One", "1"), ("Traceparent", "00-theirs")),
        requests=4,
        warmup=2,
    )
    result = run_load(plan)
    assert [head.split(b" ", 2)[1] for head in server.heads] == [b"/a?x=1", b"/b"] * 3
    ids = []
    for head in server.heads:
        assert b"\r\nHost: example.org" in head
        assert b"\r\nX-One: 1" in head
        found = re.findall(rb"traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-01", head)
        assert len(found) == 1
        assert b"theirs" not in head
        ids.append(found[0][0].decode())
    assert ids[2:] == [one.trace_id for one in result.answers]


def test_a_body_is_sent_whole(serve, ok):
    received = []

    def behave(sock, head, _number):
        length = int(re.search(rb"Content-Length: (\d+)", head)[1])
        parts = [server.rest]
        time.sleep(0.05)  # the client's socket is full meanwhile
        while sum(map(len, parts)) < length:
            parts.append(sock.recv(1 << 20))
            assert parts[-1]
        received.append(b"".join(parts))
        sock.sendall(ok)
        return False

    body = os.urandom(8_000_000)
    server = serve(behave)
    result = run_load(LoadPlan(port=server.port, method="POST", body=body, requests=1, timeout_s=9))
    assert result.errors == 0
    assert received == [body]


ANSWERS = {
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "100 first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "103 first": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no body": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("piecewise", [False, True])
def test_answers_of_every_framing_keep_the_connection(serve, answer, piecewise):
    def behave(sock, _head, _number):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (answer[i : i + 1] for i in range(len(answer))) if piecewise else (answer,):
            sock.sendall(piece)

    server = serve(behave)
    result = run_load(LoadPlan(port=server.port, requests=3))
    assert result.errors == 0
    assert server.connections == 1
    assert {one.status for one in result.answers} <= {200, 204, 304}


def test_a_close_delimited_answer_ends_with_the_connection(serve):
    def behave(sock, _head, _number):
        sock.sendall(b"HTTP/1.1 200 OK\r\nX-Note: content-length unknown\r\n\r\nfirst")
        time.sleep(0.03)
        sock.sendall(b"last")
        return False

    server = serve(behave)
    result = run_load(LoadPlan(port=server.port, requests=3))
    assert result.errors == 0
    assert server.connections == 3
    assert all(one.last_byte_ns - one.first_byte_ns > 25 * MS for one in result.answers)


def test_head_has_no_body_whatever_its_length_says(serve):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    server = serve(lambda sock, _head, _number: sock.sendall(answer))
    result = run_load(LoadPlan(port=server.port, method="HEAD", requests=3, timeout_s=2))
    assert result.errors == 0
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ntorn", "lost"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nto", "lost"),
        (b"HTTP/1.1 200 OK\r\nContent-", "lost"),
        (b"", "lost"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "malformed"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", None),
    ],
)
def test_no_whole_answer_is_an_error(serve, answer, error):
    def behave(sock, _head, _number):
        sock.sendall(answer)
        return False

    result = run_load(LoadPlan(port=serve(behave).port, requests=3, timeout_s=2))
    assert result.errors == 3
    assert result.latencies_ns == ()
    assert all(one.status is None for one in result.answers)
    assert error is None or {one.error for one in result.answers} == {error}


def test_a_500_is_an_error_whose_latency_is_kept_apart(serve, ok):
    def behave(sock, _head, number):
        bad = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
        sock.sendall(bad if number % 3 == 0 else ok)

    result = run_load(LoadPlan(port=serve(behave).port, requests=9))
    assert result.errors == 3
    assert len(result.latencies_ns) == 6
    assert len(result.error_latencies_ns) == 3
    assert [one.status for one in result.answers] == [200, 200, 500] * 3


def test_a_lost_keep_alive_race_is_resent_once(serve, ok):
    def behave(sock, _head, number):
        if number % 2 == 0:
            return False  # as if the connection had been closed just before
        sock.sendall(ok)
        return True

    server = serve(behave)
    result = run_load(LoadPlan(port=server.port, requests=4))
    assert result.errors == 0
    assert [one.new_connection for one in result.answers] == [True, True, True, True]
    assert server.connections == 4


def test_a_post_is_never_resent(serve, ok):
    def behave(sock, _head, number):
        if number == 2:
            return False
        sock.sendall(ok)
        return True

    server = serve(behave)
    result = run_load(LoadPlan(port=server.port, method="POST", requests=3))
    assert [one.error for one in result.answers] == [None, "lost", None]
    assert len(server.heads) == 3


def test_an_idle_connection_that_was_closed_is_reopened(serve, ok):
    def behave(sock, _head, _number):
        sock.sendall(ok)
        return False

    result = run_load(LoadPlan(port=serve(behave).port, requests=10, rate=100))
    assert result.errors == 0


@pytest.mark.alone
@pytest.mark.timing
def test_time_outs_bound_a_request_and_leave_the_others(serve, ok):
    def behave(sock, _head, number):
        if number == 2:
            time.sleep(1)
        sock.sendall(ok)

    begin = time.monotonic()
    result = run_load(LoadPlan(port=serve(behave).port, requests=4, timeout_s=0.2))
    assert time.monotonic() - begin < 1
    assert [one.error for one in result.answers] == [None, "timeout", None, None]


def test_a_server_that_is_gone_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = run_load(LoadPlan(port=port, requests=1_000_000, warmup=5))
    assert result.gave_up
    assert result.latencies_ns == ()
    assert {one.error for one in result.answers} <= {"refused"}


def test_a_server_that_never_answers_is_given_up(serve):
    released = threading.Event()
    server = serve(lambda *_: released.wait(20))
    begin = time.monotonic()
    result = run_load(LoadPlan(port=server.port, requests=1000, timeout_s=0.1, concurrency=2))
    released.set()
    assert time.monotonic() - begin < 5
    assert result.gave_up
    assert {one.error for one in result.answers} == {"timeout"}


@pytest.mark.alone
@pytest.mark.timing
def test_the_open_loop_does_not_hide_a_stall(serve, ok):
    lock = threading.Lock()

    def behave(sock, _head, number):
        with lock:  # one worker: who comes during the stall waits for its end
            if number == 50:
                time.sleep(0.3)
        sock.sendall(ok)

    closed = run_load(LoadPlan(port=serve(behave).port, requests=200))
    opened = run_load(LoadPlan(port=serve(behave).port, requests=200, rate=200))
    assert sum(ns > 50 * MS for ns in closed.latencies_ns) == 1
    late = sorted(ns for ns in opened.latencies_ns if ns > 50 * MS)
    assert len(late) > 30
    assert 250 * MS < sorted(opened.latencies_ns)[197] < 500 * MS


@pytest.mark.alone
@pytest.mark.timing
def test_the_open_loop_keeps_its_instants(echo):
    result = run_load(LoadPlan(port=echo, requests=200, rate=500))
    due = [one.scheduled_ns for one in result.answers]
    assert all(abs(b - a - 2 * MS) <= 1 for a, b in itertools.pairwise(due))
    assert all(one.send_ns >= one.scheduled_ns for one in result.answers)
    assert result.connections <= 200
    median = sorted(one.send_ns - one.scheduled_ns for one in result.answers)[100]
    assert median < 2 * MS


class Late(Driver):
    """A client that is busy elsewhere for 20 ms each time an answer comes."""

    def advance_closed(self):
        while self.can_issue:
            self.issue()
        time.sleep(0.02)
        for key, events in self.selector.select(0.05):
            key.data.handle(events)


@pytest.mark.alone
@pytest.mark.timing
def test_the_clients_own_lateness_is_measured(echo):
    driver = Late(LoadPlan(port=echo, requests=5))
    driver.run()
    for connection in driver.clients:
        connection.close()
    driver.selector.close()
    for delay in driver.columns.own_delay:
        assert 15 * MS < delay < 60 * MS


@pytest.mark.alone
@pytest.mark.timing
def test_own_delay_is_little_when_nothing_disturbs(echo):
    result = run_load(LoadPlan(port=echo, requests=500))
    delays = sorted(one.own_delay_ns for one in result.answers)
    assert 0 < delays[250] < MS


def test_without_a_kernel_stamp_there_is_no_own_delay():
    connection = Connection(None)
    connection.ancillary = []
    assert connection.arrived_unix_ns() == 0


@pytest.mark.alone
@pytest.mark.timing
def test_a_time_limit_ends_the_load_early(serve, ok):
    def behave(sock, _head, _number):
        time.sleep(0.01)
        sock.sendall(ok)

    result = run_load(LoadPlan(port=serve(behave).port, requests=10_000, max_seconds=0.3))
    assert 5 < len(result.answers) < 60
    assert result.errors == 0
    assert not result.gave_up


@pytest.mark.alone
@pytest.mark.timing
def test_the_floor_is_measured_in_either_mode():
    kept = measure_floor(LoadPlan(port=0), 200)
    closed = measure_floor(
        LoadPlan(port=0, connection="close", method="POST", body=b"x" * 999), 200
    )
    assert len(kept) == len(closed) == 200
    assert 0 < sorted(kept)[20] < 20 * MS, "the least are not the scheduler's"
    assert 0 < sorted(closed)[20] < 20 * MS


def test_the_echo_answers_in_the_size_it_is_asked_for():
    with echo_server(700) as port:
        result = run_load(LoadPlan(port=port, requests=10))
    assert result.bytes_received == 7000


def test_the_client_ends_with_its_parent(serve):
    released = threading.Event()
    server = serve(lambda *_: released.wait(20))
    code = (
        "from tracer.compare.load import *\n"
        f"run_load(LoadPlan(port={server.port}, requests=9, headers=(('X', 'orphan'),)))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 5
    while not server.heads and time.monotonic() < deadline:
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    released.set()
    while server.threads[1].is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)  # the connection is closed, so its process is gone
    assert not server.threads[1].is_alive()


def test_ctrl_c_ends_the_client(serve):
    released = threading.Event()
    server = serve(lambda *_: released.wait(20))
    interrupt = threading.Timer(0.4, lambda: os.kill(os.getpid(), signal.SIGINT))
    interrupt.start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_load(LoadPlan(port=server.port, requests=9))
    released.set()
    interrupt.join()
    assert time.monotonic() - begin < 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"targets": ()},
        {"targets": ("no-slash",)},
        {"targets": ("/a b",)},
        {"targets": ("/a\r\nX: y",)},
        {"method": "GE T"},
        {"headers": (("X", "a\r\nb"),)},
        {"headers": (("X Y", "a"),)},
        {"requests": 0},
        {"concurrency": 0},
        {"rate": 0.0},
        {"timeout_s": 0.0},
        {"warmup": -1},
    ],
)
def test_impossible_plans_are_refused(wrong):
    with pytest.raises(ValueError, match=r"."):
        LoadPlan(port=1, **wrong)


def test_a_plan_survives_its_journey():
    plan = LoadPlan(port=1, targets=("/a", "/b"), headers=(("X", "é"),), body=b"\0\xff", rate=2.5)
    assert LoadPlan.from_json(plan.to_json()) == plan


def test_a_client_that_fails_says_so(monkeypatch):
    monkeypatch.setattr(LoadPlan, "to_json", lambda _: "no plan")
    with pytest.raises(LoadError, match="load client"):
        run_load(LoadPlan(port=1))
