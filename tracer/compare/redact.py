"""Secrets taken out of what a report shows of a command."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "***"
_NAME = r"[\w.-]*(?:passw(?:or)?d|passphrase|pwd|secret|token|credential|(?<!mon)key(?!s?-?file))"
_NAMED: Final = re.compile(
    rf"(?P<name>(?:^|(?<=[\s'\"]))-{{0,2}}{_NAME}[\w.-]*)(?P<gap>=|\s+)"
    r"(?P<value>'[^']*'|\"[^\"]*\"|[^\s'\"-][^\s'\"]*|(?<==)[^\s'\"]+)",
    re.IGNORECASE,
)
_URL: Final = re.compile(r"(?P<scheme>[\w+.-]+://)[^\s/@'\"]+@")
_ASSIGNED: Final = re.compile(r"(?P<name>(?:^|(?<=\s))[A-Za-z_]\w*=)(?:'[^']*'|\"[^\"]*\"|\S+)")
_HARMLESS: Final = frozenset({"DJANGO_SETTINGS_MODULE=", "WEB_CONCURRENCY=", "PORT="})
_QUERY: Final = re.compile(rf"(?P<name>[?&]{_NAME}[\w.-]*=)[^\s&'\"]+", re.IGNORECASE)


def redact(command: str) -> str:
    """Return the command with the values of secrets replaced by `***`.

    A secret is what follows an option named like one (`--db-password=…`, `--token …`), the value
    of a variable (`env NAME=…`), but for a few that are known, and who a URL is asked as.
    """
    command = _NAMED.sub(_hide_named, command)
    command = _URL.sub(rf"\g<scheme>{HIDDEN}@", command)
    command = _ASSIGNED.sub(_hide_assigned, command)
    return _QUERY.sub(rf"\g<name>{HIDDEN}", command)


def _hide_assigned(match: re.Match[str]) -> str:
    return match[0] if match["name"] in _HARMLESS else f"{match['name']}{HIDDEN}"


def _hide_named(match: re.Match[str]) -> str:
    name, gap = match["name"], match["gap"]
    if gap != "=" and not name.startswith("-"):  # a word in a row of words names no value
        return match[0]
    return f"{name}{gap}{HIDDEN}"
