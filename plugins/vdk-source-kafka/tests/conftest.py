"""One broker for the session; each test has topics of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support import Broker, MakeSource, config_of
from vdk.plugin.source_kafka.source import KafkaSource

if TYPE_CHECKING:
    from vdk.plugin.datasource_base.testing.postgresql import Server


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A server with the database ``lake``; its tests are skipped where there is no wheel of it."""
    pytest.importorskip("adbc_driver_postgresql")
    pytest.importorskip("psycopg")
    from vdk.plugin.datasource_base.testing.postgresql import running

    try:
        with running() as server:
            server.query("postgres", "CREATE DATABASE lake")
            yield server
    except LookupError as error:
        pytest.skip(str(error))


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker that a test may stop."""
    broker = Broker(tmp_path / "broker")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def source(request: pytest.FixtureRequest) -> Iterator[MakeSource]:
    """Makes sources that read topics of the broker, and disconnects them when the test ends."""
    with ExitStack() as made:

        def make(topics: Any, *, servers: str | None = None, **options: Any) -> KafkaSource:
            address = servers or request.getfixturevalue("broker").address
            source = KafkaSource(config_of(address, topics, **options))
            made.callback(source.disconnect)
            return source

        yield make
