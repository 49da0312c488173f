"""The accelerator's wrappers as objects: where they lie, what they say, how they go."""

from __future__ import annotations

import contextvars
import functools
import gc
import inspect
import weakref

import pytest

from tracer.model.native import native
from tracer.model.timeline import Timeline
from tracer.runtime.call_sites import NAME_ATTRIBUTE
from tracer.runtime.scopes import finish_wrapper

pytestmark = pytest.mark.skipif(native is None, reason="no accelerator")
LINE = 64
MANY = 1_000


def original(one: int, *, two: str = "") -> str:
    """Text of the original."""
    return f"{one}{two}"


def make_wrapper(wrapped=original):
    return finish_wrapper(native.scope(contextvars.ContextVar("none"), wrapped, 1), wrapped)


def test_each_begins_a_line_of_the_cache_and_they_lie_side_by_side():
    made = [make_wrapper() for _ in range(MANY)]
    assert all(id(one) % LINE == 0 for one in made)
    pages = {id(one) // 4096 for one in made}
    size = made[0].__sizeof__()
    assert len(pages) <= 2 * MANY * 3 * LINE // 4096
    assert size <= 3 * LINE


def test_the_place_of_one_that_is_gone_is_the_next_ones():
    one = make_wrapper()
    place = id(one)
    del one
    assert id(make_wrapper()) == place


def test_one_that_holds_itself_is_found_by_the_garbage_collector():
    one = make_wrapper()
    one.itself = one
    gone = weakref.ref(one)
    assert gc.is_tracked(one)
    del one
    gc.collect()
    assert gone() is None


def test_it_says_of_itself_what_its_function_says():
    made = make_wrapper()
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__defaults__"):
        assert getattr(made, name) == getattr(original, name)
        assert getattr(made, name) is getattr(made, name)
    assert inspect.signature(made) == inspect.signature(original)
    assert made.__wrapped__ is inspect.unwrap(made) is original
    assert vars(made) == {}


def test_what_it_is_given_is_its_own():
    made = make_wrapper()
    made.__name__ = "another"
    made.__wrapped__ = len
    made.colour = "red"
    assert (made.__name__, made.__wrapped__, made.colour) == ("another", len, "red")
    assert original.__name__ == "original"
    assert not hasattr(original, "colour")
    del made.__name__, made.__wrapped__
    assert made.__name__ == "original"
    assert not hasattr(made, "__wrapped__")


def test_that_it_stands_in_can_be_taken_back():
    made = make_wrapper()
    del made.__wrapped__
    assert not hasattr(made, "__wrapped__")
    with pytest.raises(AttributeError):
        del made.__wrapped__


def test_a_function_that_wraps_another_is_what_its_stand_in_wraps():
    @functools.wraps(original)
    def outer(*args, **kwargs):
        return original(*args, **kwargs)

    outer.colour = "red"
    made = make_wrapper(outer)
    assert made.__wrapped__ is outer
    assert inspect.unwrap(made) is original
    assert vars(made) == {"colour": "red"}


def test_the_name_of_a_site_is_given_taken_and_found_through_others():
    made = make_wrapper()
    assert not hasattr(made, NAME_ATTRIBUTE)
    setattr(made, NAME_ATTRIBUTE, "Middleware.phase")
    outer = make_wrapper(made)
    assert getattr(made, NAME_ATTRIBUTE) == getattr(outer, NAME_ATTRIBUTE) == "Middleware.phase"
    assert NAME_ATTRIBUTE not in vars(made)
    delattr(made, NAME_ATTRIBUTE)
    assert not hasattr(outer, NAME_ATTRIBUTE)


def test_what_inspect_and_django_ask_for_is_answered_as_they_take_it():
    """Both give the value that they take where there is none; a real one is a function's own."""
    made = make_wrapper()
    assert not inspect.iscoroutinefunction(made)
    assert made._is_coroutine_marker is None
    assert made._mask_wrapped is True

    def masked():
        """Hide nothing."""

    masked._mask_wrapped = False
    assert make_wrapper(masked)._mask_wrapped is False


def test_an_attribute_that_nobody_has_is_missed_as_on_the_function():
    with pytest.raises(AttributeError, match="'function' object has no attribute 'colour'"):
        _ = make_wrapper().colour


def test_a_timeline_of_any_kind_is_one():
    class Another(Timeline):
        """Somebody's own."""

    for kind in (Timeline, Another, Timeline):
        variable = contextvars.ContextVar("current")
        variable.set(timeline := kind(1, 0, 0, 0))
        assert native.scope(variable, original, 5)(1) == "1"
        assert [value for *_, value in timeline.marks()] == [5, 5]
    variable.set(object())
    assert native.scope(variable, original, 5)(1) == "1"
