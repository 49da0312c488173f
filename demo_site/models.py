"""Something to query."""

from __future__ import annotations

from django.db import models


class Book(models.Model):
    """One row of the table that `demo_site.database` makes."""

    title = models.CharField(max_length=100)
    pages = models.IntegerField()

    class Meta:
        """The table is made elsewhere."""

        managed = False
        db_table = "demo_site_book"

    def __str__(self) -> str:
        return self.title
