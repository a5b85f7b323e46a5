# SPDX-License-Identifier: Apache-2.0
"""Other partitions: a state of four partitions continues with two and with eight."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import pytest

from ....contract import DataSourcePayload
from ..base import Conformance
from ..capabilities import Level, needs
from ..harness.landing import STOPS, Landing
from ..harness.reading import MakeSource, opened, plain_rows, watched
from .rows import counted, lost

FIRST = 4
"""Partitions of the run that is continued."""


class Split(ABC):
    """Splits the data of a stream into so many partitions: by an option of the source, or as the owner of a topic adds
    partitions to it.
    """

    stream: str
    """The name of the stream."""
    others: Sequence[int] = (2, 8)
    """The numbers of partitions with which a state of four continues; ``(8,)`` where they only become more."""

    @abstractmethod
    def into(self, count: int) -> MakeSource:
        """Makes sources that read the stream in ``count`` partitions."""

    def restart(self) -> None:
        """Optional: called before each series of runs, for data whose partitions cannot become fewer."""
        return


@needs("other_partitions")
class OtherPartitionsConformance(Conformance):
    """A stream whose number of partitions is an option, or changes. Fixture: ``split``."""

    overridable: ClassVar[tuple[str, ...]] = ("split",)
    level: ClassVar[Level] = "stable"

    @pytest.fixture
    def split(self) -> Split:
        """Splits the data that ``source`` reads."""
        pytest.fail(f"{type(self).__name__} must define the fixture `split`: a Split of one stream")

    def test_other_partitions_continue_a_stopped_run(self, split: Split) -> None:
        """Somebody sets more readers after a run that was too slow; the rows between two states are lost."""
        for count in split.others:
            for payload in range(1, STOPS):
                split.restart()
                with Landing.fresh() as stopped, Landing.fresh() as whole:
                    ended = stopped.stop(_split(split, FIRST), after=payload, stream=split.stream) is None
                    stopped.run(_split(split, count))
                    whole.run(split.into(count))
                    missing = lost(stopped.tables, whole.tables)
                assert not missing, (
                    f"a run of {FIRST} partitions was stopped at payload {payload}, and {count} partitions do not read "
                    f"{missing}: take for each row the position of the partition that it belonged to"
                )
                if ended:
                    assert payload > FIRST, f"split.into({FIRST}) gives {payload - 1} payloads: add rows, or pages"
                    break

    def test_other_partitions_do_not_start_over(self, split: Split) -> None:
        """The first run takes a day; one more partition must not make it begin again, or repeat rows without a key."""
        for count in split.others:
            split.restart()
            with Landing.fresh() as landing:
                rows = _rows_read(split, FIRST, landing)
                usual = _rows_read(split, FIRST, landing)
                repeated = (_rows_read(split, count, landing) & rows) - usual
            assert not repeated, (
                f"after a run of {FIRST} partitions, a run of {count} reads {repeated.total()} rows again, such as "
                f"{next(iter(repeated))}: take over the positions of the partitions that had the rows"
            )


def _split(split: Split, count: int) -> MakeSource:
    """Makes sources of so many partitions, of which the suite makes sure."""
    make = split.into(count)
    with opened(make) as source:
        stream = next(stream for stream in source.streams() if stream.name == split.stream)
        number = len(list(stream.partitions({})))
    assert number == count, f"split.into({count}) gives {number} partitions of {split.stream!r}: split it into {count}"
    return make


def _rows_read(split: Split, count: int, landing: Landing) -> Counter[str]:
    """The rows of the stream that one more run reads, in so many partitions."""
    rows: Counter[str] = Counter()

    def on_payload(stream: str, partition: str, payload: DataSourcePayload) -> None:
        if stream == split.stream:
            rows.update(counted(plain_rows(payload)))

    landing.run(watched(_split(split, count), on_payload))
    return rows
