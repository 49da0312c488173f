"""Requests as `tracer report` tells them, for whoever wants to draw them."""

from __future__ import annotations

from tracer.analysis.attribution.request import Handoff, Request, Segment, Thread


def request_of(document):
    """Return the request that a line of JSON tells of."""
    fields = {name: value for name, value in document.items() if name != "schema"}
    for name in ("segments", "after_response", "overlapped"):
        fields[name] = tuple(Segment(**one) for one in fields[name])
    fields["threads"] = tuple(Thread(**one) for one in fields["threads"])
    fields["hops"] = tuple(Handoff(**one) for one in fields["hops"])
    fields["seams_absent"] = tuple(fields["seams_absent"])
    fields["weight_known"] = fields["weight"] is not None
    return Request(**{**fields, "weight": fields["weight"] or 1.0})
