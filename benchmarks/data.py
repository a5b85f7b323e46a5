"""The databases that are read: always the same ones for the same numbers."""

from __future__ import annotations

import datetime as dt
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

SEED = 5
START = dt.datetime(2024, 1, 1)
COLUMNS = (
    "id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, status TEXT, amount REAL, quantity INTEGER, email TEXT, "
    "note TEXT, is_gift BOOLEAN, created_at TIMESTAMP, updated_at TIMESTAMP NOT NULL"
)
WORDS = ("alpha", "beta", "gamma", "delta", "omega", "kappa", "sigma", "lorem ipsum", "dolor sit amet", "consectetur")


def orders(path: Path, rows: int, *, tables: int = 1, indexed: bool = False) -> Path:
    """A database with ``tables`` tables of ``rows`` rows and ten columns each; made once, then kept.

    :param indexed: whether an index leads with the cursor column ``updated_at``.
    """
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    aside.unlink(missing_ok=True)
    with closing(sqlite3.connect(aside)) as connection:
        for number in range(tables):
            name = "orders" if tables == 1 else f"orders_{number:02}"
            connection.execute(f"CREATE TABLE {name} ({COLUMNS})")
            connection.executemany(f"INSERT INTO {name} VALUES (?,?,?,?,?,?,?,?,?,?)", _rows(rows, SEED + number))
            if indexed:
                connection.execute(f"CREATE INDEX {name}_updated_at ON {name}(updated_at)")
        connection.commit()
    return aside.replace(path)


def _rows(count: int, seed: int) -> Iterator[tuple[Any, ...]]:
    choose = random.Random(seed)
    for number in range(1, count + 1):
        created = START + dt.timedelta(seconds=number * 5)
        yield (
            number,
            choose.randrange(1, 200_000),
            choose.choice(("new", "paid", "sent", "done")),
            round(choose.random() * 1000, 2),
            choose.randrange(1, 20),
            f"user{choose.randrange(1, 200_000)}@example.com",
            " ".join(choose.choices(WORDS, k=4)) if choose.random() > 0.2 else None,
            choose.randrange(2),
            created.isoformat(" "),
            (created + dt.timedelta(seconds=choose.randrange(86_400 * 20))).isoformat(" "),
        )


def change(path: Path, share: float, table: str = "orders") -> int:
    """Change every so-many-th row, with a newer ``updated_at`` than any had. Returns how many were changed."""
    with closing(sqlite3.connect(path)) as connection:
        last = connection.execute(f"SELECT max(updated_at) FROM {table}").fetchone()[0]
        newer = (dt.datetime.fromisoformat(last) + dt.timedelta(hours=1)).isoformat(" ")
        done = connection.execute(
            f"UPDATE {table} SET quantity = quantity + 1, updated_at = ? WHERE id % ? = 0", (newer, round(1 / share))
        )
        connection.commit()
        return done.rowcount
