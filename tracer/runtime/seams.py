"""Seams: named third-party attributes we wrap, refused when their shape is unknown."""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracer.runtime.recorder import Recorder

_logger = logging.getLogger("tracer")
_MISSING: Final = object()
_PREFIX: Final[dict[object, str]] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


class ShapeError(Exception):
    """An attribute isn't what this seam was written for."""


@dataclass(frozen=True, slots=True)
class Seam:
    """An attribute `module:qualified.name` and what makes its wrapper.

    `shapes` are the parameter lists the original may have, as `"self, request"`;
    empty accepts any callable. `optional` seams exist in some releases only: where
    they are missing, nothing is lost and nothing is said.
    """

    target: str
    make_wrapper: Callable[[Recorder, Any], Any]
    shapes: tuple[str, ...] = ()
    optional: bool = False

    @property
    def module(self) -> str:
        """The module that must be imported for the seam to exist."""
        return self.target.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Probe:
    """The seams that mark one layer of one library.

    `prepare` runs once before the seams are installed, for what is no attribute: a
    callback to register, a hook on every loop. It returns how to undo it.
    """

    name: str
    seams: tuple[Seam, ...] = ()
    prepare: Callable[[Recorder], Callable[[], None]] | None = None
    instance_seams: tuple[str, ...] = field(default=())


class Installation:
    """The seams of all probes in this process, those there and those to come."""

    def __init__(self, recorder: Recorder, probes: tuple[Probe, ...]) -> None:
        """Prepare to install; nothing is touched yet."""
        self.recorder = recorder
        self.probes = probes
        self.statuses: dict[str, tuple[str, str | None]] = {}
        self._undo: list[Callable[[], None]] = []
        self._tried: set[tuple[str, int]] = set()

    def modules(self) -> frozenset[str]:
        """Names of the modules whose import matters to a seam."""
        return frozenset(seam.module for probe in self.probes for seam in probe.seams)

    def start(self) -> None:
        """Install every seam whose module is imported."""
        for probe in self.probes:
            if probe.prepare is not None:
                self._guarded(probe.name, probe.prepare)
        for module in self.modules():
            if module in sys.modules:
                self.module_imported(module)

    def module_imported(self, module: str) -> None:
        """Install the seams of a module that has just been imported."""
        for probe in self.probes:
            for number, seam in enumerate(probe.seams):
                key = (probe.name, number)
                if seam.module == module and key not in self._tried:
                    self._tried.add(key)
                    self._install(seam, probe)

    def stop(self) -> None:
        """Put every original back, the last replaced first."""
        while self._undo:
            try:
                self._undo.pop()()
            except Exception:  # the others are put back all the same
                _logger.warning("tracer: a seam could not be put back", exc_info=True)
        self.statuses.clear()
        self._tried.clear()

    def _guarded(self, name: str, prepare: Callable[[Recorder], Callable[[], None]]) -> None:
        try:
            self._undo.append(prepare(self.recorder))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a probe never breaks its host
            self._refuse(name, "refused", repr(error))

    def _install(self, seam: Seam, probe: Probe) -> None:
        """Wrap an attribute; what another probe has wrapped already is wrapped once more."""
        said = seam.target
        if said in self.statuses:
            said = f"{said} ({probe.name})"
        try:
            holder, name, raw = locate(seam.target)
        except (ImportError, AttributeError) as error:
            if seam.optional:
                self.statuses[said] = ("absent", str(error))
            else:
                self._refuse(said, "absent", str(error))
            return
        try:
            check_shape(raw, seam.shapes)
            replacement = seam.make_wrapper(self.recorder, raw)
            inherited = name not in vars(holder)
            setattr(holder, name, replacement)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a probe never breaks its host
            reason = str(error) if isinstance(error, ShapeError) else repr(error)
            self._refuse(said, "refused", reason)
            return
        self.statuses[said] = ("installed", None)
        self._undo.append(
            functools.partial(delattr, holder, name)
            if inherited
            else functools.partial(setattr, holder, name, raw)
        )

    def _refuse(self, seam: str, status: str, reason: str) -> None:
        self.statuses[seam] = (status, reason)
        self.recorder.problem(seam, status, reason)
        _logger.info("tracer: seam %s %s: %s", seam, status, reason)


def locate(target: str) -> tuple[Any, str, Any]:
    """Return holder, attribute name and raw attribute of `module:qualified.name`."""
    module_name, _, path = target.partition(":")
    holder: Any = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        holder = getattr(holder, parent)
    raw = inspect.getattr_static(holder, name, _MISSING)
    if raw is _MISSING:
        message = f"{module_name} has no {path}"
        raise AttributeError(message)
    return holder, name, raw


def check_shape(raw: object, shapes: tuple[str, ...]) -> None:
    """Raise `ShapeError` unless `raw` is callable with one of the parameter lists."""
    function = raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw
    if not callable(function):
        message = f"not callable: {type(raw).__name__}"
        raise ShapeError(message)
    if not shapes:
        return
    found = parameters(function)
    if found not in shapes:
        message = f"takes ({found}), known is " + " or ".join(f"({shape})" for shape in shapes)
        raise ShapeError(message)


def parameters(function: Callable[..., object]) -> str:
    """Return a function's parameter names as `"self, *args, key"`, defaults left out."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        message = f"no readable signature: {error}"
        raise ShapeError(message) from error
    return ", ".join(
        _PREFIX.get(parameter.kind, "") + parameter.name
        for parameter in signature.parameters.values()
    )
