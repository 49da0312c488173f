"""The report's page over a recording of many requests: seconds, memory, bytes, frames a second.

`python -m benchmarks.page 100000`: real timelines, replicated, recorded and attributed;
`tracer report --format html` over them; the page in Chromium, where there is one, and the
waterfall of a request of 5,000 segments in it while it is panned and zoomed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import agent
from benchmarks.machine import ROOT, description
from benchmarks.options import Options, quick
from tracer.analysis.documents import report_document
from tracer.analysis.statistics.measurement import Measurement, Round
from tracer.recording.background import redo
from tracer.recording.reader import Recording, RecordingWriter
from tracer.reports.page.render import write_page
from tracer.reports.page.view import side_of, view_of

if TYPE_CHECKING:
    from benchmarks.replicate import Captured
    from tracer.analysis.attribution.request import Handoff, Request, Segment

SEGMENTS: Final = 5_000
SECONDS: Final = 3
MANY: Final = 1_000
_RING: Final = "1-0.ring"
_SWITCHES: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
_COMMAND: Final = """
import sys
from pathlib import Path
from tracer.commands import main
try:
    main(sys.argv[1:])
finally:
    status = Path("/proc/self/status").read_text()
    print(status.partition("VmHWM:")[2].split()[0])
"""
_MOVE: Final = """
async (seconds) => {
  const canvas = document.querySelector("#request canvas[role=application]");
  canvas.scrollIntoView({block: "center"});
  canvas.focus();
  const box = canvas.getBoundingClientRect();
  const gaps = [];
  let last = performance.now();
  const end = last + seconds * 1000;
  for (let turn = 0; last < end; turn++) {
    const zooms = turn % 60 < 30;
    const delta = turn % 30 < 15 ? 40 : -40;
    canvas.dispatchEvent(new WheelEvent("wheel", {bubbles: true, cancelable: true,
      clientX: box.left + box.width / 2, clientY: box.top + 40,
      deltaX: zooms ? 0 : delta, deltaY: zooms ? delta : 0}));
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    gaps.push(now - last);
    last = now;
  }
  gaps.sort((one, other) => one - other);
  const drawn = gaps.length / gaps.reduce((sum, one) => sum + one, 0) * 1000;
  return {frames_per_s: drawn, p99_gap_ms: gaps[Math.floor(gaps.length * 0.99)]};
}
"""


def run(requests: int, out: Path) -> dict[str, Any]:
    """Measure it all; what can't be for want of a browser is null."""
    out.mkdir(parents=True, exist_ok=True)
    size = Options() if requests >= MANY else quick()
    with tempfile.TemporaryDirectory(prefix="page-", dir=out) as folder:
        recording, page = Path(folder) / "site.tracer", Path(folder) / "site.html"
        captured = agent.capture(size, Path(folder))
        recorded = _record(captured, recording, requests)
        begin = time.perf_counter_ns()
        with Recording(recording) as opened:
            workers = dict(opened.workers)
        redo(recording, workers)
        attributed = time.perf_counter_ns() - begin
        written = _write(recording, page)
        seconds = SECONDS if requests >= MANY else 1
        large = Path(folder) / "large.html"
        segments = _large(recording, large)
        whole, moved = _in_browser((page, 0), (large, seconds))
        return {
            "schema": "tracer.benchmark.page/1",
            "machine": description(),
            "requests": recorded,
            "attribution_ns": attributed,
            "report": written,
            "page_bytes": page.stat().st_size,
            "browser": whole,
            "waterfall": {"segments": segments, "browser": moved},
        }


def _record(captured: Captured, path: Path, requests: int) -> int:
    """Write a recording of so many requests or a few more; return how many."""
    writer = RecordingWriter(path, {"command": "replicated"}, conclude=False)
    writer.worker(_RING, captured.description, 0)
    writer.names(_RING, captured.names)
    stretches = 0
    while stretches * captured.timelines < requests:
        writer.begin()
        for kind, frame in captured.copy(stretches):
            writer.frame(_RING, kind, frame)
        writer.commit()
        stretches += 1
    writer.close()
    return stretches * captured.timelines


def _write(recording: Path, page: Path) -> dict[str, Any]:
    """Return how long the command took, and its peak memory.

    A process says its own: what `wait4` tells begins with that of whoever started it.
    """
    command = [sys.executable, "-c", _COMMAND, "report", str(recording), "--format", "html"]
    begin = time.perf_counter_ns()
    done = subprocess.run(
        [*command, "--output", str(page)], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    elapsed = time.perf_counter_ns() - begin
    return {"elapsed_ns": elapsed, "peak_rss_bytes": int(done.stdout) * 1024}


def _large(recording: Path, page: Path) -> int:
    """Write the page of a request that is a recorded one again and again; return its segments."""
    with Recording(recording) as opened:
        first = next(opened.requests())
    request = _repeated(first, SEGMENTS // len(first.segments) + 1)
    rounds = (Round(1, traced=True, requests=(request,)),)
    measured = Measurement("large", "", {}, (), rounds)
    document = report_document(measured)
    view = view_of(document, [side_of(measured, document["configurations"][0])])
    write_page(page, "large", [view])
    return len(request.segments)


def _repeated(request: Request, times: int) -> Request:
    length = request.duration_ns

    def later(one: Segment, turn: int) -> Segment:
        return replace(
            one, start_ns=one.start_ns + turn * length, end_ns=one.end_ns + turn * length
        )

    def later_hop(one: Handoff, turn: int) -> Handoff:
        return replace(one, start_ns=one.start_ns + turn * length)

    within = [hop for hop in request.hops if not hop.after_response]
    return replace(
        request,
        end_ns=request.start_ns + times * length,
        segments=tuple(later(one, n) for n in range(times) for one in request.segments),
        hops=tuple(later_hop(one, n) for n in range(times) for one in within),
        layers={layer: ns * times for layer, ns in request.layers.items()},
        after_response=(),
        after_response_ns=0,
    )


def _in_browser(*pages: tuple[Path, int]) -> list[dict[str, Any] | None]:
    """Return when each page could be used, and how it moves for so many seconds.

    None each without a browser.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        return [None for _ in pages]
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not needed without a browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_SWITCHES))
        found: list[dict[str, Any] | None] = []
        for page, seconds in pages:
            opened = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            begin = time.perf_counter_ns()
            opened.goto(page.as_uri())
            opened.wait_for_selector("html[data-ready]")
            ready = {"interactive_ns": time.perf_counter_ns() - begin}
            found.append({**ready, **(opened.evaluate(_MOVE, seconds) if seconds else {})})
        browser.close()
    return found


def main() -> int:
    """Measure and print it as JSON."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    found = run(requests, ROOT / "build" / "bench")
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
