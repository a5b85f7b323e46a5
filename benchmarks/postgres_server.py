"""Starts a PostgreSQL server with a database of orders for each number, prints its URL, and ends with its input.

    python postgres_server.py ROWS ...

The database for 1,000 rows is called ``shop1000``, its table ``orders``, which has no index on its cursor.
"""

from __future__ import annotations

import sys

from vdk.plugin.datasource_base.testing.postgresql import running

TABLE = """
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id integer NOT NULL, status text, amount double precision,
    quantity integer, email text, note text, is_gift boolean, created_at timestamp, updated_at timestamptz NOT NULL)
"""
ROWS = """
INSERT INTO orders SELECT n, (random() * 200000)::int, (ARRAY['new', 'paid', 'sent', 'done'])[1 + (random() * 3)::int],
    round((random() * 1000)::numeric, 2), (random() * 20)::int, 'user' || (random() * 200000)::int || '@example.com',
    CASE WHEN random() > 0.2 THEN 'alpha lorem ipsum delta dolor sit amet' END, random() < 0.5,
    timestamp '2024-01-01' + n * interval '5 s',
    timestamptz '2024-01-01' + n * interval '5 s' + random() * interval '20 d'
FROM generate_series(1, {rows}) n
"""


def main() -> None:
    with running() as server:
        server.query("postgres", "CREATE ROLE reader LOGIN SUPERUSER PASSWORD 'reader'")
        for rows in map(int, sys.argv[1:]):
            server.query("postgres", f"CREATE DATABASE shop{rows}")
            for statement in ("SELECT setseed(0.5)", TABLE, ROWS.format(rows=rows), "VACUUM ANALYZE orders"):
                server.query(f"shop{rows}", statement)
        print(f"postgresql://reader:reader@127.0.0.1:{server.port}", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
