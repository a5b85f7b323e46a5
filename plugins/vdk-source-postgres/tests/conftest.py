from __future__ import annotations

from collections.abc import Iterator

import pytest

from vdk.plugin.datasource_base.testing.postgresql import Server, running


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """One for all tests; they are skipped where there is no wheel of the server (see requirements.txt)."""
    try:
        with running() as server:
            server.query("postgres", "CREATE DATABASE shop")
            server.query("postgres", "CREATE ROLE reader LOGIN PASSWORD 'reader'")
            yield server
    except LookupError as error:
        pytest.skip(str(error))


@pytest.fixture
def server(postgresql_server: Server) -> Server:
    """The server with an empty database ``shop``, and a role ``reader`` that may select from what is created in it."""
    postgresql_server.clear("shop")
    postgresql_server.query("shop", "GRANT USAGE ON SCHEMA public TO reader")
    postgresql_server.query("shop", "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader")
    return postgresql_server
