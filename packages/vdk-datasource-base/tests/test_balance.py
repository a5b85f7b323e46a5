"""Rows read = landed + dropped + rejected: a row that is lost on its way fails the stream, wherever it is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from support import Lab, Whole, counting, payload
from vdk.plugin.datasource_base.contract import FlowFailedError
from vdk.plugin.datasource_base.parts.columns.convert import Converted, convert_rows
from vdk.plugin.datasource_base.runtime.run.batches import batching
from vdk.plugin.datasource_base.runtime.run.partitions.partition_reader import PartitionReader

Patch = Callable[[pytest.MonkeyPatch], None]


def lost_in_conversion(patched: pytest.MonkeyPatch) -> None:
    def converted(rows: Any, schema: Any, **options: Any) -> Converted:
        result = convert_rows(rows, schema, **options)
        return replace(result, table=result.table.slice(1))

    patched.setattr(batching, "convert_rows", converted)


def lost_before_it_lands(patched: pytest.MonkeyPatch) -> None:
    """A batch loses a row after it was built, while the count of the rows read stays."""
    built = batching.build_batches
    module = "vdk.plugin.datasource_base.runtime.run.partitions.partition_reader.build_batches"
    patched.setattr(
        module, lambda *given: [replace(batch, data=batch.data.slice(1)) for batch in built(*given)], raising=True
    )


def never_submitted(patched: pytest.MonkeyPatch) -> None:
    """A batch of the middle is forgotten, with its state."""
    submit = PartitionReader._submit_unit
    calls: list[int] = []

    def forgetful(reader: Any, attempt: Any, unit: Any, size: int) -> None:
        calls.append(1)
        if len(calls) == 2:
            reader._run.writer.release(size)
            return
        submit(reader, attempt, unit, size)

    patched.setattr(PartitionReader, "_submit_unit", forgetful)


@pytest.mark.parametrize(
    ("lose", "mode"),
    [
        (lost_in_conversion, "append"),
        (lost_in_conversion, "replace"),
        (lost_before_it_lands, "append"),
        (lost_before_it_lands, "replace"),
        (never_submitted, "append"),  # a replaced table has one unit, at its end
    ],
)
def test_a_lost_row_fails_the_stream(lab: Lab, monkeypatch: pytest.MonkeyPatch, lose: Patch, mode: str) -> None:
    lose(monkeypatch)
    with pytest.raises(FlowFailedError, match=r"VerificationError: .*rows were read") as error:
        lab.run(Whole("t", counting(35)), write_mode=mode)
    assert error.value.summary.streams[0].status == "failed"
    if lose is not never_submitted:
        assert not lab.tables.get("t")


def test_rows_that_are_dropped_or_rejected_are_no_loss(lab: Lab) -> None:
    def read(state: Any) -> Any:
        yield payload({"n": 1}, {"n": 2}, {"n": 3})
        yield payload({"n": object()})

    summary = lab.run(Whole("t", read), on_bad_record="reject", transform=lambda rows: rows[1:])
    report = summary.streams[0]
    assert report.rows_read == report.rows_landed + report.rows_dropped + report.rows_rejected == 4


def test_the_counts_are_those_of_every_run(lab: Lab) -> None:
    report = lab.run(Whole("t", counting(35)), write_mode="append").streams[0]
    assert (report.rows_read, report.rows_landed, report.rows_dropped, report.rows_rejected) == (35, 35, 0, 0)
