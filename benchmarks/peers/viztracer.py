"""viztracer, tracing all calls into its ring buffer, as `viztracer -- gunicorn …` does."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers import scratch

TITLE = "viztracer"
DISTRIBUTION = "viztracer"
REQUIREMENTS = ("viztracer",)


def start() -> None:
    """Trace from now on; nothing is saved, for the process is killed."""
    import viztracer

    tracer = viztracer.VizTracer(verbose=0, output_file=str(Path(scratch()) / "viztracer.json"))
    tracer.start()
