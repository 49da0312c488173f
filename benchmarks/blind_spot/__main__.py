"""`python -m benchmarks.blind_spot [REQUESTS]`: a Markdown table, both figures side by side."""

from __future__ import annotations

import http.client
import os
import statistics
import sys
import tempfile
from pathlib import Path

from tracer.agent.session import open_session
from tracer.compare.servers import Server
from tracer.model.layers import LAYERS
from tracer.recording.reader import Recording

CASES = {
    "gunicorn sync": "{python} -m gunicorn demo_site.wsgi",
    "gunicorn + uvicorn worker": (
        "{python} -m gunicorn demo_site.asgi:application -k uvicorn_worker.UvicornWorker"
    ),
}
WARM, COUNTED = 50, 200


def measure(command: str, counted: int) -> tuple[float, float, dict[str, float]]:
    """Return medians in µs: cProfile's total, the window, and each layer."""
    base = {**os.environ, "DJANGO_SETTINGS_MODULE": "benchmarks.blind_spot.settings"}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "blind_spot.tracer"
        profiled: list[int] = []
        with (
            open_session(path) as session,
            Server(
                command.format(python=sys.executable), environment=session.environment(base)
            ) as server,
        ):
            server.wait_ready("/test/")
            for number in range(WARM + counted):
                connection = http.client.HTTPConnection("127.0.0.1", server.port)
                connection.request("GET", "/test/")
                response = connection.getresponse()
                response.read()
                connection.close()
                if number >= WARM:
                    profiled.append(int(response.headers["X-cProfile-Total-ns"]))
        with Recording(path) as recording:
            requests = [r for r in recording.requests() if r.route == "test/"][-counted:]
    window = statistics.median(request.duration_ns for request in requests)
    layers = {
        layer: statistics.median(request.layers[layer] for request in requests) / 1000
        for layer in LAYERS
    }
    return statistics.median(profiled) / 1000, window / 1000, layers


def main() -> None:
    """Measure both servers and print the table."""
    counted = int(sys.argv[1]) if len(sys.argv) > 1 else COUNTED
    shown = [layer for layer in LAYERS if layer != "network"]
    print("| server | cProfile's total | the request | " + " | ".join(shown) + " |")
    print("|---" * (3 + len(shown)) + "|")
    for name, command in CASES.items():
        profiled, window, layers = measure(command, counted)
        cells = " | ".join(f"{layers[layer]:.0f}" for layer in shown)
        print(f"| {name} | {profiled:.0f} | {window:.0f} | {cells} |")


if __name__ == "__main__":
    main()
