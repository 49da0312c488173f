from __future__ import annotations

import functools
import inspect
import sys
from dataclasses import make_dataclass

import pytest

from tracer.runtime.code_locations import location_of

HERE = __file__


def function():
    pass


def decorated(wrapped):
    @functools.wraps(wrapped)
    def wrapper():
        return wrapped()

    return wrapper


class Plain:
    constant = 1

    def method(self):
        pass


class Empty:
    pass


def line_of(thing):
    return inspect.getsourcelines(thing)[1]


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (function, line_of(function)),
        (decorated(decorated(function)), line_of(function)),
        (functools.partial(functools.partial(function), 1), line_of(function)),
        (Plain().method, line_of(Plain.method)),
    ],
)
def test_functions_are_found_through_what_wraps_them(code, line):
    assert location_of(code) == (HERE, line)


def test_a_class_is_where_python_keeps_its_line_or_else_where_its_code_begins():
    line = line_of(Plain if sys.version_info >= (3, 13) else Plain.method)
    assert location_of(Plain) == location_of(Plain()) == (HERE, line)
    assert location_of(Empty) == (HERE, line_of(Empty) if sys.version_info >= (3, 13) else None)


class Odd:
    @property
    def __wrapped__(self):
        raise RuntimeError


MADE = make_dataclass("Made", ["a"])


@pytest.mark.parametrize("code", [len, 3, functools.partial(len), MADE.__init__, Odd()])
def test_what_has_no_file_is_nowhere(code):
    assert location_of(code) is None
