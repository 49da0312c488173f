"""`tracer doctor`: which seams are there, which are refused, and why; and how agents are."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import click

from tracer.commands import BadInputError

_MARKS: Final = {"installed": "+", "absent": ".", "refused": "!"}
_WELL: Final = ("healthy", "behind", "left")


@click.command()
@click.option("--settings", metavar="MODULE", help="Django's settings module, to set it up by.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(settings: str | None, *, as_json: bool) -> None:
    """Try every seam in this environment and ask this user's agents how they are.

    Exit 1 if a seam is refused or an agent isn't well.
    """
    from tracer.agent.health import agent_statuses
    from tracer.launch.doctor import seam_statuses

    if settings is not None and not settings.strip():
        raise BadInputError("--settings: names no module")
    try:
        statuses = seam_statuses(settings)
    except RuntimeError as error:
        raise BadInputError(str(error)) from error
    agents = agent_statuses()
    if as_json:
        document = {"schema": "tracer.doctor/1", "seams": statuses, "agents": agents}
        click.echo(json.dumps(document, indent=2))
    else:
        _print_agents(agents)
        _print(statuses)
    refused = any(seam["status"] == "refused" for seam in statuses)
    sys.exit(refused or any(agent["health"] not in _WELL for agent in agents))


def _print_agents(agents: list[dict[str, Any]]) -> None:
    if agents:
        click.echo("agents")
    for agent in agents:
        mark = "+" if agent["health"] == "healthy" else "." if agent["health"] in _WELL else "!"
        reason = f"  ({agent['reason']})" if agent["reason"] else ""
        what = agent.get("recording", agent["directory"])
        click.echo(f"  {mark} {what}  {agent['health']}{reason}")
        if "pid" in agent:
            click.echo(f"      {_doing(agent)}")
        if agent.get("export"):
            click.echo(f"      {_exporting(agent['export'])}")
            if agent["export"].get("metrics"):
                click.echo(f"      {_measuring(agent['export']['metrics'])}")
        for line in agent["log"]:
            click.echo(f"      {line}")


def _exporting(export: dict[str, Any]) -> str:
    why = f" ({export['error']})" if export["error"] else ""
    return (
        f"{export['exported_traces']} traces exported ({export['exported_spans']} spans), "
        f"{export['failed_traces']} failed{why}, {export['shed_traces']} shed, "
        f"{export['waiting']} wait"
    )


def _measuring(metrics: dict[str, Any]) -> str:
    why = f" ({metrics['error']})" if metrics["error"] else ""
    return f"metrics exported {metrics['exports']} times, {metrics['failed_exports']} failed{why}"


def _doing(agent: dict[str, Any]) -> str:
    ago = agent["last_drain_ns_ago"]
    drained = "nothing came yet" if ago is None else f"last drained {ago / 1e9:.1f} s ago"
    return (
        f"pid {agent['pid']}, {agent['workers']} workers, {agent['recorded']} timelines recorded, "
        f"{agent['dropped']} dropped, {agent['behind_bytes']} bytes behind, {drained}"
    )


def _print(statuses: list[dict[str, Any]]) -> None:
    probe = None
    for seam in statuses:
        if seam["probe"] != probe:
            probe = seam["probe"]
            click.echo(f"\n{probe}")
        reason = f"  ({seam['reason']})" if seam["reason"] else ""
        click.echo(f"  {_MARKS[seam['status']]} {seam['seam']}  {seam['status']}{reason}")
    counts = {status: sum(seam["status"] == status for seam in statuses) for status in _MARKS}
    summary = ", ".join(f"{count} {status}" for status, count in counts.items())
    click.echo(f"\n{len(statuses)} seams: {summary}")
