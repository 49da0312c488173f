"""Findings: causes with evidence, advice and what heeding it would save.

Every saving is what was measured of the cause times how often it happens; it is an
estimate, because what goes may uncover what it hid. Savings overlap: they can't be
added up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracer.analysis.findings.advice_handoffs import handoff_findings
from tracer.analysis.findings.advice_waiting import waiting_findings
from tracer.analysis.findings.finding import Case
from tracer.model.wording import and_others, duration, percent, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tracer.analysis.findings.finding import Finding
    from tracer.analysis.statistics.measurement import Measurement

# More than this, and the figures are about us as well as about the user's site.
TRACING_MAY_MOVE = 0.05
UNATTRIBUTED_MAY_BE = 0.05
OBSERVER_FINDING = "tracing_moved_the_median"


def findings(
    measurements: Sequence[Measurement], summaries: Sequence[dict[str, Any]] | None = None
) -> list[Finding]:
    """Return what was found, doubts about tracing first, then by predicted saving.

    Of several configurations the fastest is what the others could be: only they are
    searched for causes, each in its own evidence. What makes figures doubtful is said
    of all.
    """
    if summaries is None:
        cases = [Case.of(measurement) for measurement in measurements]
    else:
        cases = [Case(*pair) for pair in zip(measurements, summaries, strict=True)]
    ran = [case for case in cases if case.tallies]
    fastest = min(ran, key=lambda case: case.p50_ns) if len(cases) > 1 and ran else None
    first = [found for case in cases for found in _observer(case)]
    others = [found for case in cases for found in _doubts(case)]
    for case in ran:
        if case is not fastest:
            others.extend(handoff_findings(case))
            others.extend(waiting_findings(case))
    return first + sorted(others, key=lambda found: -int(found["predicted_saving_ns"]))


def _observer(case: Case) -> Iterator[Finding]:
    moved = case.summary["tracing_moved_median"]
    if moved is None or abs(moved) <= TRACING_MAY_MOVE:
        return
    traced, untraced = case.p50_ns, case.summary["untraced_latency_ns"]["p50"]
    name = case.measurement.name
    if moved > 0:
        title = f"Tracing itself made {name} {percent(moved)} slower at the median"
        advice = "Read the layers as shares rather than as absolutes, and trust the control rounds."
    else:
        title = f"{name} was {percent(-moved)} faster with tracing on: the machine was not steady"
        advice = "Tracing makes nothing faster. Repeat on a quiet machine, with more rounds."
    yield case.finding(
        OBSERVER_FINDING,
        f"{title} ({duration(untraced)} untraced, {duration(traced)} traced)",
        advice,
        moved=moved,
        traced_p50_ns=traced,
        untraced_p50_ns=untraced,
    )


def _doubts(case: Case) -> Iterator[Finding]:
    """Yield what makes a configuration no fair witness of itself."""
    yield from _modes(case)
    summary = case.summary
    if summary["unattributed_share"] > UNATTRIBUTED_MAY_BE:
        yield case.finding(
            "unattributed",
            _unattributed(case),
            "See `tracer doctor` for seams that are absent or refused, and why.",
            unattributed_share=summary["unattributed_share"],
            seams_absent=[one.seam for one in case.measurement.seams if one.status != "installed"],
        )
    if summary["errors"]:
        yield case.finding(
            "errors",
            f"{plural(summary['errors'], 'request')} failed in {case.measurement.name}",
            "Failed requests are counted and left out of the latencies: look at the server's log "
            "before trusting the rest.",
            errors=summary["errors"],
            statuses=summary["statuses"],
        )
    if summary["dropped_timelines"]:
        yield case.finding(
            "dropped_timelines",
            f"{plural(summary['dropped_timelines'], 'timeline was', 'timelines were')} dropped in "
            f"{case.measurement.name}: the figures are of the rest",
            "The reader could not keep up: sample less (`--sample`), or lower the load.",
            dropped_timelines=summary["dropped_timelines"],
            recorded=summary["requests"],
        )


def _modes(case: Case) -> Iterator[Finding]:
    environment = case.measurement.environment
    if environment.get("debug") is True:
        yield case.finding(
            "debug",
            f"{case.measurement.name} runs with DEBUG=True",
            "Django then keeps every query, and adapts and checks more: measure with DEBUG=False.",
            debug=True,
        )
    if environment.get("asyncio_debug") is True:
        yield case.finding(
            "asyncio_debug",
            f"{case.measurement.name} runs asyncio in debug mode",
            "Every callback then carries a stack and is timed: unset PYTHONASYNCIODEBUG.",
            asyncio_debug=True,
        )


def _unattributed(case: Case) -> str:
    """Say how much is unknown, and which seams are missing."""
    absent = [one.seam for one in case.measurement.seams if one.status != "installed"]
    unknown = f"{percent(case.summary['unattributed_share'])} of the time has no known owner"
    return unknown + (f"; not seen: {and_others(absent)}" if absent else "")
