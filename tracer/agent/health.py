"""How this user's agents are: found by their directories, asked through their sockets."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final

from tracer.agent.conversation import AgentError, ask
from tracer.agent.directories import own_directories
from tracer.ring.directory import is_inhabited, is_served

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE_S: Final = 2.0
_BEHIND: Final = 4 * 1024 * 1024
_LOG_LINES: Final = 3


def agent_statuses() -> list[dict[str, Any]]:
    """Return one dictionary an agent: `directory`, `health`, `reason`, and what it says of itself.

    `health` is `healthy`; `behind` with much still in the rings; `failing` where the
    recording can't be written; `silent` where it doesn't answer; `gone` where workers
    have no agent; `left` for what a dead agent left behind, which the next one puts away.
    """
    return [_status(directory) for directory in own_directories()]


def _status(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"directory": str(directory), "health": "left", "reason": None}
    found["log"] = _log(directory)
    if not is_served(directory):
        if is_inhabited(directory):
            found |= {"health": "gone", "reason": "workers drop what they see; no agent is there"}
        return found
    try:
        found |= json.loads(ask(directory, "status", _PATIENCE_S))
    except (AgentError, ValueError) as error:
        return found | {"health": "silent", "reason": str(error)}
    if found["failure"]:
        return found | {"health": "failing", "reason": found["failure"]}
    if found["behind_bytes"] > _BEHIND:
        return found | {"health": "behind", "reason": f"{found['behind_bytes']} bytes wait"}
    return found | {"health": "healthy"}


def _log(directory: Path) -> list[str]:
    with contextlib.suppress(OSError):
        text = (directory / "agent.log").read_text(encoding="utf-8", errors="replace")
        return text.splitlines()[-_LOG_LINES:]
    return []
