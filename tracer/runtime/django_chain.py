"""Django's middleware chain: each link's own time, and the glue between the links.

Where we are there while the chain is built, every link passes through our hands
(`probes/django.py`). Where it was built before us, its links are found by what
refers to them, and what can't be found is named.
"""

from __future__ import annotations

import functools
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracer.runtime.call_sites import NAME_ATTRIBUTE, describe
from tracer.runtime.scopes import scoped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tracer.runtime.recorder import Recorder

_HOOKS: Final = ("process_view", "process_template_response", "process_exception")
_MIXIN_PHASES: Final = ("process_request", "process_response")
_INNER: Final = "convert_exception_to_response.<locals>.inner"
_INNERMOST: Final = "django.core.handlers.base.BaseHandler._get_response"


def trace_middleware(recorder: Recorder, middleware: Any, path: str) -> Callable[..., Any]:
    """Return a callable like `middleware`, with its own time given to its dotted path."""
    for phase in _MIXIN_PHASES:
        method = getattr(middleware, phase, None)
        if isinstance(method, MethodType):
            try:
                setattr(middleware, phase, trace_method(recorder, method, path, phase))
            except AttributeError as error:
                recorder.problem(f"middleware:{path}.{phase}", "refused", str(error))
    recorder.place(path, middleware)
    traced = scoped(middleware, recorder.owner("middleware", path))
    return named(in_frame(recorder, traced, "middleware", path), path)


def in_frame(
    recorder: Recorder, traced: Callable[..., Any], kind: str, path: str
) -> Callable[..., Any]:
    """Return `traced` so that a user's own spans hang from its, where there may be any."""
    if recorder.live_context is None:
        return traced
    from tracer.runtime.live_context import framed  # noqa: PLC0415 - only where there is OpenTelemetry

    return framed(traced, kind, path, recorder.live_context)


def trace_method(
    recorder: Recorder, method: Callable[..., Any], path: str, phase: str
) -> Callable[..., Any]:
    """Return a middleware's method with its time given to that phase of it."""
    owner, name = recorder.owner("middleware", path, None, phase), f"{path}.{phase}"
    recorder.place(name, method)
    return named(scoped(method, owner), name)


def trace_innermost(recorder: Recorder, inner: Callable[..., Any]) -> Callable[..., Any]:
    """Return the chain's innermost link, Django's own, with its time given to the handler.

    Django's wrapper around each other link only passes on: what it takes, some 0.3 µs,
    goes to the middleware above it. Its handling of exceptions has a seam of its own.
    """
    return named(scoped(inner, recorder.owner("handler", "get_response")), _INNERMOST)


def is_hook(method: object) -> bool:
    """Say whether this is a middleware's method that Django calls one by one."""
    return isinstance(method, MethodType) and method.__name__ in _HOOKS


class _Link(NamedTuple):
    """One link of a built chain: where it hangs, Django's wrapper, and the middleware in it."""

    held: Any
    replace: Callable[[Any], None]
    inner: Any
    middleware: Any


def instrument_built(recorder: Recorder, handler: Any, paths: list[str]) -> None:
    """Wrap the links of a chain that exists; note those that can't be reached."""
    links = _walk(handler)
    if any(_is_traced(_unwrap(link.held)) for link in links):
        return
    innermost = links[-1] if links and links[-1].middleware is None else None
    if innermost is not None:
        links.pop()
    named_links = _name(recorder, links, paths, whole=innermost is not None)
    owners: dict[int, str] = {}
    for link, path in named_links:
        owners[id(link.middleware)] = path
        cell = _cell_of(link.inner, "get_response")
        cell.cell_contents = trace_middleware(recorder, link.middleware, path)
        named(link.inner, path)
    if innermost is not None:
        traced = trace_innermost(recorder, innermost.inner)
        _put(innermost.held, innermost.inner, traced, innermost.replace)
    _instrument_hooks(recorder, handler, owners)


def _walk(handler: Any) -> list[_Link]:
    """Return the links from the outermost in, as far as they can be followed.

    The innermost, Django's own, has no middleware.
    """
    links: list[_Link] = []
    held = handler._middleware_chain  # noqa: SLF001
    replace: Callable[[Any], None] = functools.partial(setattr, handler, "_middleware_chain")
    while True:
        inner = _unwrap(held)
        if not _is_inner(inner):
            return links
        middleware = _cell_of(inner, "get_response").cell_contents
        if getattr(middleware, "__self__", None) is handler:
            links.append(_Link(held, replace, inner, None))
            return links
        links.append(_Link(held, replace, inner, middleware))
        found = _next_link(middleware)
        if found is None:
            return links
        held, replace = found


