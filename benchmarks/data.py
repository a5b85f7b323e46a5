"""The SQLite databases that are read: always the same ones for the same numbers."""

from __future__ import annotations

import datetime as dt
import json
import random
import sqlite3
from collections.abc import Callable, Iterator
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
BLOCK = 1_000_000
"""Rows that are made one by one. Further ones are copies of them at later times, which SQLite makes itself."""


def orders(path: Path, rows: int, *, tables: int = 1) -> Path:
    """A database with ``tables`` tables of ``rows`` rows and ten columns each; made once, then kept."""

    def fill(connection: sqlite3.Connection) -> None:
        for number in range(tables):
            name = "orders" if tables == 1 else f"orders_{number:03}"
            connection.execute(f"CREATE TABLE {name} ({COLUMNS})")
            made = min(rows, BLOCK)
            connection.executemany(f"INSERT INTO {name} VALUES (?,?,?,?,?,?,?,?,?,?)", _rows(made, SEED + number))
            for start in range(BLOCK, rows, BLOCK):
                later = f"datetime({{}}, '+{start * 5} seconds')"
                connection.execute(
                    f"INSERT INTO {name} SELECT id + {start}, customer_id, status, amount, quantity, email, note, "
                    f"is_gift, {later.format('created_at')}, {later.format('updated_at')} FROM {name} "
                    f"WHERE id <= {min(BLOCK, rows - start)}"
                )

    return _made(path, fill)


def wide(path: Path, rows: int, columns: int) -> Path:
    """A table ``orders`` of a key and numbers and short texts, half of them each."""

    def fill(connection: sqlite3.Connection) -> None:
        kinds = [f"c{number} {'TEXT' if number % 2 else 'INTEGER'}" for number in range(1, columns)]
        connection.execute(f"CREATE TABLE orders (id INTEGER PRIMARY KEY, {', '.join(kinds)})")
        marks = ",".join("?" * columns)
        values = ([id_, *(f"text {id_}" if n % 2 else id_ * n for n in range(1, columns))] for id_ in range(rows))
        connection.executemany(f"INSERT INTO orders VALUES ({marks})", values)

    return _made(path, fill)


def fat(path: Path, rows: int, size: int) -> Path:
    """A table ``orders`` of a key and a text of ``size`` characters."""

    def fill(connection: sqlite3.Connection) -> None:
        choose = random.Random(SEED)
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, body TEXT)")
        connection.executemany(
            "INSERT INTO orders VALUES (?, ?)", ((id_, choose.randbytes(size // 2).hex()) for id_ in range(rows))
        )

    return _made(path, fill)


def documents(path: Path, rows: int) -> Path:
    """A table ``orders`` of a key and a JSON document of about 1,500 characters, three levels deep."""

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, document JSON)")
        line = {"sku": "A-1", "price": 12.5, "tags": ["new", "sale"], "note": "alpha beta", "stock": {"DE": 3, "FR": 1}}
        connection.executemany(
            "INSERT INTO orders VALUES (?, ?)",
            (
                (id_, json.dumps({"order": id_, "lines": [{**line, "n": id_ + n} for n in range(12)]}))
                for id_ in range(rows)
            ),
        )

    return _made(path, fill)


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


def latest(path: Path) -> str:
    """The highest ``updated_at``."""
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("SELECT max(updated_at) FROM orders").fetchone()[0])


def execute(path: Path, sql: str) -> None:
    """One statement, committed."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
        connection.commit()


def _made(path: Path, fill: Callable[[sqlite3.Connection], None]) -> Path:
    """The file, which is complete if it exists."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    aside.unlink(missing_ok=True)
    with closing(sqlite3.connect(aside)) as connection:
        fill(connection)
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
