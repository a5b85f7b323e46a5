# SPDX-License-Identifier: Apache-2.0
"""What a run has chosen for a stream: its table, write mode, key and cursor."""

from __future__ import annotations

from dataclasses import dataclass

from ...parts import WriteMode


@dataclass(frozen=True, slots=True)
class PlannedStream:
    """A stream as it is about to be read.

    :param cursor: None: the stream declares none. :param incremental: whether the run reads only what is new.
    """

    source: str
    stream: str
    table: str
    write_mode: WriteMode
    primary_key: tuple[str, ...]
    cursor: str | None
    incremental: bool
