"""What spans are called and what they say of themselves, apart from figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracer.model.wording import asked_by, ran_there, short

if TYPE_CHECKING:
    from tracer.analysis.attribution.request import Handoff
    from tracer.analysis.spans.branch import Branch
    from tracer.model.layers import Owner
    from tracer.model.nametable import CodeLocation

Value = str | int | float | bool | tuple[str, ...]

HANDOFF_BUCKETS: Final = (0, 2, 5, 10, 20, 50, 100)
"""Upper ends; Jaeger finds tags only by equality."""

_TITLES: Final = {"after": "after the response", "beside": "beside the request"}
LAYER: Final = "tracer.layer"

_LOOSE: Final = {"event_loop": "event loop", "server": "server", "network": "network"}
_DRF: Final = frozenset(
    {
        *("initialize", "initial", "authentication", "permission"),
        *("throttle", "handler", "exception", "finalize"),
    }
)
_CODE: Final = frozenset({"middleware", "phase", "view", "function", "run"})


def name_of(branch: Branch, section: str) -> str:
    """Return a span's name: short, and the same for the same code."""
    owner, kind = branch.owner, branch.kind
    detail = owner.detail or ""
    if kind == "whole":
        return _TITLES[section]
    if kind == "hop":
        loop = branch.handoff is not None and branch.handoff.to_loop
        return f"hand-off{' to the loop' if loop else ''}: {short(ran_there(detail))}"
    if kind == "hop phase":
        return owner.phase or owner.layer
    if kind == "part":
        return f"DRF {owner.part}" if owner.part in _DRF else str(owner.part)
    if kind == "loose":
        said = _LOOSE.get(owner.layer, owner.layer)
        return f"{said}: {short(detail)}" if detail else said
    return _name_of_code(owner, detail)


def _name_of_code(owner: Owner, detail: str) -> str:
    if owner.layer == "middleware":
        return short(detail, 1) + (f".{owner.phase}" if owner.phase else "")
    if owner.layer == "view":
        return f"view: {short(detail)}" if detail else "view"
    return f"handler: {short(detail)}" if detail else "Django handler"


def attributes_of(branch: Branch, section: str) -> tuple[tuple[str, Value], ...]:
    """Return what is the same for every request of which this is a part."""
    owner = branch.owner
    found: list[tuple[str, Value]] = []
    if branch.kind != "whole":
        found.append((LAYER, owner.layer))
        if owner.detail and branch.kind != "hop phase":
            found.append(("tracer.detail", owner.detail))
        if owner.part:
            found.append(("tracer.part", owner.part))
        if owner.phase:
            found.append(("tracer.phase", owner.phase))
        if (code := code_of(branch)) is not None:
            found.append(("code.function.name", _function(code)))
    if section == "after":
        found.append(("tracer.after_response", True))
    if section == "beside":
        found.append(("tracer.overlapped", True))
    return tuple(found)


def code_of(branch: Branch) -> str | None:
    """Return the name under which the code of a branch is looked up; None for no code.

    Of a hand-off that is its site: the code that asked for it.
    """
    owner = branch.owner
    if branch.kind == "hop":
        site = owner.detail or ""
        return site if ":" in asked_by(site) else None
    if branch.kind in _CODE and owner.detail and "." in owner.detail:
        return owner.detail + (f".{owner.phase}" if owner.phase else "")
    return None


def _function(code: str) -> str:
    """Return the dotted path of the function, of a hand-off's site who asked."""
    return asked_by(code).replace(":", ".")


def location_attributes(place: CodeLocation | None) -> tuple[tuple[str, Value], ...]:
    """Return where code stands, as far as it is known."""
    if place is None:
        return ()
    file: tuple[str, Value] = ("code.file.path", place.file)
    return (file,) if place.line is None else (file, ("code.line.number", place.line))


def thread_attributes(name: str | None) -> tuple[tuple[str, Value], ...]:
    """Return what a thread is called."""
    return () if name is None else (("thread.name", name),)


def handoff_attributes(handoff: Handoff) -> tuple[tuple[str, Value], ...]:
    """Return what a hand-off says of itself; its phases' durations are figures of its own."""
    return (
        ("tracer.handoff.site", handoff.site),
        ("tracer.handoff.direction", handoff.direction),
        ("tracer.handoff.thread_started", handoff.thread_started),
    )


def bucket(count: int) -> str:
    """Return which of a few ranges a number of hand-offs is in: `11-20`, `101+`."""
    low = 0
    for high in HANDOFF_BUCKETS:
        if count <= high:
            return str(high) if low == high else f"{low}-{high}"
        low = high + 1
    return f"{low}+"
