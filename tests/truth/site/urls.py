"""Every route."""

from __future__ import annotations

from django.urls import path

from tests.truth.site import loop_views, views

urlpatterns = [
    path("notes/", views.notes),
    path("function/", views.function),
    path("class/", views.Class.as_view()),
    path("template/", views.template),
    path("rest/", views.Rest.as_view()),
    path("collect/", views.collect),
    *(
        path(f"{name}/", getattr(views, name))
        for name in (
            "bulk", "stream", "upload", "handled", "unhandled", "missing", "empty", "endless",
        )
    ),
    *(
        path(f"loop/{name}/", getattr(loop_views, name))
        for name in (
            "native", "sleep", "lock", "executor", "to_thread", "hop", "gather",
            "custom_executor", "fill", "tasks", "eager", "background", "nested", "block",
            "schedule", "stream", "endless", "patient", "cancels", "forever", "upload", "unhandled",
        )
    ),
]  # fmt: skip
