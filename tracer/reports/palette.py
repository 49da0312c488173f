"""One colour for each layer, the same in every report.

The colours are Okabe and Ito's, which people with any colour blindness can tell
apart; two are toned down so that all read on white and on black. No report relies on
them alone: the layer's name always stands beside its colour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracer.model.layers import LAYERS

if TYPE_CHECKING:
    from tracer.model.layers import Layer

COLOURS: Final[dict[Layer, str]] = {
    "server": "#0072B2",
    "event_loop": "#E69F00",
    "handler": "#56B4E9",
    "handoff": "#D55E00",
    "middleware": "#009E73",
    "view": "#CC79A7",
    "network": "#8A8A8A",
    "unattributed": "#B5A21D",
}

NAMES: Final[dict[Layer, str]] = {
    "server": "server",
    "event_loop": "event loop",
    "handler": "handler",
    "handoff": "hand-off",
    "middleware": "middleware",
    "view": "view",
    "network": "network",
    "unattributed": "unattributed",
}

MEANINGS: Final[dict[Layer, str]] = {
    "server": "reading, parsing, sending",
    "event_loop": "the loop's turn, or busy with others",
    "handler": "Django's own core",
    "handoff": "from the loop to a thread and back",
    "middleware": "each middleware's own code",
    "view": "the view and its rendering",
    "network": "between client and server",
    "unattributed": "no known owner",
}


def legend() -> list[dict[str, str]]:
    """Return each layer with its name, its colour and what it means, in their order."""
    return [
        {"layer": one, "name": NAMES[one], "colour": COLOURS[one], "meaning": MEANINGS[one]}
        for one in LAYERS
    ]
