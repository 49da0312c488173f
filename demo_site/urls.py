"""Every route of the demo; all else is a 404. Costs and parameters are in the views' docstrings."""

from __future__ import annotations

from django.urls import path

from demo_site.views import handoffs, loop, plain, rest, streams

urlpatterns = [
    path("test/", rest.TestView.as_view()),
    path("drf/", rest.BooksView.as_view()),
    path("queries/", plain.QueriesView.as_view()),
    path("queries/<int:n>/", plain.QueriesView.as_view()),
    path("cpu/", plain.cpu),
    path("raises/", plain.raises),
    path("upload/", plain.upload),
    path("after/", plain.after),
    path("async/", loop.nothing),
    path("sleep/", loop.sleeps),
    path("block/", loop.block),
    path("stream/sync/", streams.sync),
    path("stream/async/", streams.aio),
    path("pool/sensitive/", handoffs.pool_sensitive),
    path("pool/free/", handoffs.pool_free),
    path("gather/", handoffs.gather),
    path("nested/", handoffs.nested),
]
