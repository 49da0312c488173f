"""Measure, print the tables, keep the figures: `make bench`.

Each part writes its JSON into a folder; the tables are of all parts that lie there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.machine import ROOT, description
from benchmarks.options import Options, quick
from benchmarks.tables import document
from benchmarks.variants import INTERFACES, VARIANT_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PARTS: Final = ("inprocess", "sockets", "agent", "export", "footprint", "instructions")
DOCUMENT: Final = ROOT / "docs" / "performance.md"
_BEGIN: Final = "<!-- benchmarks: begin -->\n"
_END: Final = "<!-- benchmarks: end -->\n"


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that are asked for, and show all there is."""
    options = _parser().parse_args(arguments)
    size = _size(options)
    size.out.mkdir(parents=True, exist_ok=True)
    for part in options.parts if options.run else ():
        begin = time.monotonic()
        sys.stderr.write(f"{part} … ")
        sys.stderr.flush()
        found = importlib.import_module(f"benchmarks.{part}").run(size)
        found = {"machine": description(), "quick": options.quick, **found}
        target = size.out / f"{part}.json"
        target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        sys.stderr.write(f"{time.monotonic() - begin:.0f} s\n")
    results = _results(size.out)
    if not results:
        sys.stderr.write(f"{size.out}: nothing was measured yet\n")
        return 2
    tables = document(results)
    sys.stdout.write(tables)
    if options.write_docs:
        if any(found["quick"] for found in results.values()):
            sys.stderr.write("a smoke run's figures don't belong into the documents\n")
            return 2
        write_docs(tables, DOCUMENT)
    return 0


def write_docs(tables: str, path: Path) -> None:
    """Put the tables between the marks of a document, and leave the rest as it is."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{path.name} has no place for tables: {_BEGIN.strip()} … {_END.strip()}")
    path.write_text(f"{before}{begin}\n{tables}\n{end}{after}", encoding="utf-8")


def _results(folder: Path) -> dict[str, dict[str, Any]]:
    files = {part: folder / f"{part}.json" for part in PARTS}
    return {
        part: json.loads(path.read_text(encoding="utf-8"))
        for part, path in files.items()
        if path.exists()
    }


def _size(options: argparse.Namespace) -> Options:
    given = {"peers": options.peers, "out": options.out, "rounds": options.rounds}
    given["report_requests"] = options.report_requests
    given |= {"interfaces": options.interfaces, "variants": options.variants}
    size = quick() if options.quick else Options()
    return replace(size, **{name: value for name, value in given.items() if value is not None})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    # No `choices`: argparse would hold an empty list against them.
    parser.add_argument(
        "parts",
        nargs="*",
        default=PARTS,
        type=_part,
        metavar="PART",
        help=f"of {', '.join(PARTS)}; all by default",
    )
    parser.add_argument("--quick", action="store_true", help="as little as runs at all")
    parser.add_argument("--rounds", type=int, help="of the in-process run")
    parser.add_argument("--report-requests", type=int, help="in the recording of `agent`")
    for name, known in (("interfaces", INTERFACES), ("variants", VARIANT_NAMES)):
        parser.add_argument(f"--{name}", type=_names(known), metavar="A,B", help=", ".join(known))
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="only ourselves")
    parser.add_argument(
        "--no-run",
        dest="run",
        action="store_false",
        help="only the tables of what was measured before",
    )
    parser.add_argument(
        "--write-docs",
        action="store_true",
        help=f"put the tables into {DOCUMENT.relative_to(ROOT)}",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the JSON goes")
    return parser


def _names(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def names(text: str) -> tuple[str, ...]:
        return tuple(_one_of(known, name) for name in text.split(","))

    return names


def _part(name: str) -> str:
    return _one_of(PARTS, name)


def _one_of(known: Sequence[str], name: str) -> str:
    if name not in known:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
    return name


if __name__ == "__main__":
    sys.exit(main())
