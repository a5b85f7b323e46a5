# SPDX-License-Identifier: Apache-2.0
"""Streams, the partitions they are read in, and the payloads that a partition yields."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import msgspec
import pyarrow as pa

from .errors import BadRecordError, ConfigurationError
from .schema import StreamSchema
from .state import JSON

COUNTER_PREFIX = "count:"
"""Metadata keys with this prefix are counters (``{"count:rows_held_back": 3}``): the run's summary adds
them up per stream, and they never become columns."""


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


class _Attrs(Protocol):
    __attrs_attrs__: ClassVar[Any]


Record: TypeAlias = msgspec.Struct | _Dataclass | _Attrs
"""A row as an instance of a class."""
Row: TypeAlias = Mapping[str, Any] | Record


@dataclass(frozen=True, slots=True)
class RejectedRows:
    """Rows that a source could not convert, each with the reason.

    The flow's ``on_bad_record`` decides whether the first error fails the stream, or the rows land in
    ``<table>__rejected``.
    """

    rows: Sequence[tuple[Mapping[str, Any], BadRecordError]]


@dataclass(frozen=True, slots=True)
class DataSourcePayload:
    """Some rows of a partition, and the partition's state once they are delivered.

    :param data: one row, many rows, or an Arrow batch or table; None if only the state changes. A row is a mapping or a
        record, an instance of a dataclass, ``msgspec.Struct`` or attrs class, such as the one of ``StreamSchema.of``.
        A source that checks its values itself passes the rows that do not fit as ``RejectedRows``.
    :param metadata: facts about this payload. They land as ``_vdk_<key>`` if the flow's ``metadata_columns`` lists
        the key.
    :param state: JSON from which ``read`` continues after this payload. None: unchanged.
        ``{}``: reset this partition. The runtime never looks inside.
    :param destination_table: the table of these rows; default: the stream's name.
    :param kind: ``"deletes"``: the rows hold primary keys that the source deleted. ``"keys"``: they hold all primary
        keys that the source has, and every other row of the table is deleted; payloads of this kind follow each
        other, and the last of them carries the state (or ends the partition).
    """

    data: Row | Sequence[Row] | pa.RecordBatch | pa.Table | RejectedRows | None
    metadata: Mapping[str, str | int | float | bool | datetime] = field(default_factory=dict)
    state: Mapping[str, JSON] | None = None
    destination_table: str | None = None
    kind: Literal["rows", "deletes", "keys"] = "rows"


class StreamPartition(ABC):
    """A part of a stream that is read independently.

    It holds configuration, never a connection: it is picklable, and opens its own connection in
    ``read``. Partitions are read in parallel.
    """

    id: str
    """Unique in its stream and stable between runs: the state is stored under it."""

    @abstractmethod
    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        """Yield the partition's payloads after ``state``, lazily and in order.

        ``state`` is that of a payload of an earlier run (or attempt), ``{}`` the first time. The same state yields at
        least everything after it. Closing the iterator early releases its resources. Raise ``ConnectionFailedError``
        if another attempt may succeed.
        """

    def split(
        self, state: Mapping[str, Any], end: Mapping[str, Any] | None = None, *, parts: int, min_rows: int
    ) -> Sequence[StreamPartition]:
        """The rows after ``state`` as partitions that a cluster reads in parallel; empty: they are read by ``read``.

        The partitions are read from ``{}``, and their states are not kept: the cluster keeps ``end`` after all of them
        have been read. So the next batch may be split into another number of partitions. It may do I/O.

        :param end: where a ``BoundedPartition`` is read to; None: up to what there is now.
        :param parts: how many there are at most. :param min_rows: how many rows a partition has at least, about.
        """
        return ()


class BoundedPartition(StreamPartition):
    """A partition that knows where it ends before it is read.

    It is optional. With it, a run shows progress in percent, a read can be repeated exactly, and a cluster can plan a
    batch without reading it. A stream that is its own only partition inherits from both::

        class Orders(DataSourceStream, BoundedPartition): ...

    """

    @abstractmethod
    def end(self, state: Mapping[str, Any]) -> Mapping[str, JSON]:
        """The state in which a read from ``state`` that starts now would end, without reading the rows.

        It equals ``state`` if and only if there is nothing to read. It may query a maximum, the last positions or a
        bounded window of rows, never all rows. Raise ``ConnectionFailedError`` if another attempt may succeed.
        """

    def end_of_read(self, state: Mapping[str, Any]) -> Mapping[str, JSON]:
        """The end of a read that follows at once, on this object. By default ``end(state)``.

        Such an end bounds the read and is never stored, so it may leave out what only a stored state needs, and the
        read may use what was found here.
        """
        return self.end(state)

    @abstractmethod
    def read(self, state: Mapping[str, Any], end: Mapping[str, Any] | None = None) -> Iterator[DataSourcePayload]:
        """Yield what is after ``state``, up to ``end`` and no further; None: up to ``self.end(state)``.

        Two reads between the same states yield the same rows, unless those rows changed. The last payload carries a
        state from which nothing up to ``end`` is read again. Raise ``StateError`` for an end that does not follow
        ``state``, or that belongs to another partition.
        """

    def share(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> float | None:
        """The share of the rows up to ``end`` that is read at ``state``, from 0 to 1; None: unknown."""
        return None

    def count(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> int | None:
        """About how many rows ``read(state, end)`` yields, without reading them; None: only reading them would tell.

        ``vdk datasource plan`` asks it, and waits a limited time.
        """
        return None


class DataSourceStream(StreamPartition):
    """A named channel of data: a table, an endpoint, a topic.

    A stream overrides exactly one of ``read`` (it cannot be split, and is its own only partition)
    and ``partitions``. Write ``class Base(DataSourceStream, abstract=True)`` for a base class that
    leaves the choice to its subclasses.
    """

    name: str
    """Unique in its source, and the default name of the destination table."""
    id: str = ""
    incremental: bool | None = None
    """Whether a run reads only what is new since the last run.

    True: the stream yields states, and its rows are added to those that have landed. False: each run reads all rows,
    and the stream yields no state. None: it is incremental if its schema names a cursor. A stream that yields states
    without declaring this or a cursor fails, unless the flow sets ``write_mode``: a run without new rows would replace
    its table with an empty one.
    """
    backfill: bool = False
    """True: the configuration selects a range of the rows, which is read without a state. They are added to the table:
    a flow that would replace the table is refused."""

    parent: str | None = None
    """The stream that this one's rows belong to, such as the customers of orders; None: there is none.

    It is a fact for readers and other systems: rows land in the same way."""

    state_columns: Sequence[str] = ()
    """Columns whose values its states contain, besides the cursor. A flow that hashes or drops one is refused."""

    sharing_needs: str | None = None
    """What to change in the configuration before rows of this stream and of another one share a table; None: nothing.

    A run that would land both in one table is refused with this text."""

    relations: Collection[str] = ()
    """Names of the table that the stream reads which no other table of any database has; none: unknown.

    A flow that would land rows in a table with one of these names is refused. Each is the name of a database, as its
    server tells it, with those of schema and table (``parts.relation_name``)."""

    unsplit: DataSourceStream | None = None
    """The same rows as one partition, for a stream without states that is split for speed; None: it is split alike.

    It is read under ``append``. Partitions commit one by one, so a run that fails would leave rows that the next one
    lands again."""

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        reads = cls.read is not DataSourceStream.read
        splits = cls.partitions is not DataSourceStream.partitions
        if reads == splits and not (abstract and not reads):
            overridden = "both" if reads else "neither"
            raise TypeError(
                f"{cls.__qualname__} overrides {overridden} of `read` and `partitions`: a stream overrides "
                "exactly one. Override `read` if it is read as a whole, `partitions` if it is split."
            )

    def schema(self, table: str | None = None) -> StreamSchema | None:
        """Columns and keys of ``table`` (None: the stream's own table); None: inferred from the rows."""
        return None

    def between(self, begin: str | None, end: str | None) -> DataSourceStream:
        """The rows with ``begin <= cursor < end`` as a stream of the same name, for a backfill; None: no bound.

        The bounds are texts as a person writes them (``2026-01-01``, ``2026-01-01T00:00:00Z``, ``1200``), to be read in
        the cursor's type. The stream yields no state: the states of the table are not used and not changed, so its
        partitions are read from ``{}``. Raise ``ConfigurationError`` for a bound that does not fit, or where there is
        no range to read by. Default: the stream cannot be read by a range.
        """
        raise ConfigurationError(f"{type(self).__name__} has no method between")

    def count_rows(self) -> int | None:
        """How many rows a read from the beginning yields at most, if the source can tell quickly; None: unknown.

        A full refresh asks it: where the table has more rows, the source has lost some of its history.
        """
        return None

    def check(self) -> None:
        """Optional: raise what a read would raise before its first row, such as an error about a cursor's values.

        ``vdk datasource check`` calls it, and waits a limited time. It may look at all values of a cursor or a key.
        """
        return

    def check_state(self, partition: str, state: Mapping[str, Any]) -> None:
        """Raise ``StateError`` for a state from which this partition cannot be read; without I/O.

        ``vdk datasource state set`` and ``import`` call it. Default: any state is accepted.
        """
        return

    def adopted_state(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """A state that another instance of the same data has written, as one of this stream's.

        ``vdk datasource state adopt`` calls it. Default: the same state.
        """
        return state

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        """The partitions to read now, lazily; ``state`` maps partition ids to their states.

        It may do I/O. It runs in one thread of the main process, never in parallel.
        """
        return (self,)

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        """See ``StreamPartition.read``. A stream with ``partitions`` does not implement it."""
        raise TypeError(f"stream {self.name!r} is split into partitions: read its partitions")
