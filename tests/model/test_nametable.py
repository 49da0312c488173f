from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracer.analysis.attribution.worker import owner_in
from tracer.model.layers import UNATTRIBUTED
from tracer.model.nametable import (
    NOWHERE,
    CodeLocation,
    Endpoint,
    endpoint_in,
    endpoint_text,
    location_text,
    locations_in,
)

TEXT = st.text(st.characters(exclude_characters="\x1f"), min_size=1)
NUMBER = st.none() | st.integers(0, 2**32)


@given(TEXT, st.builds(CodeLocation, TEXT, NUMBER))
def test_a_place_comes_back_as_it_was_and_is_nobody_s_time(name, place):
    text = location_text(name, place)
    assert locations_in(["a name", text, "view\x1fb\x1f\x1f"]) == {name: place}
    assert owner_in(text) == UNATTRIBUTED
    assert endpoint_in(text) == NOWHERE


@given(st.builds(Endpoint, *[st.none() | TEXT] * 2, NUMBER, st.none() | TEXT))
def test_an_endpoint_comes_back_as_it_was_and_is_nobody_s_time(endpoint):
    text = endpoint_text(endpoint)
    assert endpoint_in(text) == endpoint
    assert owner_in(text) == UNATTRIBUTED
    assert not locations_in([text])


@given(st.none() | st.text("\x1fplacendoi1²", max_size=40))
def test_any_text_is_read_or_left_alone(text):
    endpoint_in(text)
    locations_in([text or ""])
