"""Every scenario's requests: sent once to each server, checked afterwards by the tests."""

from __future__ import annotations

import secrets
import socket
import sys
import time

from tests.support.run import Answer, head

TIMES = 3
PHASES = (
    "SyncClass.before", "SyncClass.after", "SyncClass.process_view",
    "SyncClass.process_template_response", "Mixin.process_request", "Mixin.process_response",
    "Mixin.process_view", "Mixin.process_template_response", "AsyncClass.before",
    "AsyncClass.after", "AsyncClass.process_view", "AsyncClass.process_template_response",
    "both_function.before", "both_function.after", "sync_function.before", "sync_function.after",
    "BothClass.before", "BothClass.after", "async_function.before", "async_function.after",
)  # fmt: skip
EXCEPTIONS = tuple(f"{name}.process_exception" for name in ("SyncClass", "Mixin", "AsyncClass"))
PARTS = ("function", "query", "tag", "cache", "lazy", "close", "started", "finished")
REST = ("authentication", "permission", "throttle", "handler", "render")
STREAMS = ("stream", "StreamWrapper.stream")


def spending(path, labels, how, ms):
    return f"{path}?spend=" + ",".join(f"{label}:{how}:{ms}" for label in labels)


def owners(client):
    """Costs in every phase of every middleware and in every part of the views."""
    asked = {
        "phases": ("/template/", (*PHASES, "template.view", "render", "tag"), 1),
        "exceptions": ("/unhandled/", (*EXCEPTIONS, "unhandled"), 2),
        "loop exceptions": ("/loop/unhandled/", (*EXCEPTIONS, "unhandled"), 2),
        "parts": ("/function/", PARTS, 2),
        "class": ("/class/", ("class",), 2),
        "native": ("/loop/native/", ("native",), 2),
        "rest": ("/rest/", REST, 2),
        "stream": ("/stream/", STREAMS, 2),
        "loop stream": ("/loop/stream/", STREAMS, 2),
    }
    answers = {}
    for name, (path, labels, ms) in asked.items():
        client.ask(path)
        answers[f"{name} none"] = client.repeat(path, TIMES)
        for how in ("spin", "sleep"):
            answers[f"{name} {how}"] = client.repeat(spending(path, labels, how, ms), TIMES)
    return answers


def plain(client):
    """What a server answers in its several ways."""
    asked = {"collect": "/collect/", "missing": "/missing/", "no route": "/nowhere/"}
    answers = {name: client.repeat(path, 3) for name, path in asked.items()}
    zipped = {"Accept-Encoding": "gzip"}
    answers["gzip"] = client.repeat("/bulk/?spend=bulk:spin:2", 2, headers=zipped)
    answers["handled"] = client.repeat("/handled/", 3)
    answers["empty"] = client.repeat("/empty/", 3)
    answers["head"] = client.repeat("/class/", 3, method="HEAD")
    answers["closing"] = client.repeat("/class/", 3, keep=False)
    answers["chunked"] = client.repeat("/stream/", 3)
    answers["upload in two"] = [_upload_in_two(client, "/upload/") for _ in range(3)]
    answers["leaves"] = [_leave(client, "/endless/") for _ in range(2)]
    answers["malformed"] = [_malformed(client) for _ in range(2)]
    return answers


