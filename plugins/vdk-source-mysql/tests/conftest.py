from __future__ import annotations

from collections.abc import Iterator

import pytest

from vdk.plugin.datasource_base.testing.mariadb import Server, running


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Server]:
    """One for all tests; they are skipped where there is none, but not in CI: see tools/install_servers.py."""
    try:
        with running("--max-connections=20") as server:
            server.query("mysql", "CREATE USER reader IDENTIFIED BY 'reader'")
            yield server
    except LookupError as error:
        pytest.skip(str(error))


@pytest.fixture
def server(mariadb_server: Server) -> Server:
    """The server with an empty database ``shop``, which the user ``reader`` may select from and do nothing else."""
    mariadb_server.clear("shop")
    mariadb_server.query("mysql", "GRANT SELECT ON shop.* TO reader")
    return mariadb_server
