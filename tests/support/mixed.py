"""A mixed load over every route of the demo, by several connections at once.

    python -m tests.support.mixed [REQUESTS] [SERVER …]

runs it by hand on each server and prints what `benchmarks/check_jsonl.py` says.
"""

from __future__ import annotations

import http.client
import itertools
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.support.server import HOST, ROOT, SERVERS, Server, environment, tracer

FORM = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    + b"." * 70_000
    + b"\r\n--x--\r\n"
)
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
EVERYWHERE = (
    ("GET", "/test/", None, {}, 200),
    ("HEAD", "/test/", None, {}, 200),
    ("GET", "/test/", None, {"Connection": "close"}, 200),
    ("GET", "/drf/?authentication=0.2&permission=0.2&throttle=0.2&handler=0.2", None, {}, 200),
    ("GET", "/queries/3/", None, {}, 200),
    ("GET", "/queries/", None, {}, 200),
    ("GET", "/cpu/?ms=1", None, {}, 200),
    ("GET", "/raises/", None, {}, 500),
    ("GET", "/raises/?kind=missing", None, {}, 404),
    ("GET", "/raises/?kind=denied", None, {}, 403),
    ("POST", "/upload/", FORM, MULTIPART, 200),
    ("POST", "/upload/", b"." * 200_000, {"Content-Type": "application/octet-stream"}, 200),
    ("GET", "/after/?ms=1", None, {}, 200),
    ("GET", "/async/", None, {}, 200),
    ("GET", "/sleep/?ms=2", None, {}, 200),
    ("GET", "/block/?ms=2", None, {}, 200),
    ("GET", "/stream/sync/?ms=0.3", None, {}, 200),
    ("GET", "/stream/async/?ms=0.3&sleep=0.5", None, {}, 200),
    ("GET", "/pool/sensitive/?count=3&ms=1", None, {}, 200),
    ("GET", "/pool/free/?count=3&ms=1", None, {}, 200),
    ("GET", "/gather/?ms=1", None, {}, 200),
    ("GET", "/nested/?depth=2&ms=0.5", None, {}, 200),
    ("GET", "/nowhere/", None, {}, 404),
)


def load(port, count, connections=4):
    """Send `count` requests, each route as often as another; return how many went wrong."""
    wanted = list(itertools.islice(itertools.cycle(EVERYWHERE), count))
    random.Random(count).shuffle(wanted)
    wrong, lock, left = [], threading.Lock(), iter(wanted)

    def converse():
        connection = http.client.HTTPConnection(HOST, port, timeout=30)
        while True:
            with lock:
                one = next(left, None)
            if one is None:
                connection.close()
                return
            method, path, body, headers, expected = one
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                wrong.append(f"{method} {path}: {error!r}")
                connection.close()
            else:
                if answer.status != expected:
                    wrong.append(f"{method} {path}: {answer.status}, not {expected}")

    threads = [threading.Thread(target=converse) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def run(name, count, directory, python=sys.executable, **variables):
    """Serve the mixed load traced; return complaints, seconds, recording, the server's log."""
    recording = directory / f"{name}.tracer"
    env = environment(DEMO_DATABASE=str(directory / "demo.sqlite3"), **variables)
    command = ("tracer", "run", "--record", str(recording), "--", python, "-m", *SERVERS[name])
    with Server(command, env, directory / f"{name}.log") as server:
        server.ask("/queries/3/")
        began = time.perf_counter()
        wrong = load(server.port, count)
        took = time.perf_counter() - began
        server.stop()
    return wrong, took, recording, server.output


def main(arguments):
    count = int(arguments[0]) if arguments else 2000
    for name in arguments[1:] or SERVERS:
        with tempfile.TemporaryDirectory() as directory:
            wrong, took, recording, _ = run(name, count, Path(directory))
            lines = tracer("report", recording, "--format", "jsonl", timeout=600).stdout
        checker = [sys.executable, ROOT / "benchmarks" / "check_jsonl.py", "-"]
        expected = ["--count", str(count + 1)]
        checked = subprocess.run(
            [*checker, *expected], input=lines, text=True, capture_output=True, check=False
        )
        said = checked.stdout.strip() or checked.stderr
        sys.stdout.write(f"{name}: {said} client_errors={len(wrong)} load_s={took:.1f}\n")
        sys.stdout.write("".join(f"  {line}\n" for line in [*wrong[:3], checked.stderr.strip()]))
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