def loop(client):
    """What only an event loop can do, under ASGI."""
    ways = ("task", "wait_for", "wait", "shield", "gather", "timeout", "group")
    answers = {
        name: client.repeat(f"/loop/{name}/", TIMES)
        for name in (
            "sleep", "lock", "executor", "to_thread", "gather", "custom_executor",
            "background", "nested", "cancels", "forever",
        )
    }  # fmt: skip
    answers["hop"] = client.repeat("/loop/hop/?ms=4", TIMES)
    answers["sensitive hop"] = client.repeat("/loop/hop/?ms=4&sensitive=1", TIMES)
    answers["sensitive gather"] = client.repeat("/loop/gather/?sensitive=1", TIMES)
    for way in ways:
        answers[f"tasks {way}"] = client.repeat(f"/loop/tasks/?way={way}", TIMES)
    if sys.version_info >= (3, 12):
        answers["eager"] = client.repeat("/loop/eager/", TIMES)
    answers["loop upload in two"] = [_upload_in_two(client, "/loop/upload/") for _ in range(3)]
    answers["leaves stream"] = [_leave(client, "/loop/endless/") for _ in range(2)]
    answers["leaves view"] = [_leave(client, "/loop/patient/", wait_s=0.03) for _ in range(2)]
    answers["pipelined"] = _pipelined(client)
    return {**answers, **_blocking(client)}


def _blocking(client):
    blocked, back, called, saturated, sensitive = [], [], [], [], []
    for _ in range(3):
        back.append(
            client.at_once("/loop/hop/?ms=20&how=sleep", "/loop/block/?ms=40", apart_s=0.008)
        )
        blocked.append(
            client.at_once("/loop/sleep/?ms=30", "/loop/block/?ms=50", apart_s=0.01),
        )
        client.ask("/loop/schedule/?later=15&ms=40")
        called.append(client.ask("/loop/sleep/?ms=25"))
        saturated.append(
            client.at_once("/loop/fill/?ms=40", "/loop/custom_executor/?ms=5", apart_s=0.015)
        )
        sensitive.append(
            client.at_once(
                "/loop/hop/?ms=40&how=sleep&sensitive=1",
                "/loop/hop/?ms=5&sensitive=1",
                apart_s=0.015,
            )
        )
    return {
        "blocked": [pair[0] for pair in blocked],
        "blocking": [pair[1] for pair in blocked],
        "blocked back": [pair[0] for pair in back],
        "blocking back": [pair[1] for pair in back],
        "called": called,
        "saturated": [pair[1] for pair in saturated],
        "filling": [pair[0] for pair in saturated],
        "own thread": [pair[1] for pair in sensitive],
    }


def _upload_in_two(client, path):
    body = b"data=" + b"x" * 1000
    trace_id = secrets.token_hex(16)
    headers = (
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
    )
    start = head("POST", path, trace_id=trace_id, headers=headers)
    sent = []
    got = client.raw(start + body[:500], body[500:], pause_s=0.03, sent=sent)
    return _answer(got, trace_id, sent[-1])


def _leave(client, path, wait_s=0.0):
    """Go away in the middle of the answer, or before it begins."""
    trace_id = secrets.token_hex(16)
    with socket.create_connection(("127.0.0.1", client.port), 10) as sock:
        sock.sendall(head("GET", path, trace_id=trace_id))
        if wait_s:
            time.sleep(wait_s)
        else:
            sock.recv(1000)
    time.sleep(0.1)
    return Answer(0, [], b"", trace_id)


def _malformed(client):
    before = time.perf_counter_ns()
    got = client.raw(b"GE\x00T / HTTP/1.1\r\n: nothing\r\n\r\n")
    return Answer(int(got.split()[1]), [], got, "", before, time.perf_counter_ns())


def _pipelined(client):
    """Three requests in one piece, the second while the first still sleeps."""
    traces = [secrets.token_hex(16) for _ in range(3)]
    paths = ("/loop/sleep/?ms=20", "/loop/sleep/?ms=10", "/loop/native/")
    requests = b"".join(
        head("GET", path, trace_id=trace, close=trace == traces[-1])
        for path, trace in zip(paths, traces, strict=True)
    )
    before = time.perf_counter_ns()
    got = client.raw(requests)
    return [
        Answer(200 if got.count(b"200 OK") == 3 else 0, [], got, trace, before) for trace in traces
    ]


def _answer(got, trace_id, sent_ns):
    first, _, body = got.partition(b"\r\n\r\n")
    return Answer(int(first.split()[1]), [], body, trace_id, sent_ns)
