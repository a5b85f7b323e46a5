"""Starts a MariaDB server with a database of orders for each number, prints its URL, and ends with its input.

    python mysql_server.py ROWS ...

The database for 1,000 rows is called ``shop1000``, its table ``orders``, which has an index on its cursor.
"""

from __future__ import annotations

import sys

from vdk.plugin.datasource_base.testing.mariadb import running

TABLE = """
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id int NOT NULL, status varchar(10), amount decimal(10,2),
    quantity int, email varchar(60), note text, is_gift boolean, created_at datetime, updated_at datetime(6) NOT NULL,
    KEY (updated_at))
"""
ROWS = """
INSERT INTO orders SELECT seq, RAND() * 200000, ELT(1 + RAND() * 3, 'new', 'paid', 'sent', 'done'), RAND() * 1000,
    RAND() * 20, CONCAT('user', FLOOR(RAND() * 200000), '@example.com'),
    IF(RAND() > 0.2, 'alpha lorem ipsum delta dolor sit amet', NULL), RAND() < 0.5,
    '2024-01-01' + INTERVAL seq * 5 SECOND, '2024-01-01' + INTERVAL seq * 5 + RAND() * 1728000 SECOND
FROM seq_1_to_{rows}
"""


def main() -> None:
    with running("--innodb-buffer-pool-size=1G") as server:
        server.query("mysql", "CREATE USER reader IDENTIFIED BY 'reader'")
        for rows in map(int, sys.argv[1:]):
            database = f"shop{rows}"
            server.clear(database)
            server.query("mysql", f"GRANT SELECT ON {database}.* TO reader")
            for statement in ("SET @@rand_seed1 = 5", TABLE, ROWS.format(rows=rows), "ANALYZE TABLE orders"):
                server.query(database, statement)
        print(f"mysql://reader:reader@127.0.0.1:{server.port}", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
