from __future__ import annotations

from collections.abc import Iterator

import pytest

from postgresql_server import Server, running

CLEAN = """DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
    CREATE SCHEMA public;
END $$"""


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
    postgresql_server.query("shop", CLEAN)
    postgresql_server.query("shop", "GRANT USAGE ON SCHEMA public TO reader")
    postgresql_server.query("shop", "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader")
    return postgresql_server
