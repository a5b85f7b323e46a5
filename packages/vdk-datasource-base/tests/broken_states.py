"""Sources that lose rows by their states, or use states of other sources."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from broken import caught_by
from reference_shop import OrderPosition, Orders, ShopSource
from vdk.plugin.datasource_base import DataSourcePayload, DataSourceState, DataSourceStream, StateError, StreamSchema


@caught_by("test_states_are_json")
class Tupled(Orders):
    def state(self, after: tuple[int, int], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
        return {**super().state(after, rows), "note": after}

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        return super().read({name: value for name, value in state.items() if name != "note"})


@caught_by("test_states_have_a_version")
class Unversioned(Orders):
    def state(self, after: tuple[int, int], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
        return {"changed": after[0], "id": after[1]}

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        return super().read({**state, "v": 1} if state else {})


class Exact(Orders):
    """Reads exactly after its state, without a lookback: correct if rows never come late."""

    def begin(self, position: OrderPosition) -> tuple[int, int]:
        return (position.changed, position.id) if position.changed is not None else (-(2**62), -1)


@caught_by("test_reading_from_a_state_gives_everything_after_it")
class Ahead(Exact):
    def state(self, after: tuple[int, int], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
        return super().state((after[0], after[1] + 1), rows)


@caught_by("test_stopping_after_any_payload_loses_nothing")
class Satisfied(ShopSource):
    """Treats a stream with a state as done."""

    done: frozenset[str] = frozenset()

    def connect(self, state: DataSourceState) -> None:
        super().connect(state)
        self.done = frozenset(state)

    def streams(self) -> Sequence[DataSourceStream]:
        return [stream for stream in super().streams() if stream.name not in self.done]


@caught_by("test_a_crash_at_any_commit_loses_nothing")
class Remembering(Exact):
    """Keeps a position of its own, which moves when rows are yielded."""

    mine: dict[str, tuple[int, int]] = {}  # noqa: RUF012 - this is the mistake

    def begin(self, position: OrderPosition) -> tuple[int, int]:
        given = super().begin(position)
        return max(given, self.mine.get(str(self.config.database), given)) if position.changed else given

    def state(self, after: tuple[int, int], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
        self.mine[str(self.config.database)] = after
        return super().state(after, rows)


@caught_by("test_a_second_run_changes_nothing")
class Repeating(Orders):
    """Reads a lookback again, without a primary key to match the rows."""

    def schema(self, table: str | None = None) -> StreamSchema | None:
        schema = super().schema(table)
        return StreamSchema(schema.fields, (), schema.cursor) if schema is not None else None


@caught_by("test_a_foreign_state_is_not_used")
class Gullible(Orders):
    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        if state and "v" not in state:
            state = OrderPosition(changed=int(time.time())).dump()
        return super().read(state)


@caught_by("test_a_state_of_another_version_is_not_used")
class Timeless(Orders):
    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        return super().read({**state, "v": 1} if "v" in state else state)


@caught_by("test_a_damaged_state_is_not_used")
class Forgiving(Orders):
    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        try:
            OrderPosition.load(state)
        except StateError:
            if state.get("v") == 1:
                return
            raise
        yield from super().read(state)


@caught_by("test_states_of_removed_streams_are_ignored")
class Surprised(ShopSource):
    def connect(self, state: DataSourceState) -> None:
        super().connect(state)
        known = {stream.name for stream in self.streams()}
        for name in state:
            if name not in known:
                raise KeyError(name)


@caught_by("test_a_new_stream_does_not_reset_the_others")
class AllOrNothing(ShopSource):
    """Starts all streams over if one is new."""

    def connect(self, state: DataSourceState) -> None:
        super().connect(state)
        self.anew = bool(state) and "events" not in state

    def streams(self) -> Sequence[DataSourceStream]:
        orders, *others = super().streams()
        return [Anew(self.config) if self.anew else orders, *others]


class Anew(Orders):
    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        return super().read({})


@caught_by("test_a_failing_stream_does_not_stop_the_others")
class Offended(ShopSource):
    """Streams share a connection, which a stream that is closed early closes for the others."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.broken: list[str] = []

    def streams(self) -> Sequence[DataSourceStream]:
        _, *others = super().streams()
        return [Sharing(self.config, self.broken), *(Silent(other, self.broken) for other in others)]


class Sharing(Orders):
    def __init__(self, config: Any, broken: list[str]) -> None:
        super().__init__(config)
        self._broken = broken

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        try:
            yield from super().read(state)
        except GeneratorExit:
            self._broken.append("orders")
            raise


class Silent(DataSourceStream):
    def __init__(self, stream: DataSourceStream, broken: list[str]) -> None:
        self.name = stream.name
        self._stream, self._broken = stream, broken

    def schema(self, table: str | None = None) -> StreamSchema | None:
        return self._stream.schema(table)

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Any:
        return [] if self._broken else self._stream.partitions(state)
