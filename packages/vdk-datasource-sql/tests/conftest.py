from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from support import Database
from vdk.plugin.datasource_base.testing import mariadb, postgresql

DATABASES = ("sqlite", "postgresql+psycopg", "postgresql+pg8000", "mysql+pymysql")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.Server]:
    try:
        with postgresql.running() as server:
            server.query("postgres", "CREATE DATABASE shop")
            yield server
    except LookupError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[mariadb.Server]:
    try:
        with mariadb.running() as server:
            yield server
    except LookupError as error:
        pytest.skip(str(error))


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty database of each kind, by the driver that the source uses too."""
    drivername: str = request.param
    if drivername == "sqlite":
        url = sa.URL.create("sqlite", database=str(tmp_path / "shop.db"))
    elif drivername.startswith("postgresql"):
        server = request.getfixturevalue("postgresql_server")
        server.clear("shop")
        url = sa.make_url(server.url("shop")).set(drivername=drivername)
    else:
        server = request.getfixturevalue("mariadb_server")
        server.clear("shop")
        url = sa.make_url(server.url("shop")).set(drivername=drivername)
    is_pymysql = drivername.endswith("pymysql")
    arguments = {"password": mariadb.PASSWORD.encode()} if is_pymysql else {}  # it encodes text as Latin-1
    database = Database(sa.create_engine(url, poolclass=NullPool, connect_args=arguments))
    database.execute("CREATE TABLE empty_ (a INTEGER)")
    return database
