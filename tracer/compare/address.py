"""Where a server listens: a free address, put into its command in the server's own way."""

from __future__ import annotations

import re
import shlex
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

HOST: Final = "127.0.0.1"
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_POSITIONAL_ADDRESS: Final = re.compile(r"(?:[\w.\[\]:-]+:)?\d{1,5}")


class CommandError(ValueError):
    """A server command that can't be used; the text says which and why."""


@dataclass(frozen=True, slots=True)
class _Way:
    """How a server is told its address, and the options of its own that would contradict."""

    arguments: tuple[str, ...]
    replaces: tuple[str, ...]


_BIND = _Way(("--bind", "{bind}"), ("--bind", "-b"))
_HOST_PORT = _Way(("--host", "{host}", "--port", "{port}"), ("--host", "--port", "--uds", "--fd"))
_WAYS: Final[dict[str, _Way]] = {
    "gunicorn": _BIND,
    "hypercorn": _BIND,
    "uvicorn": _HOST_PORT,
    "granian": _HOST_PORT,
    "daphne": _Way(("-b", "{host}", "-p", "{port}"), ("-b", "--bind", "-p", "--port", "-u")),
    "waitress-serve": _Way(("--listen", "{bind}"), ("--listen", "--host", "--port")),
    "runserver": _Way(("{bind}",), ()),
}


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command ready to be run: arguments, and the variables set in front of them."""

    arguments: tuple[str, ...]
    variables: dict[str, str]


def parse_command(command: str, port: int) -> Invocation:
    """Split a server command as a shell would and give it the address.

    Raise CommandError where it is empty, badly quoted, or says nowhere how it is
    to be told a port.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise CommandError(f"the command {command!r} can't be read: {error}") from error
    variables: dict[str, str] = {}
    while words and (match := _ASSIGNMENT.fullmatch(words[0])):
        variables[match[1]] = match[2]
        words.pop(0)
    if not words:
        raise CommandError(f"the command {command!r} runs nothing")
    addressed = words if _has_placeholder(command) else _in_own_way(words, command)
    return Invocation(tuple(_fill(word, port) for word in addressed), variables)


def free_ports(count: int) -> tuple[int, ...]:
    """Return that many different loopback ports nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind((HOST, 0))
        return tuple(sock.getsockname()[1] for sock in sockets)


def _has_placeholder(command: str) -> bool:
    return "{port}" in command or "{bind}" in command


def _fill(word: str, port: int) -> str:
    """Replace the placeholders only: other braces are the user's."""
    word = word.replace("{bind}", f"{HOST}:{port}").replace("{port}", str(port))
    return word.replace("{host}", HOST)


def _in_own_way(words: list[str], command: str) -> list[str]:
    for position, word in enumerate(words):
        way = _WAYS.get(PurePath(word).name.removesuffix(".exe"))
        if way is not None:
            rest = _without(words[position + 1 :], way.replaces)
            if word == "runserver" and rest and _POSITIONAL_ADDRESS.fullmatch(rest[0]):
                rest = rest[1:]
            return [*words[: position + 1], *rest, *way.arguments]
    raise CommandError(
        f"no port can be given to {command!r}: write {{port}} or {{bind}} where it belongs"
    )


def _without(words: list[str], options: tuple[str, ...]) -> list[str]:
    """Drop the options and their values, in every spelling."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in options:
            skip = True
        elif not any(_carries(word, option) for option in options):
            kept.append(word)
    return kept


def _carries(word: str, option: str) -> bool:
    if option.startswith("--"):
        return word.startswith(f"{option}=")
    return word.startswith(option) and not word.startswith("--")
