# SPDX-License-Identifier: Apache-2.0
"""What a stream shows of its source so that a run can be proven complete."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from .errors import ConfigurationError
from .stream import DataSourceStream


@dataclass(frozen=True, slots=True)
class ProofRows:
    """Some columns of some rows of the source, in the types in which the rows are read.

    :param claimed: whether the state says that they have landed. Rows that changed after the last run, or that the next
        run reads, are not claimed: they only show that their keys still exist.
    """

    data: pa.Table
    claimed: bool = True


@dataclass(slots=True)
class Proof:
    """All rows of a stream's source, as they are now, in one snapshot.

    :param columns: those that are compared. :param key: those of them that identify a row; empty: nothing does.
    :param whole: the stream has no state, so the destination has exactly these rows.
    :param rows: every row once, lazily. Closing the iterator releases its resources.
    :param reason: why nothing can be proven; None: it can.
    :param cursor: the column that grows with every change; None: there is none.
    :param deletes: the option of the source, as a line, that deletes rows which the source does not have any more.
    """

    columns: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    whole: bool = False
    rows: Iterator[ProofRows] = field(default_factory=lambda: iter(()))
    reason: str | None = None
    cursor: str | None = None
    deletes: str | None = None


class VerifiableStream(DataSourceStream, abstract=True):
    """A stream that can show what its source has, beside being read. Optional: ``vdk datasource verify`` needs it.

    ``proof`` goes through the same conversions as ``read``: a value that is equal at the source is equal in both.
    """

    counts_rows: bool = False
    """Set by a run that verifies: a read of all rows may count them, in the snapshot that it reads, and yield the
    count in the metadata of a payload, as ``COUNTER_PREFIX + "rows_at_source"``. If another number is read, nothing
    lands."""

    @abstractmethod
    def proof(
        self, states: Mapping[str, Mapping[str, Any]], *, values: bool = False, whole_rows: bool = False
    ) -> Proof:
        """The rows of the source, and which of them ``states`` (partition → state) claim to have landed.

        :param values: compare all columns, not only the key and the cursor.
        :param whole_rows: leave out rows of which any column does not fit: the flow rejects them.
        """

    def with_hashes(self, hashes: Collection[int], columns: Sequence[str]) -> DataSourceStream:
        """The rows whose ``row_hashes`` over these columns are among ``hashes``, as a stream without states of the
        same name: ``vdk datasource repair`` reads it. Default: the stream cannot read single rows.

        :raises ConfigurationError: naming the reason.
        """
        raise ConfigurationError(f"stream {self.name!r} cannot read single rows")
