"""Sources that yield garbage, or raise it: named, and alone in failing."""

from __future__ import annotations

from typing import Any

import pytest

from support import Lab, Split, Whole, counting, payload
from vdk.plugin.datasource_base import FlowFailedError
from vdk.plugin.datasource_base.testing.faults import GARBAGE, Fail, Garble, UnprintableError, injected


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_fails_its_stream_alone(lab: Lab, what: str) -> None:
    """The error names the stream; the other stream lands whole, and what came before the garbage stays."""
    bad = Whole("bad", lambda state: [payload({"n": 0}, state={"next": 1}), GARBAGE[what]])
    with pytest.raises(FlowFailedError, match=r"1 of 2 streams failed: src\.bad: \w+: .*'bad'") as caught:
        lab.run(bad, Whole("good", counting(3)))
    assert [one.status for one in caught.value.summary.streams] == ["failed", "succeeded"]
    assert lab.numbers("good") == [0, 1, 2]
    assert lab.tables["bad"] == [{"n": 0}]
    assert lab.states["bad", ""] == {"next": 1}


@pytest.mark.parametrize("instant", ["connect", "streams", "partitions", "read", "disconnect"])
@pytest.mark.parametrize("error", [UnprintableError, BaseException])
def test_an_error_that_cannot_be_printed_is_told_by_its_type(
    lab: Lab, instant: str, error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it comes from: the run ends as with any other error."""
    lab.script(Split("t", {"": counting(3)}))
    with injected(Fail(instant, error=error)):
        try:
            lab.run()
        except (FlowFailedError, error) as caught:
            told = "".join(map(str, getattr(caught, "errors", [])))
        else:
            told = caplog.text
    assert error.__name__ in told
