"""The templates used of late, by what their requests have in common."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import numpy as np

from tracer.analysis.spans.columns import SECTIONS, blocker_branch
from tracer.analysis.spans.span_row import Extra, extra_span
from tracer.export.template import Template, Written
from tracer.model.traceparent import tracestate_of

if TYPE_CHECKING:
    from tracer.analysis.spans.columns import Columns
    from tracer.export.template import Constant

_SPANS: Final = 20_000
"""So many spans may the templates have that are kept; the least used go first."""

_OTHERS: Final = 4096


class Templates:
    """Makes what isn't there yet."""

    def __init__(self, constant: Constant) -> None:
        """Keep none yet; `constant` says what a span never changes."""
        self._constant = constant
        self._kept: OrderedDict[tuple[object, ...], Template] = OrderedDict()
        self._spans = 0
        self._others: dict[tuple[str | None, int, str], Written] = {}

    def of(self, columns: Columns) -> tuple[list[Template], list[Written]]:
        """Return each request's template, and those of the spans of who had the loop."""
        states = [
            tracestate_of(origin.facts.weight, head.trace_id)
            for origin, head in zip(columns.origins, columns.heads, strict=True)
        ]
        slowest = np.argmax(columns.layers, axis=1).tolist()
        several = [
            self._template(columns, number, state, layer)
            for number, (state, layer) in enumerate(zip(states, slowest, strict=True))
        ]
        one = columns.others
        rows = zip(one.blockers, one.section.tolist(), one.of.tolist(), strict=True)
        return several, [self._other(who, section, states[of]) for who, section, of in rows]

    def _template(self, columns: Columns, number: int, state: str, slowest: int) -> Template:
        origin, parent = columns.origins[number], columns.heads[number].parent_span_id
        fixed = origin.facts, origin.placed, origin.called
        # The shape itself is in the key: so nothing else can come to have its address.
        key = (columns.shapes[number], parent is None, state, slowest, *fixed)
        made = self._kept.get(key)
        if made is not None:
            self._kept.move_to_end(key)
            return made
        made = self._kept[key] = Template(columns.one(number), self._constant)
        self._spans += len(made.begins)
        while self._spans > _SPANS and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._spans -= len(old.begins)
        return made

    def _other(self, blocker: str | None, section: int, state: str) -> Written:
        key = (blocker, section, state)
        made = self._others.get(key)
        if made is None:
            if len(self._others) > _OTHERS:
                self._others.clear()
            specimen = Extra(0, blocker_branch(blocker), SECTIONS[section], 1, 0, 0)
            span = extra_span(specimen, 1, 1)
            made = self._others[key] = Written([span], state, self._constant)
        return made
