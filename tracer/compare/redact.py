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
_URL: Final = re.compile(r"(?P<scheme>[\w+.-]+://)(?P<user>[^\s/:@'\"]*):[^\s/@'\"]+@")
_QUERY: Final = re.compile(rf"(?P<name>[?&]{_NAME}[\w.-]*=)[^\s&'\"]+", re.IGNORECASE)


def redact(command: str) -> str:
    """Return the command with the values of secrets replaced by `***`.

    A secret is what follows an option or a variable named like one
    (`--db-password=…`, `--token …`, `SECRET_KEY=…`) and a password in a URL.
    """
    command = _NAMED.sub(_hide_named, command)
    command = _URL.sub(rf"\g<scheme>\g<user>:{HIDDEN}@", command)
    return _QUERY.sub(rf"\g<name>{HIDDEN}", command)


def _hide_named(match: re.Match[str]) -> str:
    name, gap = match["name"], match["gap"]
    if gap != "=" and not name.startswith("-"):  # a word in a row of words names no value
        return match[0]
    return f"{name}{gap}{HIDDEN}"
