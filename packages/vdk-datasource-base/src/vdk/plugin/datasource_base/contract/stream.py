"""What a partition yields."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

from .errors import BadRecordError
from .schema import StreamSchema
from .state import JSON

COUNTER_PREFIX = "count:"
"""Metadata keys that begin so are counters (``{"count:rows_held_back": 3}``): the run's summary adds
them up per stream, and they never become columns."""


@dataclass(frozen=True, slots=True)
class RejectedRows:
    """Rows a source found unfit while it converted them itself, each with the reason.

    The flow's ``on_bad_record`` decides: the first error fails the stream, or the rows land in
    ``<table>__rejected``.
    """

    rows: Sequence[tuple[Mapping[str, Any], BadRecordError]]


@dataclass(frozen=True, slots=True)
class DataSourcePayload:
    """Some rows of a partition, and the partition's state once they are delivered.

    :param data: one row, many rows, or an Arrow batch or table; None where only the state moved.
        A source that checks its values itself hands the unfit rows over as ``RejectedRows``.
    :param metadata: facts about this payload. They land as ``_vdk_<key>`` where the flow's
        ``metadata_columns`` asks for the key.
    :param state: JSON from which ``read`` continues after this payload. None: unchanged.
        ``{}``: forget this partition. The runtime never looks inside.
    :param destination_table: the table these rows belong to; default: the stream's name.
    :param kind: ``"deletes"``: the rows hold the primary keys that are gone at the source. ``"keys"``: they hold
        all the primary keys that are there, and what else the table holds is gone; payloads of this kind follow
        each other, and the last of them carries the state (or ends the partition).
    """

    data: Mapping[str, Any] | Sequence[Mapping[str, Any]] | pa.RecordBatch | pa.Table | RejectedRows | None
    metadata: Mapping[str, str | int | float | bool | datetime] = field(default_factory=dict)
    state: Mapping[str, JSON] | None = None
    destination_table: str | None = None
    kind: Literal["rows", "deletes", "keys"] = "rows"


class StreamPartition(ABC):
    """A part of a stream that is read on its own.

    It holds configuration, never a connection: it is picklable, and opens its own connection in
    ``read``. Partitions are read in parallel.
    """

    id: str
    """Unique in its stream and stable between runs: the state is kept under it."""

    @abstractmethod
    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        """Yield the partition's payloads after ``state``, lazily and in order.

        ``state`` is what a payload of an earlier run (or attempt) carried, ``{}`` the first time.
        The same state gives at least everything after it. Closing the iterator early frees what it
        holds. Raise ``ConnectionFailedError`` where trying again may help.
        """


class BoundedPartition(StreamPartition):
    """A partition that knows where a reading would end before it reads.

    It is optional for a source. Where it is there, a run shows progress in percent, a reading can be repeated exactly,
    and a cluster can plan a batch without reading it. A stream that is its own only partition inherits from both::

        class Orders(DataSourceStream, BoundedPartition): ...

    """

    @abstractmethod
    def end(self, state: Mapping[str, Any]) -> Mapping[str, JSON]:
        """The state in which a reading from ``state`` that starts now would end, found without reading the rows.

        It equals ``state`` exactly where nothing is to be read. It may look at a maximum or at the last positions, and
        at a bounded window of rows, never at all rows. Raise ``ConnectionFailedError`` where trying again may help.
        """

    @abstractmethod
    def read(self, state: Mapping[str, Any], end: Mapping[str, Any] | None = None) -> Iterator[DataSourcePayload]:
        """Yield what is after ``state``, up to ``end`` and no further; None: up to ``self.end(state)``.

        Two readings of the same two states give the same rows as long as none of them changed. The last payload carries
        a state from which nothing up to ``end`` is read again. Raise ``StateError`` for an end that does not follow
        ``state``, or belongs to something else.
        """

    def share(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> float | None:
        """How much of the way from the beginning to ``end`` is done at ``state``, from 0 to 1; None: unknown."""
        return None


class DataSourceStream(StreamPartition):
    """A named channel of data: a table, an endpoint, a topic.

    A stream overrides exactly one of ``read`` (it cannot be split, and is its own only partition)
    and ``partitions``. Say ``class Base(DataSourceStream, abstract=True)`` for a base class that
    leaves the choice to its subclasses.
    """

    name: str
    """Unique in its source, and the default name of the destination table."""
    id: str = ""
    incremental: bool | None = None
    """Whether a run reads only what is new since the last one.

    True: the stream yields states, and its rows are added to those that have landed. False: it is read whole each
    time, and yields no state. None: it is incremental if its schema names a cursor. A stream that yields states and
    declares neither fails, unless the flow sets ``write_mode``: a run that finds nothing new would replace its table
    with an empty one.
    """
    backfill: bool = False
    """True: the configuration asks for a range of the rows, read without a state. They are added to the table: a flow
    that would replace it is refused."""

    sharing_needs: str | None = None
    """What to change in the configuration before rows of this stream and of another one share a table; None: nothing.

    A run that would land both in one table is refused with this text."""

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        reads = cls.read is not DataSourceStream.read
        splits = cls.partitions is not DataSourceStream.partitions
        if reads == splits and not (abstract and not reads):
            found = "both" if reads else "neither"
            raise TypeError(
                f"{cls.__qualname__} overrides {found} of `read` and `partitions`: a stream overrides "
                "exactly one. Override `read` if it is read in one go, `partitions` if it is split."
            )

    def schema(self, table: str | None = None) -> StreamSchema | None:
        """Columns and keys of ``table`` (None: the stream's own); None: inferred from the rows."""
        return None

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        """The partitions to read now, lazily; ``state`` maps partition ids to their states.

        It may do I/O. It runs in one thread of the driving process, never in parallel.
        """
        return (self,)

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        """See ``StreamPartition.read``; a stream with ``partitions`` is not read itself."""
        raise TypeError(f"stream {self.name!r} is split into partitions: read those")
