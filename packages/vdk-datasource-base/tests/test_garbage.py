"""Sources that yield garbage, or raise it: named, alone in failing, and complete once they are mended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support import Lab, Whole, counting, payload
from vdk.plugin.datasource_base import DataSourcePayload, FlowFailedError
from vdk.plugin.datasource_base.contract import State
from vdk.plugin.datasource_base.testing.faults import GARBAGE, Fail, UnprintableError, injected


@pytest.mark.parametrize("write_mode", ["append", None])
@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_fails_its_stream_alone(lab: Lab, what: str, write_mode: str | None) -> None:
    """The other stream lands whole; once the source yields something better, every row is there once."""

    def bad(state: State) -> Iterator[Any]:
        yield payload({"n": 0}, state={"next": 1})
        yield GARBAGE[what]

    with pytest.raises(FlowFailedError, match=r"1 of 2 streams failed: src\.bad: \w+: ") as caught:
        lab.run(Whole("bad", bad), Whole("good", counting(3)), write_mode=write_mode)
    assert [stream.status for stream in caught.value.summary.streams] == ["failed", "succeeded"]
    assert lab.numbers("good") == [0, 1, 2]

    lab.run(Whole("bad", counting(3)), Whole("good", counting(3)), write_mode=write_mode)
    assert lab.numbers("bad") == lab.numbers("good") == [0, 1, 2]


@pytest.mark.parametrize("wrong", [{"state": 5}, {"metadata": {"count:x": "many"}}])
def test_a_payload_that_is_refused_leaves_nothing_behind(lab: Lab, wrong: Any) -> None:
    """What came before it lands with its state, and not a row of its own: that would come again."""

    def bad(state: State) -> Iterator[DataSourcePayload]:
        yield payload({"n": 0}, state={"next": 1})
        yield payload({"n": 1}, **wrong)

    with pytest.raises(FlowFailedError):
        lab.run(Whole("t", bad))
    assert (lab.tables["t"], lab.states) == ([{"n": 0}], {("t", ""): {"next": 1}})


@pytest.mark.parametrize("instant", ["connect", "streams", "partitions", "read", "disconnect"])
def test_an_error_that_cannot_be_printed_is_told_by_its_type(
    lab: Lab, instant: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it comes from, the run ends as it does with any other error."""
    lab.script(Whole("t", counting(3)), Whole("good", counting(3)))
    with injected(Fail(instant, error=UnprintableError)):
        if instant == "disconnect":
            lab.run()
            assert "could not be disconnected: its message cannot be read" in caplog.text
        else:
            with pytest.raises(FlowFailedError, match="UnprintableError: its message cannot be read"):
                lab.run()
    if instant in ("partitions", "read", "disconnect"):
        assert lab.numbers("good") == [0, 1, 2]
