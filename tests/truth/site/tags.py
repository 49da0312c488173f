"""A template tag that spends."""

from __future__ import annotations

from django import template

from tests.truth.site import cost

register = template.Library()


@register.simple_tag
def spend(label):
    cost.spend(label)
    return ""
