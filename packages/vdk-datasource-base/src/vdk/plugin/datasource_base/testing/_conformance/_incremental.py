"""The checks for sources that read only what is new."""

from __future__ import annotations

import pytest

from ._editor import StreamEditor
from ._landing import Landing
from ._suite import Conformance, MakeSource


class IncrementalConformance(Conformance):
    """What a stream with a cursor has to do. Fixtures: ``source`` and ``editor``, over the same data."""

    yours = ("editor",)

    @pytest.fixture
    def editor(self) -> StreamEditor:
        """Changes the data that ``source`` reads."""
        pytest.fail(f"{type(self).__name__} must define the fixture `editor`: a StreamEditor of one incremental stream")

    def test_a_new_row_at_the_exact_boundary_lands(
        self, source: MakeSource, editor: StreamEditor, landing: Landing
    ) -> None:
        """Two peers lose a row that comes with exactly the highest cursor that was read before."""
        editor.write([editor.NEW], 50)
        landing.run(source)
        editor.write([editor.NEW + 1], 50)
        landing.run(source)
        landed = {editor.number(row) for row in landing.tables[editor.stream]}
        assert editor.NEW + 1 in landed, (
            "a row with the same cursor as the last one read did not land: read from the stored cursor inclusively "
            "(`>=`), or go on behind (cursor, primary key)"
        )
