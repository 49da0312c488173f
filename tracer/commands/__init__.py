"""The command line: each command parses, calls and prints; nothing is loaded before needed."""

from __future__ import annotations

import importlib
from typing import Final

import click

COMMANDS: Final = ("agent", "compare", "doctor", "flame", "report", "run", "top")
BAD_INPUT: Final = 2


class _Lazy(click.Group):
    """Loads a command's module when the command is called for."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names in alphabetical order."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Load one command."""
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{name}"), name)
        return command


class BadInputError(click.ClickException):
    """Input that cannot be used: one clear line, exit code 2."""

    exit_code = BAD_INPUT


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="django-layer-tracer")
def main() -> None:
    """See where each microsecond of a Django request goes, and what to do about it."""
