"""The first payloads of a stream, read for a person to look at."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import islice

from ..contract import DataSourcePayload, DataSourceStream, StreamPartition
from ._partition import closing_early
from ._patience import Late, Patient


def read_beginning(
    stream: DataSourceStream, enough: Callable[[DataSourcePayload], bool], *, seconds: float, most: int = 100_000
) -> str | None:
    """Hand a stream's payloads, from its beginning, to ``enough`` until it says so; readers are closed early.

    It is called in another thread, and after the time is over once more at most. Payloads beyond ``most`` are not
    read. Returns why reading ended before ``enough`` said so; None: everything was read, or enough.
    """
    over = threading.Event()
    left = most

    def read() -> bool:
        nonlocal left
        for partition in _partitions(stream):
            payloads = iter(partition.read({}))
            with closing_early(payloads):
                for payload in payloads:
                    left -= 1
                    if over.is_set() or not left or enough(payload):
                        return not left
        return False

    patient = Patient(seconds)
    try:
        exhausted = patient.call(read, what=f"stream {stream.name!r}")
    except Late:
        return f"only what came within {seconds:g} s was read"
    finally:
        over.set()
        patient.end(what=f"stream {stream.name!r}")
    return f"only the first {most:,} payloads were read" if exhausted else None


def count_partitions(stream: DataSourceStream, *, seconds: float, most: int = 1000) -> int | None:
    """How many partitions there are now; None: more than ``most``, or not known within the time."""
    if type(stream).partitions is DataSourceStream.partitions:
        return 1
    patient = Patient(seconds)
    try:
        found = patient.call(
            lambda: sum(1 for _ in islice(_partitions(stream), most + 1)), what=f"stream {stream.name!r}"
        )
    except Late:
        return None
    finally:
        patient.end(what=f"stream {stream.name!r}")
    return found if found <= most else None


def _partitions(stream: DataSourceStream) -> Iterator[StreamPartition]:
    partitions = iter(stream.partitions({}))
    with closing_early(partitions):
        yield from partitions
