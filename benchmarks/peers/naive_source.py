"""A source as one would write it first: every row is a payload, and every payload has a state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vdk.plugin.datasource_base import DataSource, DataSourceConfig, DataSourcePayload, DataSourceStream, data_source


class NaiveConfig(DataSourceConfig):
    """How many rows there are."""

    rows: int


class Numbers(DataSourceStream):
    """Some rows."""

    name = "numbers"
    incremental = True

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for number in range(state.get("next", 0), self._rows):
            row = {"id": number, "name": f"number {number}", "half": number / 2, "even": number % 2 == 0}
            yield DataSourcePayload(row, state={"next": number + 1})


@data_source(name="naive", config=NaiveConfig)
class NaiveSource(DataSource[NaiveConfig]):
    """One stream."""

    def streams(self) -> Sequence[DataSourceStream]:
        return [Numbers(self.config.rows)]
