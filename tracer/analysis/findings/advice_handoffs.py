"""Findings about hand-offs: who asks for them, what they cost, and what would spare them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tracer.analysis.findings.finding import total_count, total_ns
from tracer.analysis.statistics.spread import quantile
from tracer.model.wording import (
    and_others,
    asked_by,
    count,
    duration,
    in_order,
    plural,
    ran_there,
    short,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracer.analysis.findings.finding import Case, Finding

ADAPTER = "django.utils.deprecation:MiddlewareMixin.__acall__"
PHASE_METHOD = re.compile(r"^(?P<middleware>.+)\.process_\w+$")
CHAIN = re.compile(r"(\.__call__|convert_exception_to_response\.<locals>\.inner)$")
LIBRARIES = ("django", "asgiref", "rest_framework", "uvicorn", "gunicorn", "starlette")

# A hand-off in one request of two is the rule of that configuration.
USUALLY = 0.5
ALWAYS = 0.9
AGAIN = 1.5


def handoff_findings(case: Case) -> Iterator[Finding]:
    """Yield what hand-offs to threads and loops teach of one configuration."""
    yield from _all_of_them(case)
    yield from _middleware_methods(case)
    yield from _sync_only_middleware(case)
    yield from _asked_by_the_user(case)
    yield from _threads(case)
    yield from _loop_under_wsgi(case)


def _sites(sites: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: one[name] for name in ("site", "per_request", "mean_ns")} for one in sites]


def _methods(case: Case) -> list[dict[str, Any]]:
    """Return the sites at which one method of a middleware is adapted."""
    return [
        one
        for one in case.to_thread
        if asked_by(one["site"]) == ADAPTER or PHASE_METHOD.match(ran_there(one["site"]))
    ]


def _middlewares(sites: list[dict[str, Any]]) -> list[str]:
    """Name the middlewares behind method sites, the dearest first."""
    matches = (PHASE_METHOD.match(ran_there(one["site"])) for one in sites)
    return in_order([match["middleware"] for match in matches if match])


def _is_library(site: str) -> bool:
    return asked_by(site).split(".", 1)[0].split(":", 1)[0] in LIBRARIES


def _views(case: Case) -> list[dict[str, Any]]:
    """Return the sites at which Django hands a sync view to a thread."""
    views = {one["detail"] for one in case.details("view") if one["detail"]}

    def is_view(site: str) -> bool:
        ran = ran_there(site).replace(":", ".")
        if PHASE_METHOD.match(ran) or ran.endswith(".render"):
            return False
        named = any(ran == view or ran.startswith(view + ".") for view in views)
        return named or asked_by(site).endswith("._get_response_async")

    return [one for one in case.to_thread if _is_library(one["site"]) and is_view(one["site"])]


def _chains(case: Case) -> list[dict[str, Any]]:
    """Return the sites at which a whole middleware, with all below it, goes to a thread."""
    middlewares = {one["detail"] for one in case.details("middleware")}
    return [
        one
        for one in case.to_thread
        if ran_there(one["site"]) in middlewares or CHAIN.search(ran_there(one["site"]))
    ]


def _all_of_them(case: Case) -> Iterator[Finding]:
    views = _views(case)
    saving = sum(one["mean_ns"] for one in case.details("handoff"))
    if case.interface != "asgi" or total_count(views) < ALWAYS or not case.matters(saving):
        return
    hops = case.handoffs["per_request"]
    yield case.finding(
        "sync_views_under_asgi",
        f"Every view here is synchronous: ASGI asks for {plural(hops, 'hand-off')} a request, "
        f"{duration(saving)}",
        "Serve these routes from WSGI workers, which ask for none, and keep ASGI for async "
        "views, streams and websockets. Or make view and middlewares `async def` where all "
        "they call is async. The findings below are parts of this one.",
        saving,
        handoffs_per_request=hops,
        handoff_mean_ns=saving,
        views=[ran_there(one["site"]) for one in views],
    )


def _middleware_methods(case: Case) -> Iterator[Finding]:
    sites = _methods(case)
    saving, names = total_ns(sites), _middlewares(sites)
    if not names or not case.matters(saving):
        return
    verb = "is" if len(names) == 1 else "are"
    each = "method by method" if len(names) == 1 else "one by one"
    yield case.finding(
        "middleware_adapted_one_by_one",
        f"{and_others([short(name, 1) for name in names])} {verb} adapted {each}: "
        f"{plural(total_count(sites), 'hand-off')}, {duration(saving)}",
        "Replace them by middlewares that are natively async (`async def __call__` and "
        "`async_capable`, no `MiddlewareMixin`), or drop those that this site does not need; "
        "for sync views WSGI asks for none of these hand-offs. Order decides as well: a "
        "sync-only middleware placed innermost lets those above it run in one hand-off "
        "(try it with `tracer compare`).",
        saving,
        middlewares=names,
        handoffs_per_request=total_count(sites),
        sites=_sites(sites),
    )


def _sync_only_middleware(case: Case) -> Iterator[Finding]:
    """Find a sync middleware above async ones: to a thread, and back to the loop."""
    back = [one for one in case.to_loop if one["per_request"] >= USUALLY]
    chains, below = _chains(case), [o for o in case.to_thread if asked_by(o["site"]) == ADAPTER]
    crossings = total_count(back)
    if case.interface != "asgi" or not back or not (below or crossings > AGAIN):
        return
    saving = total_ns(below) if below else total_ns([*back, *chains])
    if not case.matters(saving):
        return
    named = [ran_there(one["site"]) for one in chains] or [asked_by(one["site"]) for one in back]
    names = and_others([short(name) for name in in_order(named)])
    if below:
        adapted = plural(len(_middlewares(below)), "middleware")
        title = f"Sync-only middleware ({names}) stands above {adapted} adapted one by one"
        advice = (
            "Move it innermost, next to the view: what stands above it then runs synchronously "
            "in the same hand-off. Or make it `async_capable`."
        )
    else:
        title = f"Sync-only and async middlewares ({names}) alternate: {count(crossings)} crossings"
        advice = "Put the sync-only ones next to each other, innermost, or make them async."
    yield case.finding(
        "sync_only_middleware_order",
        f"{title}, {duration(saving)}",
        advice,
        saving,
        back_to_the_loop=_sites(back),
        chains=_sites(chains),
        adapted_below=_sites(below),
    )


def _asked_by_the_user(case: Case) -> Iterator[Finding]:
    """Yield each place of the user's own code that asks again and again."""
    for one in case.to_thread:
        repeated = one["per_request"] >= AGAIN and not _is_library(one["site"])
        if not repeated or one in _methods(case) or not case.matters(one["mean_ns"]):
            continue
        times = one["per_request"]
        yield case.finding(
            "repeated_handoffs",
            f"`{short(asked_by(one['site']))}` asks for {plural(times, 'hand-off')} a request "
            f"to run `{short(ran_there(one['site']))}`: {duration(one['mean_ns'])}",
            "Gather the calls in one synchronous function and hand that over once.",
            one["mean_ns"] * (times - 1) / times,
            sites=_sites([one]),
        )


