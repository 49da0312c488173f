"""The rules of the house: floors, linters, what an import may load, how long a file may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "tracer"
MODULES = sorted(PACKAGE.rglob("*.py"))
IDS = [str(path.relative_to(ROOT)) for path in MODULES]

# From the ground up. A module may import what is below it, and flat ones of its own floor.
HOUSE = (
    (
        "_native",
        "accelerator",
        "clock",
        "frames",
        "layers",
        "marks",
        "nametable",
        "span_ids",
        "stackframes",
        "timeline",
        "traceparent",
    ),
    ("analysis",),
    (
        "applications",
        "arming",
        "callbacks",
        "chain",
        "chunks",
        "culprits",
        "ending",
        "exporting",
        "hooks",
        "live_context",
        "flame_policy",
        "identity",
        "locks",
        "loops",
        "metering",
        "naming",
        "places",
        "policy",
        "priority",
        "recorder",
        "ring",
        "ring_directory",
        "ring_layout",
        "ring_memory",
        "ring_reader",
        "rotation",
        "sampling",
        "scopes",
        "seams",
        "server_timing",
        "serving",
        "sink",
        "sites",
        "stack_sources",
        "stacks",
        "threadnames",
        "touches",
        "tracks",
        "watched",
    ),
    ("export", "probes", "reports", "sinks"),
    ("checkup", "setup", "summon"),
    ("agent",),
    ("apps", "checks", "commands", "instrumentor", "testing"),
    ("__main__",),
)
FLOORS = {unit: floor for floor, units in enumerate(HOUSE) for unit in units}
# `tracer/__init__.py` gathers the public names: it may import up to here.
PUBLIC_FLOOR = FLOORS["setup"]
MAX_LINES = 300
LONGER_FILES: dict[str, str] = {}  # "tracer/….py": why it may be longer
FOR_PEOPLE = ("click", "rich", "numpy", "hdrh", "httptools", "jinja2", "opentelemetry", "django")


def module_of(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def is_module(parts: tuple[str, ...]) -> bool:
    path = ROOT.joinpath(*parts)
    return path.is_dir() or any(path.with_suffix(kind).exists() for kind in (".py", ".pyi"))


def imports_of(path: Path) -> list[tuple[int, tuple[str, ...]]]:
    """Line and module of everything imported from `tracer`, wherever in the file it stands."""
    here = module_of(path)
    package = here if path.name == "__init__.py" else here[:-1]
    found: list[tuple[int, tuple[str, ...]]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, tuple(alias.name.split("."))) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            for alias in node.names:
                inner = (*base, alias.name)
                found.append((node.lineno, inner if is_module(inner) else base))
    return [(line, parts) for line, parts in found if parts[:1] == ("tracer",)]


def floor_of(parts: tuple[str, ...]) -> int:
    return FLOORS[parts[1]] if len(parts) > 1 else PUBLIC_FLOOR


def is_allowed(importer: tuple[str, ...], imported: tuple[str, ...]) -> bool:
    if imported == importer or len(importer) == 1:
        return floor_of(imported) <= PUBLIC_FLOOR
    if len(imported) == 1:
        return floor_of(importer) > PUBLIC_FLOOR
    unit, other = importer[1], imported[1]
    if unit == other:
        one_probe = unit != "probes" or len(importer) == 2 or len(imported) == 2
        return one_probe or importer[2] == imported[2]
    if floor_of(importer) == floor_of(imported):
        return not (PACKAGE / unit).is_dir() and not (PACKAGE / other).is_dir()
    return floor_of(imported) < floor_of(importer)


def test_every_module_has_a_floor():
    units = {module_of(path)[1] for path in MODULES if len(module_of(path)) > 1}
    homeless = sorted(units - FLOORS.keys())
    assert not homeless, f"give {homeless} a floor in HOUSE"


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_imports_go_down_only(path: Path):
    importer = module_of(path)
    if len(importer) > 1 and importer[1] not in FLOORS:
        pytest.skip("has no floor: the test above says so")
    upwards = [
        f"{path.relative_to(ROOT)}:{line} imports {'.'.join(imported)}"
        for line, imported in imports_of(path)
        if (len(imported) > 1 and imported[1] not in FLOORS) or not is_allowed(importer, imported)
    ]
    assert not upwards, "\n".join(upwards)


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("tracer.analysis.attribution.hops", "tracer.model.layers", True),
        ("tracer.model.layers", "tracer.analysis", False),
        ("tracer.runtime.recorder", "tracer.runtime.seams", True),
        ("tracer.probes.django", "tracer.probes", True),
        ("tracer.probes", "tracer.probes.django", True),
        ("tracer.probes.django", "tracer.probes.asgiref", False),
        ("tracer.probes.django", "tracer.recording.memory", False),
        ("tracer.agent.main", "tracer.compare.plan", False),
        ("tracer.commands.compare", "tracer.compare.plan", True),
        ("tracer.commands", "tracer", True),
        ("tracer.runtime.recorder", "tracer", False),
        ("tracer", "tracer.launch.setup", True),
        ("tracer.launch.setup", "tracer.probes", True),
        ("tracer.launch.setup", "tracer.agent", False),
        ("tracer", "tracer.commands", False),
    ],
)
def test_the_floors_rule_itself(importer: str, imported: str, allowed: bool):
    assert is_allowed(tuple(importer.split(".")), tuple(imported.split("."))) is allowed


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_files_stay_short(path: Path):
    name = path.relative_to(ROOT).as_posix()
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES or name in LONGER_FILES, f"{name} has {lines} lines: split it"


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "--quiet"],
        ["ruff", "format", "--check", "--quiet"],
        ["mypy", "--no-error-summary"],
    ],
    ids=" ".join,
)
def test_linters_are_content(command: list[str]):
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


_SINK = """
class Sink:
    largest = 1 << 62
    write = describe = count = lambda self, *_: None
"""


@pytest.mark.parametrize("then", ["", "tracer.install(Sink())"], ids=["importing", "installing"])
def test_a_worker_loads_nothing_for_people(then: str):
    code = (
        f"{_SINK}\nimport sys; import tracer; {then}\n"
        f"print(*sorted(name for name in {FOR_PEOPLE!r} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
