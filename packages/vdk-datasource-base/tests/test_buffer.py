"""A buffer has the same content whether a row is appended alone or added like any payload."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdk.plugin.datasource_base import BadRecordError, DataSourceError, DataSourcePayload, RejectedRows
from vdk.plugin.datasource_base.runtime.options import Options
from vdk.plugin.datasource_base.runtime.run.batches.buffer import Buffer

ROW = st.dictionaries(st.sampled_from("ab"), st.integers(0, 9), min_size=1)
PAYLOADS = st.builds(
    DataSourcePayload,
    st.one_of(ROW, st.lists(ROW, max_size=2), st.none()),
    metadata=st.sampled_from([{}, {}, {"origin": "x"}, {"count.seen": 1}]),
    state=st.sampled_from([None, {"n": 1}, {"n": "é", "deep": [None, {"x": 1.5}]}]),
    destination_table=st.sampled_from([None, None, "t", "T"]),
    kind=st.sampled_from(["rows", "rows", "deletes"]),
)


def filled(
    payloads: list[DataSourcePayload], *, columns: tuple[str, ...], split_by_table: bool, short: bool
) -> list[Any]:
    """The public content of a buffer, after each payload and at the end."""
    buffer = Buffer(Options(), stream="s", metadata_columns=columns, split_by_table=split_by_table)
    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        if not short:
            patch.setattr(Buffer, "_append_row", lambda self, payload: False)
        for payload in payloads:
            seen.append((buffer.add(payload), buffer.rows, buffer.size, buffer.has_state, dict(buffer.counters)))
    size = buffer.size
    covered, state = buffer.take_covered()
    left = buffer.size
    rest, _ = buffer.take_all()
    return [seen, _plain(covered), state, size, _plain(rest), left]


def _plain(groups: Any) -> list[Any]:
    return [(group.table, group.kind, group.metadata, group.rows) for group in groups]


@given(st.lists(PAYLOADS, max_size=12), st.sampled_from([(), ("origin",)]), st.booleans())
def test_a_row_alone_is_taken_in_like_any_payload(
    payloads: list[DataSourcePayload], columns: tuple[str, ...], split_by_table: bool
) -> None:
    """Groups, order, sizes, states and counters are the same."""
    quickly = filled(payloads, columns=columns, split_by_table=split_by_table, short=True)
    assert quickly == filled(payloads, columns=columns, split_by_table=split_by_table, short=False)


def test_a_state_that_is_none_is_refused_with_nothing_taken_in() -> None:
    buffer = Buffer(Options(), stream="s")
    buffer.add(DataSourcePayload({"a": 1}, state={"n": 1}))
    with pytest.raises(DataSourceError, match="yielded a state with"):
        # type ignored: what the contract forbids
        buffer.add(DataSourcePayload({"a": 2}, state={"n": object()}))  # type: ignore[dict-item]
    ((group,), state) = buffer.take_covered()
    assert (group.rows, state) == ([{"a": 1}], {"n": 1})


def test_rejected_rows_count_like_others() -> None:
    """Else a source that rejects all it reads would fill the memory."""
    buffer = Buffer(Options(batch_bytes=100_000), stream="s")
    rejected = [({"text": "x" * 1000}, BadRecordError("no good"))] * 10
    count = 0
    while not buffer.full and count < 100:
        buffer.add(DataSourcePayload(RejectedRows(rejected)))
        count += 1
    assert count in (9, 10)  # the size of Python's objects differs between its versions
    assert 100_000 < buffer.size < 120_000
