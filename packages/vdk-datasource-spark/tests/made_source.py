"""A source with everything that Spark has no place for, and one that kills the process that reads it.

Executors find it by its entry point, see conftest.py.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base import (
    BadRecordError,
    BoundedPartition,
    ConnectionFailedError,
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceStream,
    RejectedRows,
    Secret,
    StreamPartition,
    StreamSchema,
    data_source,
)

NOW = dt.datetime(2026, 11, 29, 6, 30, tzinfo=dt.UTC)
TYPES: dict[str, tuple[pa.DataType, Any, Any]] = {
    "flag": (pa.bool_(), True, True),
    "tiny": (pa.uint8(), 255, 255),
    "huge": (pa.uint64(), 2**64 - 1, Decimal(2**64 - 1)),
    "price": (pa.decimal128(12, 2), Decimal("1.10"), Decimal("1.10")),
    "wide": (pa.decimal256(50, 0), Decimal(10**45), str(10**45)),
    "zoned": (pa.timestamp("ns", "UTC"), NOW, NOW.replace(tzinfo=None)),
    "naive": (pa.timestamp("ms"), NOW.replace(tzinfo=None), NOW.replace(tzinfo=None)),
    "day": (pa.date64(), NOW.date(), NOW.date()),
    "clock": (pa.time64("us"), dt.time(1, 2, 3), "01:02:03.000000"),
    "json": (pa.struct([("a", pa.int64())]), {"a": 1}, '{"a":1}'),
    "uuid": (pa.binary(), b"\x00\xff", b"\x00\xff"),
    "nothing": (pa.null(), None, None),
}
"""Column → its Arrow type, a value, and what Spark returns for it."""


class MadeConfig(DataSourceConfig):
    partitions: int = 3
    rows: int = 5
    folder: Path = Path()
    token: Secret = Secret("default-token")


class Numbers(DataSourceStream):
    """``rows`` numbers in each partition; a file ``upto`` in the folder overrides how many there are now."""

    name = "numbers"
    incremental = True

    def __init__(self, config: MadeConfig) -> None:
        self.config = config

    def schema(self, table: str | None = None) -> StreamSchema:
        return StreamSchema(pa.schema([("part", pa.int64()), ("number", pa.int64())]), ("part", "number"))

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        return [NumbersPart(self.config, part) for part in range(self.config.partitions)]


class NumbersPart(BoundedPartition):
    def __init__(self, config: MadeConfig, part: int) -> None:
        self.id = str(part)
        self.config, self.part = config, part

    def end(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        file = self.config.folder / "upto"
        return {"next": int(file.read_text()) if file.exists() else self.config.rows}

    def read(self, state: Mapping[str, Any], end: Mapping[str, Any] | None = None) -> Iterator[DataSourcePayload]:
        for number in range(state.get("next", 0), (end or self.end(state))["next"]):
            yield DataSourcePayload({"part": self.part, "number": number}, state={"next": number + 1})
            if number == 2 and self.part == 1:
                self._die()

    def _die(self) -> None:
        """With a file ``kill``: end the JVM that this process belongs to, once, as a lost machine would."""
        (file, done) = (self.config.folder / "kill", self.config.folder / "killed")
        if not file.exists() or done.exists():
            return
        done.touch()
        parent = os.getppid()
        while "java" not in os.path.basename(os.readlink(f"/proc/{parent}/exe")):
            parent = int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(parent, signal.SIGKILL)


class Made(DataSourceStream):
    """A stream of payloads, with one partition that has no end."""

    def __init__(self, name: str, payloads: Sequence[Any], schema: StreamSchema | None = None) -> None:
        self.name = name
        self._payloads, self._schema = payloads, schema

    def schema(self, table: str | None = None) -> StreamSchema | None:
        return self._schema if table is None else None

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for payload in self._payloads:
            if isinstance(payload, Exception):
                raise payload
            yield payload


@data_source(name="made", config=MadeConfig)
class MadeSource(DataSource[MadeConfig]):
    def streams(self) -> list[DataSourceStream]:
        key = StreamSchema(pa.schema([("id", pa.int64()), ("name", pa.string())]), ("id",))
        row = {"id": 1, "name": "one"}
        bad = RejectedRows([({"id": "x", "name": "two"}, BadRecordError("no number", column="id"))])
        table = pa.table({name: pa.array([value], type_) for name, (type_, value, _) in TYPES.items()})
        deletes = DataSourcePayload([{"id": 2}], kind="deletes")
        return [
            Numbers(self.config),
            Made("types", [DataSourcePayload(table)], StreamSchema(table.schema)),
            Made("deletes", [DataSourcePayload([row]), deletes], key),
            Made("sweep", [DataSourcePayload([row]), DataSourcePayload([row], kind="keys")], key),
            Made("bad", [DataSourcePayload([row]), DataSourcePayload(bad)], key),
            Made("routed", [DataSourcePayload([row]), DataSourcePayload([{"x": 1}], destination_table="other")], key),
            Made("inferred", [DataSourcePayload([row]), DataSourcePayload([{"id": 2, "late": [1]}])]),
            Made("fine", [DataSourcePayload(pa.table({"at": pa.array([1], pa.timestamp("ns"))}))]),
            Made("leaky", [row_error(self.config.token.reveal())], key),
        ]


def row_error(token: str) -> Exception:
    return ConnectionFailedError(f"401 for token {token}")
