"""The routes."""

from __future__ import annotations

from django.urls import path

from tests.flame.site import views

urlpatterns = [
    path("sync/", views.sync_view),
    path("async/", views.async_view),
    path("markers/<int:number>/", views.marked),
    path("quick/", views.quick),
]
