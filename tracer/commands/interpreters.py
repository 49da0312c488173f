"""What a command line says of the Python that it starts, without starting it."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Final

_HIDING: Final = ("I", "E", "S")
_WITH_VALUE: Final = ("W", "X", "Q")
_ENDING: Final = ("c", "m", "-")
_LONGEST_SHEBANG: Final = 4096
_DEEPEST: Final = 4


def hiding_option(words: list[str]) -> str | None:
    """Return the option by which this command's Python ignores PYTHONPATH or `sitecustomize`.

    Looks through `env` and a script's `#!` line; None where there is no such option,
    or no Python to be seen.
    """
    for _ in range(_DEEPEST):
        words = _past_env(words)
        if not words:
            return None
        name = Path(words[0]).name
        if name.startswith(("python", "pypy")):
            return _first_hiding(words[1:])
        interpreter = _shebang(words[0])
        if interpreter is None:
            return None
        words = interpreter
    return None


def _past_env(words: list[str]) -> list[str]:
    """Leave out `env` with its options and assignments."""
    if not words or Path(words[0]).name != "env":
        return words
    rest = words[1:]
    while rest and (rest[0].startswith("-") or "=" in rest[0]):
        option = rest.pop(0)
        if option.startswith(("-S", "--split-string")):
            text = option.removeprefix("-S").removeprefix("--split-string").removeprefix("=")
            rest = _split(text or (rest.pop(0) if rest else "")) + rest
        elif option in {"-u", "-C", "--unset", "--chdir"}:
            rest = rest[1:]
    return rest


def _shebang(program: str) -> list[str] | None:
    """Return what a script's first line says is to run it: a path and at most one argument."""
    try:
        with Path(shutil.which(program) or program).open("rb") as file:
            first = file.readline(_LONGEST_SHEBANG)
    except OSError:
        return None
    if not first.startswith(b"#!"):
        return None
    return first[2:].decode(errors="replace").strip().split(None, 1)


def _first_hiding(options: list[str]) -> str | None:
    rest = iter(options)
    for word in rest:
        if not word.startswith("-") or word == "-":
            return None
        if word.startswith("--"):
            if word == "--check-hash-based-pycs":
                next(rest, None)
            continue
        for place, flag in enumerate(word[1:], 2):
            if flag in _HIDING:
                return f"-{flag}"
            if flag in _ENDING:
                return None
            if flag in _WITH_VALUE:
                if place == len(word):
                    next(rest, None)
                break
    return None


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
