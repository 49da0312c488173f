"""All tables of a run as Markdown, with what they were measured on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.reach import reach_table
from benchmarks.variants import FULL, OFF, ON_UVLOOP
from benchmarks.wording import interval, mib, ms, number, share, table, us

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.reach import Results

_INTERFACES = (("wsgi", "WSGI"), ("asgi", "ASGI"))


def document(results: Results) -> str:
    """Return everything there is to show."""
    return "\n".join(_parts(results))


def _parts(results: Results) -> Iterator[str]:
    yield _machines(results)
    yield "### Reach\n"
    yield reach_table(results)
    if "inprocess" in results:
        yield "### One request, in process\n"
        yield _variants(results["inprocess"])
        yield "### The peers, in the same run\n"
        yield _peers(results["inprocess"])
    if "sockets" in results:
        yield "### Over real sockets\n"
        yield _sockets(results["sockets"])
    if "export" in results:
        yield "### Spans, the exporting process alone on one core\n"
        yield _export(results["export"])
    if "instructions" in results and "failed" not in results["instructions"]:
        yield "### Instructions per request\n"
        yield _instructions(results["instructions"])


def _of(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(interface, title) for interface, title in _INTERFACES if interface in found]


def _machines(results: Results) -> str:
    """Say where and when each part was measured, once where that is the same."""
    said: dict[str, list[str]] = {}
    for name, found in results.items():
        machine = found["machine"]
        versions = ", ".join(f"{key} {value}" for key, value in machine["versions"].items())
        day = time.strftime("%Y-%m-%d", time.gmtime(machine["measured_unix_s"]))
        with_c = "with" if machine["accelerator"] else "without"
        smoke = " A smoke run: its figures mean nothing." if found["quick"] else ""
        text = (
            f"{machine['cpu']}, {machine['cpus']} cores, Linux {machine['kernel']}, "
            f"Python {machine['python']} ({versions}), {with_c} the accelerator, "
            f"tree {machine['commit']}, {day}.{smoke}"
        )
        said.setdefault(text, []).append(name)
    if len(said) == 1:
        return f"{next(iter(said))}\n"
    return "".join(f"{', '.join(names)}: {text}\n\n" for text, names in said.items())


def _variants(found: dict[str, Any]) -> str:
    head = ["", "", "p50", "added p50 (95 %)", "ratio", "added p99", "added CPU time"]
    rows = []
    for interface, title in _of(found):
        for name, figures in found[interface].items():
            first = [title, found["titles"][name], us(figures["p50_ns"])]
            if name.startswith(OFF):
                rows.append(
                    [*first, "", "", f"(p99 {us(figures['p99_ns'])})", f"({us(figures['cpu_ns'])})"]
                )
            else:
                rows.append([*first, *_added(figures)])
    return table(head, rows)


def _added(figures: dict[str, Any]) -> list[str]:
    return [
        interval(figures["added_p50_ns"], us),
        f"{figures['ratio_p50']['value']:.3f}",
        us(figures["added_p99_ns"]["value"]),
        us(figures["added_cpu_ns"]["value"]),
    ]


def _peers(found: dict[str, Any]) -> str:
    head = ["", "", "added p50 (95 %)", "ratio", "added p99", "added CPU time", "spans a request"]
    rows = []
    for interface, title in _of(found):
        ours = found[interface].get(FULL)
        if ours is not None:
            rows.append([title, "**this tracer, 100 %**", *_added(ours), "every layer"])
        for peer in found["peers"].values():
            figures = peer[interface]
            name = f"{peer['title']} {peer['version'] or ''}".strip()
            if "failed" in figures:
                rows.append([title, name, figures["failed"].replace("|", "/"), "", "", "", ""])
                continue
            spans = figures["spans"]
            told = "none" if spans is None else f"{spans:g}"
            if spans is not None and not figures["sent"]:
                told += ", none of them sent"
            rows.append([title, name, *_added(figures), told])
    return table(head, rows)


def _sockets(found: dict[str, Any]) -> str:
    head = ["", "", "p50", "p99", "throughput", "CPU time a request", "shed"]
    rows = []
    for interface, title in _of(found):
        for side in ("untraced", "traced"):
            figures = found[interface][side]
            shed = found[interface]["shed_share"]
            rows.append(
                [
                    title,
                    side,
                    us(figures["p50_ns"]),
                    us(figures["p99_ns"]),
                    f"{number(figures['throughput'])}/s",
                    us(figures["cpu_ns"]),
                    "" if side == "untraced" or shed is None else share(shed, 2),
                ]
            )
        ratios = (
            interval(found[interface][name], "{:.3f}".format)
            for name in ("ratio_p50", "ratio_p99", "ratio_throughput", "ratio_cpu")
        )
        caught_up = f"caught up in {ms(found[interface]['catch_up_ns'])}"
        rows.append([title, "ratio", *ratios, caught_up])
        exported, peer = found[interface]["exported"], found[interface]["peer"]
        if exported.get("exported") is not None:
            arrived = exported["exported"] / exported["sent"]
            lost = f"{share(1 - arrived, 2)} of traces"
            rows.append([title, "traced and exported", *_beside(exported), lost])
        if "failed" not in peer:
            rows.append([title, f"{peer['title']} alone", *_beside(peer), ""])
    return table(head, rows)


def _beside(figures: dict[str, Any]) -> list[str]:
    """Return what is told of a side, its throughput beside that of the untraced one."""
    throughput = interval(figures["ratio_throughput"], "{:.3f}".format)
    return [
        us(figures["p50_ns"]),
        us(figures["p99_ns"]),
        f"{number(figures['throughput'])}/s ({throughput})",
        us(figures["cpu_ns"]),
    ]


def _export(found: dict[str, Any]) -> str:
    rows = [
        [
            level,
            number(one["spans_per_trace"]),
            number(one["traces_per_s"]),
            us(one["cpu_ns"] / one["traces"]),
            mib(one["peak_rss_bytes"]),
        ]
        for level, one in found["levels"].items()
    ]
    return table(["detail", "spans a trace", "traces/s", "CPU a trace", "peak memory"], rows)


def _instructions(found: dict[str, Any]) -> str:
    head = ["", "", "instructions", "added", "ratio", "cache lines, code", "data", "added"]
    rows = []
    hosts = [*_of(found), *([(ON_UVLOOP, "ASGI on uvloop")] if ON_UVLOOP in found else ())]
    for host, title in hosts:
        touched = None
        for name, figures in found[host].items():
            more = ["", ""]
            if "added" in figures:
                more = [number(figures["added"]), f"{figures['ratio']:.4f}"]
            rows.append([title, name, number(figures["per_request"]), *more])
            lines = (figures["code_lines"], figures["data_lines"])
            touched = touched or sum(lines)
            added = "" if name.startswith(OFF) else number(sum(lines) - touched)
            rows[-1] += [*map(number, lines), added]
    return table(head, rows)
