"""The checks that need more data than a test can look at row by row."""

from __future__ import annotations

from itertools import islice

import pytest

from ._reading import opened, partitions_of
from ._suite import Conformance, MakeSource


class LargeDataConformance(Conformance):
    """What a source does with more data than it should hold at once. Fixture: ``large_source``."""

    yours = ("large_source",)

    @pytest.fixture
    def large_source(self) -> MakeSource:
        """A function that makes a source over some 10,000 rows or more, read in at least 20 pages."""
        pytest.fail(
            f"{type(self).__name__} must define the fixture `large_source`: makes a source that reads 20 pages or more"
        )

    def test_many_rows_come_in_many_payloads(self, large_source: MakeSource) -> None:
        """A payload is the least that can land: a source that yields one holds its whole data at once."""
        with opened(large_source) as source:
            count = max(sum(1 for _ in islice(one.read({}), 20)) for _, one in partitions_of(source))
        assert count == 20, f"the largest stream came in {count} payloads: yield pages as they are read, 20 at least"
