"""Who can own time, and the words that say in which part, phase and state."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Layer = Literal[
    "server",
    "event_loop",
    "handler",
    "handoff",
    "middleware",
    "view",
    "network",
    "unattributed",
]
LAYERS: Final[tuple[Layer, ...]] = (
    "server",
    "event_loop",
    "handler",
    "handoff",
    "middleware",
    "view",
    "network",
    "unattributed",
)

HopPhase = Literal["prepare", "submit", "queue", "wake", "run", "notify", "return", "resume"]
HOP_PHASES: Final[tuple[HopPhase, ...]] = (
    "prepare",
    "submit",
    "queue",
    "wake",
    "run",
    "notify",
    "return",
    "resume",
)

State = Literal["run", "wait"]
Certainty = Literal["exact", "bound", "estimate"]


class Owner(NamedTuple):
    """Who owns a stretch of time, fine enough to be told apart in a table.

    `detail` is what within the layer (a dotted path, a site, a blocker), `part`
    what within the detail (`render`, `query`, …), `phase` a middleware's method
    or a hop's phase.
    """

    layer: Layer
    detail: str | None = None
    part: str | None = None
    phase: str | None = None


UNATTRIBUTED: Final = Owner("unattributed")