def _name(
    recorder: Recorder, links: list[_Link], paths: list[str], *, whole: bool
) -> list[tuple[_Link, str]]:
    """Find the entry of MIDDLEWARE that each link was made from; note those without a link.

    A whole chain as long as the setting is told by place; in any other, entries have
    opted out or can't be followed, and a link is told by what made it.
    """
    if whole and len(links) == len(paths):
        return list(zip(links, paths, strict=True))
    remaining = iter(paths)
    found: list[tuple[_Link, str]] = []
    for link in links:
        path = _path_of(link.middleware, remaining)
        if path is None:
            reason = "not in MIDDLEWARE"
            recorder.problem(f"middleware:{describe(link.middleware)}", "absent", reason)
            return found
        found.append((link, path))
    if not whole:
        _note_unreached(recorder, remaining)
    return found


def _instrument_hooks(recorder: Recorder, handler: Any, owners: dict[int, str]) -> None:
    for attribute in (
        "_view_middleware",
        "_template_response_middleware",
        "_exception_middleware",
    ):
        hooks = getattr(handler, attribute, None) or []
        for index, hook in enumerate(hooks):
            method = _unwrap(hook)
            path = owners.get(id(getattr(method, "__self__", None)))
            if path is None:
                recorder.problem(f"middleware:{describe(method)}", "absent", "not reached")
                continue
            traced = trace_method(recorder, method, path, method.__name__)
            _put(hook, method, traced, functools.partial(hooks.__setitem__, index))


def _put(
    holder: Any, inner: Any, traced: Callable[..., Any], replace: Callable[[Any], None]
) -> None:
    """Put `traced` where `inner` is: in the adapter that holds it, or in its place."""
    if holder is inner:
        replace(traced)
    elif getattr(holder, "func", None) is inner:
        holder.func = traced
    else:
        holder.awaitable = traced


def _unwrap(link: Any) -> Any:
    """Return what an asgiref adapter adapts, or the thing itself."""
    if isinstance(link, FunctionType | MethodType):
        return link
    for attribute in ("func", "awaitable"):
        inner = vars(link).get(attribute) if hasattr(link, "__dict__") else None
        if callable(inner):
            return inner
    return link


def _is_inner(function: Any) -> bool:
    return isinstance(function, FunctionType) and bool(function.__code__.co_qualname == _INNER)


def _is_traced(function: Any) -> bool:
    return hasattr(function, NAME_ATTRIBUTE)


def _cell_of(function: FunctionType, name: str) -> Any:
    return (function.__closure__ or ())[function.__code__.co_freevars.index(name)]


def _next_link(link: Any) -> tuple[Any, Callable[[Any], None]] | None:
    """Return the chain's next element as this link holds it, and how to replace it."""
    if isinstance(link, FunctionType):
        for cell in link.__closure__ or ():
            if _is_inner(_unwrap(cell.cell_contents)):
                return cell.cell_contents, functools.partial(setattr, cell, "cell_contents")
        return None
    for name, value in getattr(link, "__dict__", {}).items():
        if _is_inner(_unwrap(value)):
            return value, functools.partial(setattr, link, name)
    return None


def _path_of(link: Any, remaining: Iterator[str]) -> str | None:
    """Advance to the entry of MIDDLEWARE that made this link; entries may have opted out."""
    kind = link if isinstance(link, FunctionType) else type(link)
    made = f"{kind.__module__}.{kind.__qualname__}"
    for path in remaining:
        if made == path or made.startswith(f"{path}.<locals>.") or _imports_to(path, kind):
            return path
    return None


def _imports_to(path: str, kind: Any) -> bool:
    from django.utils.module_loading import import_string  # noqa: PLC0415 - Django is running

    factory = import_string(path)
    if factory is kind:
        return True
    factory = getattr(factory, "__wrapped__", factory)
    made_in = f"{getattr(factory, '__qualname__', '?')}.<locals>."
    return str(kind.__qualname__).startswith(made_in)


def _note_unreached(recorder: Recorder, remaining: Iterator[str]) -> None:
    for path in remaining:
        recorder.problem(f"middleware:{path}", "absent", "the chain was built before the tracer")


def named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return the function, known by the name that people have for it."""
    setattr(function, NAME_ATTRIBUTE, name)
    return function
