"""What a request did that kept others waiting, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tracer.model.timeline import Timeline


class Blockers:
    """Names what a request did between two instants."""

    def __init__(self, name: Callable[[str], int], names: Mapping[str, int], long_ns: int) -> None:
        """Give out names by `name`, which keeps them in `names`.

        A stretch of less than `long_ns` is named after the request's view.
        """
        self._name = name
        self._names = names
        self._long_ns = long_ns
        self.after: dict[int, int] = {}
        self._details: dict[int, int] = {}

    def of(self, timeline: Timeline, start_ns: int, end_ns: int) -> int:
        """Return the name of what a request did between two instants."""
        if timeline.last_ns and timeline.last_ns <= start_ns:
            timeline.after = self._after_response_of(timeline.view)
            return timeline.after
        if end_ns - start_ns < self._long_ns:
            return timeline.view
        return self._detail_of(timeline.longest(start_ns, end_ns)) or timeline.view

    def _after_response_of(self, view: int) -> int:
        name = self.after.get(view)
        if name is None:
            text = f"after_response of {self._text(view) or 'a request'}"
            name = self.after[view] = self._name(text)
        return name

    def _detail_of(self, owner: int) -> int:
        """Return the name of an owner's detail, 0 where it has none."""
        detail = self._details.get(owner)
        if detail is None:
            fields = self._text(owner).split("\x1f")
            detail = self._name(fields[1]) if len(fields) > 1 and fields[1] else 0
            self._details[owner] = detail
        return detail

    def _text(self, name: int) -> str:
        return next((text for text, number in self._names.items() if number == name), "")
