# SPDX-License-Identifier: Apache-2.0
"""Deletes: streams that follow the deletes of their data."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import pytest

from ..base import Conformance
from ..capabilities import Level, needs
from ..harness.landing import Landing
from ..harness.reading import MakeSource
from .incremental import StreamEditor

NEW = StreamEditor.NEW


class DeletingEditor(StreamEditor):
    """A ``StreamEditor`` that can also delete rows."""

    @abstractmethod
    def delete(self, numbers: Sequence[int]) -> None:
        """Delete the rows of these numbers. It is committed when this returns."""


@needs("deletes")
class DeletesConformance(Conformance):
    """A stream that follows deletes. Fixtures: ``source`` and ``editor``, a ``DeletingEditor``."""

    overridable: ClassVar[tuple[str, ...]] = ("editor",)
    level: ClassVar[Level] = "beta"

    @pytest.fixture
    def editor(self) -> DeletingEditor:
        """Changes the data that ``source`` reads."""
        pytest.fail(f"{type(self).__name__} must define the fixture `editor`: a DeletingEditor of one stream")

    def test_a_deleted_row_is_deleted_by_the_next_run(
        self, source: MakeSource, editor: DeletingEditor, landing: Landing
    ) -> None:
        """A customer who asked to be deleted is still in the reports."""
        editor.write([NEW, NEW + 1], 1)
        landing.run(source)
        editor.delete([NEW])
        landing.run(source)
        assert NEW not in _landed(editor, landing), (
            'a deleted row is still in the table: yield its key with kind="deletes", or all others with kind="keys"'
        )

    def test_a_deleted_row_comes_back_when_it_is_written_again(
        self, source: MakeSource, editor: DeletingEditor, landing: Landing
    ) -> None:
        """A source that remembers deleted keys skips the new row."""
        editor.write([NEW, NEW + 1], 1)
        landing.run(source)
        editor.delete([NEW])
        landing.run(source)
        editor.write([NEW], 2 + editor.lookback)
        landing.run(source)
        assert NEW in _landed(editor, landing), "a row that was written again did not land: yield rows after deletes"

    def test_a_sweep_deletes_no_existing_row(
        self, source: MakeSource, editor: DeletingEditor, landing: Landing
    ) -> None:
        """A list of keys that ends after one page deletes the rest of the table."""
        numbers = range(NEW, NEW + 3 * editor.page_rows + 1)
        editor.write(numbers, 1)
        landing.run(source)
        before = _landed(editor, landing)
        for _ in range(2):
            landing.run(source)
        missing = sorted((before | set(numbers)) - _landed(editor, landing))
        assert not missing, f"{len(missing)} existing rows were deleted: yield the keys of all pages"


def _landed(editor: StreamEditor, landing: Landing) -> set[int]:
    return {editor.number(row) for row in landing.tables.get(editor.stream, [])}
