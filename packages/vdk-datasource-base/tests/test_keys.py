"""``kind="keys"``: all the keys there are, so that what else the table holds goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from vdk.plugin.datasource_base import (
    ConfigurationError,
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceStream,
    FlowFailedError,
    StreamSchema,
    data_source,
)
from vdk.plugin.datasource_base.runtime import Environment, Options, RunSummary, execute
from vdk.plugin.datasource_base.testing import MemoryDestination

TARGET = "test_keys"


class KeysConfig(DataSourceConfig):
    """Nothing to say."""


class Items(DataSourceStream):
    """Yields what the test put into ``payloads``."""

    name = "items"
    payloads: ClassVar[list[DataSourcePayload]] = []

    def schema(self, table: str | None = None) -> StreamSchema:
        return StreamSchema(pa.schema([("id", pa.int64()), ("at", pa.int64())]), ("id",), "at")

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield from self.payloads


@data_source(name="keys", config=KeysConfig)
class KeysSource(DataSource[KeysConfig]):
    def streams(self) -> Sequence[DataSourceStream]:
        return [Items()]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    MemoryDestination.clear(TARGET)
    yield
    MemoryDestination.clear(TARGET)


def run(*payloads: DataSourcePayload, batch_rows: int = 50_000, **flow: Any) -> RunSummary:
    Items.payloads = list(payloads)
    environment = Environment(options=Options(batch_rows=batch_rows))
    environment.registry.add("keys", f"{__name__}:KeysSource")
    environment.registry.add_destination("memory", "vdk.plugin.datasource_base.testing:MemoryDestination")
    return execute(
        {
            "sources": {"s": {"name": "keys"}},
            "destinations": {"m": {"method": "memory", "target": TARGET}},
            "flows": [{"from": "s", "to": "m", **flow}],
        },
        environment,
    )


def rows(*ids: int) -> list[dict[str, int]]:
    return [{"id": id_, "at": 1} for id_ in ids]


def keys(*ids: int) -> list[dict[str, int]]:
    return [{"id": id_} for id_ in ids]


def landed() -> list[int]:
    return sorted(row["id"] for row in MemoryDestination.tables(TARGET)["items"])


@pytest.mark.parametrize("batch_rows", [1, 3, 1000])
def test_rows_whose_keys_are_gone_are_deleted(batch_rows: int) -> None:
    """Whatever the batches are, all keys are taken together, and the summary counts the rows that went."""
    run(DataSourcePayload(rows(1, 2, 3, 4, 5), state={"n": 1}))
    summary = run(
        DataSourcePayload(keys(1, 2), kind="keys"),
        DataSourcePayload(keys(4), kind="keys"),
        DataSourcePayload(None, state={"n": 2}),
        DataSourcePayload(rows(6), state={"n": 3}),
        batch_rows=batch_rows,
    )
    assert landed() == [1, 2, 4, 6]
    assert (summary.streams[0].rows_deleted, summary.streams[0].rows_read) == (2, 1)


def test_soft_deletes_keep_the_rows() -> None:
    """With deletes = "soft" the rows stay and say when they went."""
    run(DataSourcePayload(rows(1, 2), state={"n": 1}))
    run(DataSourcePayload(keys(2), kind="keys", state={"n": 2}), deletes="soft")
    marked = {row["id"]: row.get("_vdk_deleted_at") is not None for row in MemoryDestination.tables(TARGET)["items"]}
    assert marked == {1: True, 2: False}


def test_no_keys_at_all_empty_the_table() -> None:
    """An empty list of keys says that there are no rows."""
    run(DataSourcePayload(rows(1, 2), state={"n": 1}))
    run(DataSourcePayload(pa.table({"id": pa.array([], pa.int64())}), kind="keys", state={"n": 2}))
    assert landed() == []


def test_keys_that_are_cut_short_delete_nothing() -> None:
    """Rows among the keys, which would make two halves of them, fail the stream before anything is deleted."""
    run(DataSourcePayload(rows(1, 2, 3), state={"n": 1}))
    with pytest.raises(FlowFailedError, match="among its keys"):
        run(
            DataSourcePayload(keys(1), kind="keys"),
            DataSourcePayload(rows(9)),
            DataSourcePayload(keys(2, 3), kind="keys", state={"n": 2}),
            batch_rows=1,
        )
    assert landed() == [1, 2, 3]


def test_an_appended_table_refuses_keys() -> None:
    """Where rows are only appended there is nothing to delete, and the error says so."""
    with pytest.raises(FlowFailedError, match="only appended"):
        run(DataSourcePayload(keys(1), kind="keys", state={"n": 2}), write_mode="append")


def test_keys_do_not_go_with_a_transform() -> None:
    """A transform may have changed the keys that landed, and then no row would be found: refused."""
    run(DataSourcePayload(rows(1, 2), state={"n": 1}), transform=lambda given: given)
    with pytest.raises(FlowFailedError, match="transform"):
        run(DataSourcePayload(keys(1), kind="keys", state={"n": 2}), transform=lambda given: given)
    assert landed() == [1, 2]


def test_a_transform_that_fails_is_named() -> None:
    """The error says which function failed, for which stream, and how."""

    def broken(given: Any) -> Any:
        raise KeyError("nope")

    with pytest.raises(FlowFailedError, match=r"stream 'items': transform .*broken failed: KeyError: 'nope'"):
        run(DataSourcePayload(rows(1), state={"n": 1}), transform=broken)


def test_a_table_that_was_dropped_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The state stays when a table is dropped by hand: the log says that only new rows land, and the remedy."""
    run(DataSourcePayload(rows(1), state={"n": 1}))
    MemoryDestination.tables(TARGET).clear()
    run(DataSourcePayload(rows(2), state={"n": 2}))
    assert "does not exist" in caplog.text
    assert landed() == [2]


def test_a_reference_is_not_shown_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reference gave may be a secret, wherever it stands in the file."""
    monkeypatch.setenv("CANARY", "hunter2hunter2")
    with pytest.raises(ConfigurationError) as raised:
        execute(
            {
                "sources": {"s": {"name": "${env:CANARY}"}},
                "destinations": {"m": {"method": "memory"}},
                "flows": [{"from": "s", "to": "m"}],
            },
            Environment(),
        )
    assert "hunter2" not in str(raised.value)
