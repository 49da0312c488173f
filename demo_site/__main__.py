"""Django's commands for the demo: `python -m demo_site runserver`."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line


def main() -> None:
    """Run the command line, with a database for `runserver` to look at."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")
    from demo_site import database  # noqa: PLC0415 - it reads the settings

    database.ensure()
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
