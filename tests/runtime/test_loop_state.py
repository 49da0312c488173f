"""A loop is watched by itself, and uvloop's keep nothing of that themselves."""

from __future__ import annotations

import asyncio
import gc

import pytest

from tracer.model.native import native
from tracer.runtime import loop_state

uvloop = pytest.importorskip("uvloop")
KINDS = [asyncio.new_event_loop, uvloop.new_event_loop]
needs_c = pytest.mark.skipif(native is None, reason="no accelerator")


@pytest.fixture(params=KINDS, ids=["asyncio", "uvloop"])
def make_loop(request):
    made = []

    def make():
        made.append(request.param())
        return made[-1]

    yield make
    for loop in made:
        loop.close()


def test_one_is_watched_and_others_are_not(make_loop):
    one, other = make_loop(), make_loop()
    loop_state.begin(one)
    getattr(one, loop_state.WATCHED)["waiting"] = 1
    assert not hasattr(other, loop_state.WATCHED)
    loop_state.begin(other)
    assert getattr(other, loop_state.WATCHED) == {}
    assert getattr(one, loop_state.WATCHED) == {"waiting": 1}


@needs_c
def test_a_loop_of_uvloops_gets_no_attribute():
    loop = uvloop.new_event_loop()
    loop_state.begin(loop)
    assert vars(loop) == {}
    assert vars(uvloop.Loop)[loop_state.WATCHED].__get__(None, uvloop.Loop) is not None
    loop.close()


@needs_c
def test_a_loop_made_where_another_was_is_another():
    """The same address; and a thousand loops leave nothing behind."""
    places, kept = set(), native.WeakAttribute()
    kind = type("Loop", (), {loop_state.WATCHED: kept})
    for _ in range(1_000):
        loop = kind()
        assert not hasattr(loop, loop_state.WATCHED)
        setattr(loop, loop_state.WATCHED, {})
        assert getattr(loop, loop_state.WATCHED) == {}
        places.add(id(loop))
        del loop
    assert len(places) < 1_000
    gc.collect()
    assert gc.get_referents(kept) == [{}]


@needs_c
def test_what_is_kept_apart_can_be_replaced_and_taken_back():
    kind = type("Loop", (), {loop_state.WATCHED: native.WeakAttribute()})
    loop = kind()
    for value in ("one", "two"):
        setattr(loop, loop_state.WATCHED, value)
        assert getattr(loop, loop_state.WATCHED) == value
    delattr(loop, loop_state.WATCHED)
    assert not hasattr(loop, loop_state.WATCHED)
    with pytest.raises(AttributeError):
        delattr(loop, loop_state.WATCHED)


@needs_c
def test_what_cant_be_referred_to_weakly_is_refused():
    kind = type("Loop", (), {"__slots__": (), loop_state.WATCHED: native.WeakAttribute()})
    with pytest.raises(TypeError):
        setattr(kind(), loop_state.WATCHED, {})
