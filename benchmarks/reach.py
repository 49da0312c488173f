"""What this project set itself to reach, and what was reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.wording import ShortfallError, bytes_of, interval, mib, ms, number, share, table, us

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Results = dict[str, dict[str, Any]]
Row = tuple[str, str, str]

HEAD = ("measure", "reach", "reached")
_NAMES = {"wsgi": "WSGI", "asgi": "ASGI"}


def reach_table(results: Results) -> str:
    """Return the table; what wasn't measured, or couldn't be, says so."""
    return table(HEAD, [row for section in SECTIONS for row in section(results)])


def _row(
    measure: str, reach: str, results: Results, read: Callable[[Results], tuple[str, bool]]
) -> Row:
    try:
        told, good = read(results)
    except KeyError as error:
        return measure, reach, f"not measured ({error.args[0]})"
    except ShortfallError as error:
        return measure, reach, f"**no**: {error}"
    return measure, reach, f"{told}: {'yes' if good else '**no**'}"


def _added(results: Results) -> Iterator[Row]:
    for variant, limit, how in (("full_pure", 25, "pure Python"), ("full", 10, "accelerator")):

        def read(found: Results, variant: str = variant, limit: int = limit) -> tuple[str, bool]:
            figures = found["inprocess"]["wsgi"][variant]
            if variant == "full" and not figures["accelerated"]:
                raise ShortfallError("there is no accelerator here")
            entry = figures["added_p50_ns"]
            return interval(entry, us), entry["value"] <= limit * 1000

        yield _row(f"added p50, WSGI, 100 %, {how}", f"≤ {limit} µs", results, read)

    def asgi(found: Results) -> tuple[str, bool]:
        figures = found["inprocess"]["asgi"]["full"]
        added, ratio = figures["added_p50_ns"], figures["ratio_p50"]
        told = f"{interval(added, us)}, {share(ratio['value'] - 1)}"
        return told, added["value"] <= 60_000 and ratio["value"] <= 1.03  # noqa: PLR2004

    yield _row("added p50, ASGI, 100 %", "≤ 60 µs and ≤ 3 %", results, asgi)


def _unsampled(results: Results) -> Iterator[Row]:
    for interface, limit in (("wsgi", 3), ("asgi", 8)):

        def cpu(found: Results, name: str = interface, limit: int = limit) -> tuple[str, bool]:
            entry = found["inprocess"][name]["unsampled"]["added_cpu_p50_ns"]
            return interval(entry, us), entry["value"] <= limit * 1000

        def counted(found: Results, name: str = interface, limit: int = limit) -> tuple[str, bool]:
            counts = found["instructions"]
            if "failed" in counts:
                raise ShortfallError(counts["failed"])
            untraced = found["inprocess"][name]["off"]["cpu_p50_ns"]
            added = counts[name]["unsampled"]["added"]
            spent = untraced * added / counts[name]["off"]["per_request"]
            told = f"{number(added)} instructions, at this request's pace {us(spent)}"
            return told, spent <= limit * 1000

        title = f"added, unsampled, {_NAMES[interface]}"
        yield _row(f"{title}, CPU time", f"≤ {limit} µs", results, cpu)
        yield _row(f"{title}, by instructions", f"≤ {limit} µs", results, counted)


def _throughput(results: Results) -> Iterator[Row]:
    for interface, limit in (("wsgi", 0.97), ("asgi", 0.97)):

        def own(found: Results, name: str = interface, limit: float = limit) -> tuple[str, bool]:
            entry = found["inprocess"][name]["full"]["ratio_cpu_p50"]
            value = 1 / entry["value"]
            told = f"{value:.3f} (over sockets {found['sockets'][name]['ratio_cpu']['value']:.3f})"
            return told, value >= limit

        title = f"worker's own throughput, traced / untraced (CPU time), {_NAMES[interface]}"
        yield _row(title, f"≥ {limit}", results, own)
    for interface, limit in (("wsgi", 0.93), ("asgi", 0.95)):

        def full(found: Results, name: str = interface, limit: float = limit) -> tuple[str, bool]:
            figures = found["sockets"][name]
            entry, shed = figures["ratio_throughput"], figures["shed_share"]
            told = f"{interval(entry, '{:.3f}'.format)}, {share(shed, 2)} shed"
            return told, entry["value"] >= limit and shed <= 0.01  # noqa: PLR2004

        title = f"saturated throughput, 100 % recorded, ≤ 1 % shed, {_NAMES[interface]}"
        yield _row(title, f"≥ {limit}", results, full)


def _agent(results: Results) -> Iterator[Row]:
    def speed(found: Results) -> tuple[str, bool]:
        fed = found["agent"]["agent"]
        own = fed["peak_own_bytes"]
        told = (
            f"{number(fed['timelines_per_s'])}/s of {number(fed['timelines'])}, "
            f"stored alone {number(fed['stored_per_s'])}/s, {mib(own)} "
            f"(with the ring's pages {mib(fed['peak_rss_bytes'])})"
        )
        return told, fed["timelines_per_s"] >= 5_000 and own <= bytes_of(80)  # noqa: PLR2004

    def report(found: Results) -> tuple[str, bool]:
        told = found["agent"]["report"]
        size = f"{number(told['requests'])} requests"
        if "failed" in told:
            raise ShortfallError(f"{told['failed']} ({size}, {mib(told['peak_rss_bytes'])})")
        seconds = told["elapsed_ns"] / 1e9
        good = seconds <= 5 and told["peak_rss_bytes"] <= bytes_of(300)  # noqa: PLR2004
        enough = told["requests"] >= 1_000_000  # noqa: PLR2004
        return f"{seconds:.2f} s, {mib(told['peak_rss_bytes'])} ({size})", good and enough

    yield _row("agent, one core, ASGI timelines", "≥ 5,000/s, ≤ 80 MB", results, speed)
    yield _row("`tracer report` over 1,000,000 requests", "≤ 5 s, ≤ 300 MB", results, report)


def _import(results: Results) -> Iterator[Row]:
    def worker(found: Results) -> tuple[str, bool]:
        figures = found["footprint"]["worker"]
        took, size = figures["install_ns"], figures["rss_bytes"]
        told = f"{ms(took)} (CPU time {ms(figures['install_cpu_ns'])}), {mib(size)}"
        return told, took <= 25_000_000 and size <= bytes_of(10)  # noqa: PLR2004

    def bystander(found: Results) -> tuple[str, bool]:
        added = found["footprint"]["bystander_start"]["added_ns"]
        return ms(added), added <= 5_000_000  # noqa: PLR2004

    yield _row("`import tracer` + install in a worker", "≤ 25 ms, ≤ 10 MB", results, worker)
    yield _row("a Python process that is no server starts later by", "≤ 5 ms", results, bystander)


SECTIONS = (_added, _unsampled, _throughput, _agent, _import)
