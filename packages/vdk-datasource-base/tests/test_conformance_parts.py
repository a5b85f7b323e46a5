"""Parts of the conformance suite that no broken source covers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from conformance_cases import OrderEditor, ShopCase
from reference_shop import Orders, ShopConfig, ShopSource, make_shop
from vdk.plugin.datasource_base import StreamSchema
from vdk.plugin.datasource_base.testing.conformance.harness.landing import Landing

pytestmark = pytest.mark.heavy


class CursorlessOrders(Orders):
    incremental = True

    def schema(self, table: str | None = None) -> StreamSchema | None:
        schema = super().schema(table)
        return replace(schema, cursor=None) if schema is not None else None


class Cursorless(ShopSource):
    orders = CursorlessOrders


class TimelessEditor(OrderEditor):
    far_future = None  # type: ignore[assignment]  # as a plugin may set it


def test_the_check_of_the_far_future_is_skipped_without_a_cursor(tmp_path: Path) -> None:
    """A stream without a cursor cannot have one that is too high."""
    database = tmp_path / "shop.db"
    make_shop(database)
    with Landing.fresh() as landing, pytest.raises(pytest.skip.Exception, match="the cursor is not a time"):
        ShopCase().test_a_row_from_the_far_future_does_not_hide_later_rows(
            lambda: Cursorless(ShopConfig(database=database)), TimelessEditor(database), landing
        )


UNREACHABLE = """
    import pytest
    from conformance_cases import ShopCase
    from reference_shop import ShopConfig, ShopSource
    from vdk.plugin.datasource_base import ConnectionFailedError

    class Unreachable(ShopSource):
        def {method}(self, *arguments):
            raise ConnectionFailedError("no server at port 5432")

    class TestUnreachable(ShopCase):
        shop = Unreachable
        xfails = {xfails}
"""
FIRST = "test_connecting_again_changes_nothing"


def run_suite(
    pytester: pytest.Pytester, method: str, *options: str, own: str = "", xfails: dict[str, str] | None = None
) -> tuple[dict[str, int], str]:
    """The counts of outcomes, and the report, of the whole suite over a source that raises in one method."""
    pytester.makepyfile(dedent(UNREACHABLE).format(method=method, xfails=xfails or {}) + own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        result = pytester.runpytest_subprocess("-rA", "-p", "no:cacheprovider", *options, timeout=200)
    return result.parseoutcomes(), result.stdout.str()


def _failed(report: str) -> str:
    """The one check that failed, or could not begin."""
    (name,) = re.findall(r"^(?:FAILED|ERROR) \S+::TestUnreachable::(\w+)", report, re.MULTILINE)
    return str(name)


@pytest.mark.parametrize("method", ["connect", "streams"])
def test_a_source_that_cannot_connect_is_one_failure(pytester: pytest.Pytester, method: str) -> None:
    """Forty failures would hide their one cause; a check that needs no connection still reports its own result."""
    counts, report = run_suite(pytester, method, "-k", "not payload")
    assert counts["failed"] == 1, report
    assert "errors" not in counts, report
    assert counts["skipped"] >= 40, report
    cause = f"{method}() of Unreachable raises ConnectionFailedError: no server at port 5432"
    assert f"skipped, since {_failed(report)} failed: {cause}" in report
    assert f"Failed: {cause}. Other checks depend on it and are skipped" in report
    assert (
        "PASSED test_a_source_that_cannot_connect_is_one_failure.py::TestUnreachable::test_the_source_is_declared"
        in report
    )


@pytest.mark.parametrize("body", ["return lambda: 1 / 0", "1 / 0"], ids=["function", "fixture"])
def test_a_fixture_that_cannot_make_a_source_is_one_failure(pytester: pytest.Pytester, body: str) -> None:
    """Each check that uses it would show the same traceback."""
    own = f"\n    @pytest.fixture\n    def source(self):\n        {body}\n"
    counts, report = run_suite(
        pytester, "nothing", "-k", "test_every or test_keys or test_states or test_the_so", own=own
    )
    assert counts.get("failed", 0) + counts.get("errors", counts.get("error", 0)) == 1, report
    assert "passed" not in counts, report
    assert counts["skipped"] >= 8, report
    assert re.search(
        rf"skipped, since {_failed(report)} failed: the .*fixture `source` raises ZeroDivisionError", report
    )


def test_a_known_failure_is_not_the_one_that_names_the_cause(pytester: pytest.Pytester) -> None:
    """It is expected, so the others would be skipped in a run that succeeds."""
    counts, report = run_suite(pytester, "connect", "-k", "test_keys or again_changes", xfails={FIRST: "not built yet"})
    assert (counts["xfailed"], counts["failed"]) == (1, 1), report
    assert f"skipped, since {_failed(report)} failed: connect() of Unreachable raises" in report
    assert _failed(report) != FIRST


def test_a_failure_of_another_reason_stays_one(pytester: pytest.Pytester) -> None:
    """A wrong option is reported, whether the server is reachable or not."""
    fixture = "    @pytest.fixture\n    def other_source(self, source):\n        return source\n"
    own = f"\nclass TestOwn(TestUnreachable):\n{fixture}"
    counts, report = run_suite(pytester, "connect", "-k", "TestOwn and (test_keys or two_identities)", own=own)
    assert counts["failed"] == 2, report
    assert counts["skipped"] == 2, report
    assert "for two sets of data: include the path or the URL" in report
