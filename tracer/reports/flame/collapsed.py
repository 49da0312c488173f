"""Collapsed stacks, a line each: `layer;detail;function 1234`, as `flamegraph.pl` reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracer.analysis.flame.flame_graph import FlameGraph
    from tracer.analysis.flame.pieces import Path


def collapsed(picture: FlameGraph) -> Iterator[str]:
    """Give the lines; counts are nanoseconds, of a comparison two, each of a request's mean."""
    a, b = picture.totals, picture.against
    if b is None:
        for path, ns in sorted(a.by_path.items(), key=lambda item: line_of(item[0])):
            yield f"{line_of(path)} {ns}\n"
        return
    for path in sorted(a.by_path.keys() | b.by_path.keys(), key=line_of):
        means = [one.by_path.get(path, 0) // max(one.requests, 1) for one in (a, b)]
        yield f"{line_of(path)} {means[0]} {means[1]}\n"


def line_of(path: Path) -> str:
    """Return a path's levels, joined; what would end a level or a line is another sign."""
    return ";".join(" ".join(step.name.split()).replace(";", ",") for step in path)
