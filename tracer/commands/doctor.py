"""`tracer doctor`: which seams are there, which are refused, and why."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import click

from tracer.commands import BadInputError

_MARKS: Final = {"installed": "+", "absent": ".", "refused": "!"}


@click.command()
@click.option("--settings", metavar="MODULE", help="Django's settings module, to set it up by.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(settings: str | None, *, as_json: bool) -> None:
    """Try every seam in this environment; exit 1 if one is refused."""
    from tracer.checkup import seam_statuses

    if settings is not None and not settings.strip():
        raise BadInputError("--settings: names no module")
    try:
        statuses = seam_statuses(settings)
    except RuntimeError as error:
        raise BadInputError(str(error)) from error
    if as_json:
        click.echo(json.dumps({"schema": "tracer.doctor/1", "seams": statuses}, indent=2))
    else:
        _print(statuses)
    sys.exit(any(seam["status"] == "refused" for seam in statuses))


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
