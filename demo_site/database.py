"""The SQLite file, made and filled when first asked for, by however many workers at once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Final

from django.conf import settings

BOOKS: Final = 100


@cache
def ensure() -> None:
    """Make the file with its one table and its books, unless they are there."""
    path = Path(settings.DATABASES["default"]["NAME"])
    path.parent.mkdir(parents=True, exist_ok=True)
    books = [(number, f"Volume {number}", 100 + number) for number in range(1, BOOKS + 1)]
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS demo_site_book "
            "(id integer PRIMARY KEY, title varchar(100) NOT NULL, pages integer NOT NULL)"
        )
        connection.executemany("INSERT OR IGNORE INTO demo_site_book VALUES (?, ?, ?)", books)
        connection.execute("COMMIT")