def _threads(case: Case) -> Iterator[Finding]:
    started = case.handoffs["threads_started_per_request"]
    if started < USUALLY:
        return
    after = case.handoffs["threads_started_after_response_per_request"]
    cold = case.spreads(lambda one: one.cold)
    cold_ns, warm_ns = quantile(cold, 0.5), quantile(case.spreads(lambda one: one.warm), 0.5)
    dearer = (cold_ns or 0) - (warm_ns or 0)
    times = sum(spread.count * weight for spread, weight in cold)
    saving = max(0.0, case.per_request(times) * dearer)
    joins = (
        " One starts after the response, only to join the first."
        if after >= USUALLY and started - after >= USUALLY
        else ""
    )
    yield case.finding(
        "threads_started",
        f"{plural(started, 'thread is', 'threads are')} started for each request",
        "Django's ASGI handler opens a `ThreadSensitiveContext` for each request, whose executor "
        "starts a fresh thread at the first hand-off and ends it with the request." + joins + " "
        "A request without any hand-off starts no thread; under WSGI none is needed.",
        saving,
        threads_started_per_request=started,
        threads_started_after_response_per_request=after,
        handoff_with_thread_start_p50_ns=cold_ns,
        handoff_without_p50_ns=warm_ns,
        asgiref=case.measurement.environment.get("asgiref"),
    )


def _loop_under_wsgi(case: Case) -> Iterator[Finding]:
    saving = total_ns(case.to_loop)
    if case.interface != "wsgi" or not case.matters(saving):
        return
    times = case.handoffs["to_loop_per_request"]
    names = in_order([ran_there(one["site"]) for one in case.to_loop])
    yield case.finding(
        "event_loop_under_wsgi",
        f"{and_others([short(name) for name in names])} is async under WSGI: {count(times)} times "
        f"a request an event loop is set up, {duration(saving)}",
        "Make it synchronous, or serve these routes by ASGI.",
        saving,
        to_loop_per_request=times,
        sites=_sites(case.to_loop),
    )
