"""Findings about waiting: for a busy loop, a busy thread, the GIL, a worker, a connection."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tracer.analysis.statistics.spread import quantile, weighed
from tracer.model.wording import count, duration, short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracer.analysis.findings.finding import Case, Finding

NO_CULPRIT = frozenset({None, "turn", "timer granularity"})
UNNAMED = "unnamed callback"
AFTER_RESPONSE = "after_response"
SERVER_QUEUES = ("accept queue", "thread queue")

ALMOST_ALWAYS = 0.9
# Work after the response is worth a word from this part of the latency on.
LARGE = 0.25
# A wake-up of half a switch interval was no wake-up: somebody held the GIL.
CONVOY = 0.5
SHOWN = 5


def waiting_findings(case: Case) -> Iterator[Finding]:
    """Yield what waiting teaches of one configuration."""
    yield from _thread_queue(case)
    yield from _convoy(case)
    yield from _blocked_loop(case)
    yield from _after_response(case)
    yield from _server_queue(case)
    yield from _connections(case)


def _thread_queue(case: Case) -> Iterator[Finding]:
    by_site: dict[str, float] = defaultdict(float)
    for key, one in case.tallies.items():
        for site, seen in one.sites.items():
            by_site[site.name] += seen.queue_ns * key.weight
    saving = case.per_request(sum(by_site.values()))
    if not case.matters(saving):
        return
    ordered = sorted(by_site, key=lambda site: -by_site[site])
    yield case.finding(
        "queueing_on_a_thread",
        f"Hand-offs wait {duration(saving)} a request for a thread that is busy",
        "Thread-sensitive work of one context runs on one thread, one after the other. Hand over "
        "less at a time, give independent work `thread_sensitive=False`, or a larger executor, "
        "or more workers.",
        saving,
        queue_mean_ns=round(saving),
        sites=[
            {"site": site, "queue_mean_ns": round(case.per_request(by_site[site]))}
            for site in ordered[:SHOWN]
        ],
    )


def _convoy(case: Case) -> Iterator[Finding]:
    """Find hand-offs whose thread is woken in time and then waits for the GIL."""
    switch_ns = case.measurement.environment.get("switch_interval_ns")
    wakes = case.spreads(lambda one: one.wakes)
    typical, best = quantile(wakes, 0.5), quantile(wakes, 0.05)
    if not switch_ns or typical is None or typical < CONVOY * switch_ns:
        return
    waited = sum(max(0, value - (best or 0)) * weight for value, weight in weighed(wakes))
    yield case.finding(
        "waiting_for_the_gil",
        f"A woken thread needs {duration(typical)} to run: another thread holds the GIL",
        "Something in the worker computes in a thread of its own and gives the GIL away only once "
        "a switch interval. Move it to another process, or shorten `sys.setswitchinterval`.",
        case.per_request(waited),
        wake_p50_ns=typical,
        wake_p5_ns=best,
        switch_interval_ns=switch_ns,
    )


def _blocked_loop(case: Case) -> Iterator[Finding]:
    blockers: dict[str, float] = defaultdict(float)
    for one in case.details("event_loop"):
        name = one["detail"]
        if name not in NO_CULPRIT and not name.startswith(AFTER_RESPONSE):
            blockers[name] += one["mean_ns"]
    for name in sorted(blockers, key=lambda name: -blockers[name])[:SHOWN]:
        saving = blockers[name]
        if not case.matters(saving):
            continue
        advice = (
            "This loop does not tell whom it runs: repeat with `--loop asyncio` for a name."
            if name == UNNAMED
            else "Make it await, split it, or hand it to a thread: while it runs, nobody else can."
        )
        yield case.finding(
            "loop_busy_with_others",
            f"The event loop is busy with `{short(name, 3)}` while a request could run: "
            f"{duration(saving)} a request",
            advice,
            saving,
            culprit=name,
            event_loop_mean_ns=saving,
        )


def _server_waits(case: Case) -> float:
    return float(
        sum(one["mean_ns"] for one in case.details("server") if one["detail"] in SERVER_QUEUES)
    )


def _after_response(case: Case) -> Iterator[Finding]:
    after = case.summary["after_response_ns"]
    delayed = sum(
        one["mean_ns"]
        for one in case.details("event_loop")
        if (one["detail"] or "").startswith(AFTER_RESPONSE)
    )
    if after >= _server_waits(case) > 0:
        delayed += _server_waits(case)
    if not case.matters(delayed) and after < LARGE * case.mean_ns:
        return
    if not after and not delayed:
        return
    effect = f", and delays others by {duration(delayed)} a request" if delayed else ""
    yield case.finding(
        "work_after_the_response",
        f"{duration(after)} of work follows each response{effect}",
        "No client waits for it directly, but the worker does: what is done in `response.close`, "
        "`request_finished` and access logs belongs into a task queue, or must be made short.",
        delayed,
        after_response_mean_ns=after,
        delay_mean_ns=delayed,
        owners=_owners_after(case),
    )


def _owners_after(case: Case) -> list[dict[str, Any]]:
    spent: dict[tuple[str, str | None], float] = defaultdict(float)
    for key, one in case.tallies.items():
        for owner, ns in one.after.items():
            spent[owner.layer, owner.detail] += ns * key.weight
    ordered = sorted(spent, key=lambda owner: -spent[owner])[:SHOWN]
    return [
        {"layer": layer, "detail": detail, "mean_ns": round(case.per_request(spent[layer, detail]))}
        for layer, detail in ordered
    ]


def _server_queue(case: Case) -> Iterator[Finding]:
    waits = _server_waits(case)
    # Where the work after the response explains it, it is told there.
    if not case.matters(waits) or case.summary["after_response_ns"] >= waits:
        return
    yield case.finding(
        "waiting_for_a_worker",
        f"Requests wait {duration(waits)} for a free worker or thread",
        "All workers are busy with other requests at that load: shorten the requests, or add "
        "workers or threads as far as the CPUs allow.",
        waits,
        queue_mean_ns=round(waits),
        cpus=case.measurement.environment.get("cpus"),
    )


def _connections(case: Case) -> Iterator[Finding]:
    opened = case.summary["connections_opened_per_request"]
    queried = case.per_request(case.total(lambda one: one.asking))
    if not queried or opened < ALMOST_ALWAYS * queried:
        return
    if case.weight == 1:
        # The first request of any worker opens one.
        return
    saving = sum(one["mean_ns"] for one in case.summary["details"] if one["part"] == "connect")
    asgi = case.interface == "asgi"
    why = (
        "Django keeps connections per thread, and under ASGI every request has a thread of its "
        "own: `CONN_MAX_AGE` keeps nothing. Use a pool in the process (`OPTIONS` `pool` with "
        "psycopg 3) or beside it (PgBouncer)."
        if asgi
        else "Set `CONN_MAX_AGE`, so that a worker's thread keeps its connection, or use a pool."
    )
    yield case.finding(
        "connection_per_request",
        f"{count(opened)} database connections are opened per request: none is used again"
        + (f", {duration(saving)}" if saving else ""),
        why,
        saving,
        connections_opened_per_request=opened,
        requests_with_queries_share=queried,
        connect_mean_ns=saving,
    )
