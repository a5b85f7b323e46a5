"""What a user reads when a URL is wrong, a driver is missing, or the database refuses."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from support import Database, source_of
from vdk.plugin.datasource_base.contract import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceState,
    decode_config,
)
from vdk.plugin.datasource_sql.generic.source import AnySqlConfig, AnySqlSource


def connect(**config: Any) -> AnySqlSource:
    source = AnySqlSource(decode_config(config, AnySqlConfig, location="config"))
    source.connect(DataSourceState())
    return source


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "url: it is not set; write url = "),
        ({"url": "shop.db"}, "not a URL that SQLAlchemy accepts"),
        ({"url": "postgresql+psycopg://u:secret@host:port/shop"}, "not a URL that SQLAlchemy accepts"),
        ({"url": "postgresql+psycopg://u:s@cret@host/shop"}, "%40"),
        ({"url": "postgresql+psycopg://u:secret@host/shop", "host": "h"}, "together with host"),
        ({"url": "postgres://u:secret@host/shop"}, r"write postgresql\+psycopg"),
        ({"url": "postgressql://u:secret@host/shop"}, "no dialect 'postgressql'.*postgresql"),
        ({"url": "snowflake://u:secret@host/shop"}, "pip install snowflake-sqlalchemy"),
        ({"url": "mysql+nothing://u:secret@host/shop"}, "no driver 'nothing'"),
        ({"url": "mysql+pymysql:///shop"}, 'identity = "shop"'),
        ({"url": "sqlite:////nowhere/shop.db"}, "does not exist"),
    ],
)
def test_each_mistake_has_an_error_of_its_own(config: dict[str, Any], message: str) -> None:
    """Without the password."""
    with pytest.raises(ConfigurationError, match=message) as raised:
        connect(**config)
    assert "secret" not in str(raised.value)
    assert "s@cret" not in str(raised.value)


def test_a_missing_driver_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package, which often has another name."""
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(ConfigurationError, match="pip install psycopg2-binary"):
        connect(url="postgresql+psycopg2://u:secret@host/shop")


def test_a_wrong_password_is_not_tried_again(database: Database) -> None:
    """Nor shown."""
    if database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no passwords")
    url = database.engine.url.set(password="wr0ng").render_as_string(hide_password=False)
    with pytest.raises(AuthenticationError, match="refuses the user or password") as raised:
        source_of(url)
    assert "wr0ng" not in str(raised.value)


def test_an_unreachable_server_is_tried_again(database: Database) -> None:
    """It may be starting."""
    if database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no server")
    url = database.engine.url.set(port=1).render_as_string(hide_password=False)
    with pytest.raises(ConnectionFailedError, match="is unreachable"):
        source_of(url)


def test_a_database_that_does_not_exist_is_a_configuration_error(database: Database) -> None:
    """It will not appear."""
    if database.engine.dialect.name == "sqlite":
        pytest.skip("it is tested with the other mistakes")
    url = database.engine.url.set(database="shopp").render_as_string(hide_password=False)
    with pytest.raises(ConfigurationError, match="shopp"):
        source_of(url)


def test_the_database_can_be_named_in_parts(database: Database) -> None:
    """And its identity has no secret."""
    url = database.engine.url
    parts = {
        "drivername": url.drivername,
        "host": url.host,
        "port": url.port,
        "database": url.database,
        "user": url.username,
        "password": url.password,
    }
    source = connect(**{name: value for name, value in parts.items() if value is not None})
    assert source.identity() == source_of(database.url).identity()
    if url.host is not None:
        assert source.identity() == f"{url.get_backend_name()}://127.0.0.1:{url.port}/shop"
    assert url.password is None or url.password not in repr(source.backend)


def test_a_name_stands_for_the_database() -> None:
    """Where the URL has no host, as with a data source of ODBC."""
    config = decode_config({"url": "mysql+pymysql:///x", "identity": "shop"}, AnySqlConfig, location="config")
    assert AnySqlSource(config).identity() == "mysql://shop"
