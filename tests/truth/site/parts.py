"""What code of any layer uses: cache, query, lazy object, signals, responses that spend."""

from __future__ import annotations

from django.core.cache.backends.locmem import LocMemCache
from django.core.signals import request_finished, request_started
from django.db import connection
from django.db.backends.signals import connection_created
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils.functional import SimpleLazyObject

from tests.truth.site.cost import spend


class Cache(LocMemCache):
    """Spends when it is read."""

    def get(self, *args, **kwargs):
        spend("cache")
        return super().get(*args, **kwargs)


class Closing(HttpResponse):
    """Spends when it is closed."""

    def close(self):
        spend("close")
        super().close()


class Rendered(TemplateResponse):
    """Spends when it is rendered."""

    @property
    def rendered_content(self):
        spend("render")
        return super().rendered_content


def use_all():
    """Query, template, cache and lazy object, one after the other."""
    from django.core.cache import cache

    with connection.cursor() as cursor:
        cursor.execute("SELECT truth_spend()")
        cursor.fetchall()
    render_to_string("truth.html")
    cache.get("anything")
    str(SimpleLazyObject(_evaluate))


def _evaluate():
    spend("lazy")
    return "evaluated"


def _spend_in_query():
    spend("query")
    return 1


def _connected(connection, **_kwargs):
    spend("connect")
    connection.connection.create_function("truth_spend", 0, _spend_in_query)


def started(**_kwargs):
    """Receive `request_started`."""
    spend("started")


def finished(**_kwargs):
    """Receive `request_finished`."""
    spend("finished")


def connect():
    """Connect every receiver."""
    connection_created.connect(_connected)
    request_started.connect(started)
    request_finished.connect(finished)
