"""A correct source whose number of partitions is an option: the events of the shop, split by their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Annotated, Any

import pyarrow as pa
from msgspec import Meta, field

from reference_shop import ShopConfig, ShopSource, connected
from vdk.plugin.datasource_base import (
    DataSourcePayload,
    DataSourceStream,
    PartitionState,
    StreamPartition,
    StreamSchema,
    data_source,
)

BUCKETS = 16
"""Each row belongs to one for ever; a partition reads some of them."""


class SplitConfig(ShopConfig):
    readers: Annotated[int, Meta(ge=1, le=BUCKETS, description="partitions that are read in parallel")] = 4


class Buckets(PartitionState):
    numbers: dict[str, int] = field(default_factory=dict)
    """Bucket → the number of the last event that was read of it."""


class Part(StreamPartition):
    """Every nth bucket, each after its own position."""

    def __init__(self, config: SplitConfig, number: int, known: Mapping[str, int]) -> None:
        self.id = f"{number} of {config.readers}"
        self.config, self.known = config, dict(known)
        self.buckets = [str(bucket) for bucket in range(number, BUCKETS, config.readers)]

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        own = Buckets.load(state).numbers
        reached = {bucket: self.begin(bucket, own) for bucket in self.buckets}
        with closing(connected(self.config)) as connection:
            for bucket in self.buckets:
                sql = f"SELECT number, what FROM events WHERE number % {BUCKETS} = ? AND number > ? ORDER BY number"
                for number, what in connection.execute(sql, (int(bucket), reached[bucket])).fetchall():
                    reached[bucket] = number
                    yield DataSourcePayload([{"id": number, "what": what}], state=Buckets(numbers=dict(reached)).dump())

    def begin(self, bucket: str, own: Mapping[str, int]) -> int:
        """Another split may have read it further."""
        return max(own.get(bucket, 0), self.known.get(bucket, 0))


class SplitEvents(DataSourceStream):
    name = "events"
    incremental = True
    part = Part

    def __init__(self, config: SplitConfig) -> None:
        self.config = config

    def schema(self, table: str | None = None) -> StreamSchema | None:
        return StreamSchema(pa.schema([("id", pa.int64()), ("what", pa.string())]))

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        known: dict[str, int] = {}
        for each in state.values():
            for bucket, number in Buckets.load(each).numbers.items():
                known[bucket] = max(number, known.get(bucket, 0))
        return [self.part(self.config, number, known) for number in range(self.config.readers)]


@data_source(name="split", config=SplitConfig)
class SplitSource(ShopSource):
    split: type[SplitEvents] = SplitEvents

    def streams(self) -> Sequence[DataSourceStream]:
        assert isinstance(self.config, SplitConfig)
        return [self.split(self.config)]
