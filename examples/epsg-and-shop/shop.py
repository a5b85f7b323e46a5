"""A small shop as a SQLite database, and a day in its life.

python shop.py make     creates data/shop.db again
python shop.py change   changes a few rows and adds some
"""

from __future__ import annotations

import random
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

DATABASE = Path(__file__).parent / "data" / "shop.db"
CUSTOMERS, PRODUCTS, ORDERS = 2_000, 200, 50_000

TABLES = """
CREATE TABLE customers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    city TEXT,
    newsletter BOOLEAN NOT NULL,
    updated_time TEXT NOT NULL
);
CREATE TABLE products (
    sku TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    price DECIMAL(10, 2) NOT NULL,
    photo BLOB,
    updated_time TEXT NOT NULL
);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    ordered_on DATE NOT NULL,
    total DECIMAL(12, 2) NOT NULL,
    weight_kg REAL,
    note TEXT,
    updated_time TIMESTAMP NOT NULL
);
CREATE TABLE "order items" (
    order_id INTEGER NOT NULL REFERENCES orders (id),
    line INTEGER NOT NULL,
    sku TEXT NOT NULL REFERENCES products (sku),
    pieces INTEGER NOT NULL,
    updated_time TIMESTAMP,
    PRIMARY KEY (order_id, line)
) WITHOUT ROWID;
CREATE INDEX orders_updated ON orders (updated_time, id);
"""


def make(path: Path = DATABASE) -> None:
    """A new shop; the same one each time, but for its age."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    chance = random.Random(2026)
    opened = datetime.now(UTC) - timedelta(days=400)

    def moment() -> datetime:
        return opened + timedelta(seconds=chance.randrange(390 * 86_400))

    cities = ["Sofia", "Zürich", "Kraków", "Porto", "東京", None]
    customers = [
        (number, f"Customer {number}", chance.choice(cities), chance.random() < 0.4, f"{moment():%F %T}")
        for number in range(1, CUSTOMERS + 1)
    ]
    products = [
        (
            f"P-{number:04}",
            f"Thing no. {number}",
            f"{chance.uniform(1, 300):.2f}",
            chance.randbytes(20),
            f"{moment():%F %T}",
        )
        for number in range(1, PRODUCTS + 1)
    ]
    orders, items = [], []
    for number in range(1, ORDERS + 1):
        ordered = moment()
        orders.append(
            (
                number,
                chance.randint(1, CUSTOMERS),
                f"{ordered:%F}",
                f"{chance.uniform(5, 900):.2f}",
                round(chance.uniform(0.1, 30), 3),
                chance.choice([None, "leave at the door", 'it\'s a gift; "wrap it"']),
                f"{ordered:%F %T}",
            )
        )
        for line in range(1, chance.randint(1, 4)):
            items.append((number, line, chance.choice(products)[0], chance.randint(1, 9), f"{ordered:%F %T}"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(TABLES)
        connection.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", customers)
        connection.executemany("INSERT INTO products VALUES (?, ?, ?, ?, ?)", products)
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)", orders)
        connection.executemany('INSERT INTO "order items" VALUES (?, ?, ?, ?, ?)', items)


def change(path: Path = DATABASE) -> dict[str, int]:
    """Three customers move, one product gets dearer, two orders come in: rows changed by table."""
    now = f"{datetime.now(UTC):%F %T}"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE customers SET city = 'Bergen', updated_time = ? WHERE id IN (7, 70, 700)", (now,))
        connection.execute("UPDATE products SET price = '99.90', updated_time = ? WHERE sku = 'P-0042'", (now,))
        (last,) = connection.execute("SELECT max(id) FROM orders").fetchone()
        for number in (last + 1, last + 2):
            connection.execute("INSERT INTO orders VALUES (?, 7, ?, '99.90', 1.5, NULL, ?)", (number, now[:10], now))
            connection.execute('INSERT INTO "order items" VALUES (?, 1, ?, 1, ?)', (number, "P-0042", now))
    return {"customers": 3, "products": 1, "orders": 2, "order items": 2}


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        make()
    elif sys.argv[1:] == ["change"]:
        change()
    else:
        sys.exit(__doc__)
