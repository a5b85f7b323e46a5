"""What a partition yields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

from ._errors import BadRecordError
from ._types import JSON

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
