"""One declared set selects the checks of a source, and the suite says which level the source has."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from vdk.plugin.datasource_base.testing import CAPABILITIES, DataSourceConformance, SourceConformance
from vdk.plugin.datasource_base.testing.conformance.base import checks_of
from vdk.plugin.datasource_base.testing.conformance.capabilities import Level
from vdk.plugin.datasource_base.testing.conformance.levels import Checked

FIXTURES = dict.fromkeys(("bad_source", "editor", "log", "source_at", "good_server"), lambda self: None)


def declared(*capabilities: str, base: type = SourceConformance, **members: Any) -> type[SourceConformance]:
    return type("TestAcme", (base,), {"capabilities": set(capabilities), **FIXTURES, **members})


def test_a_class_has_the_checks_of_its_capabilities() -> None:
    """What is not declared is not collected, and what every source must pass always is."""
    cls = declared("log", "partitions")
    names = set(checks_of(cls))
    assert {"test_the_source_is_declared", "test_only_the_new_row_of_a_log_is_read", "test_a_stream_is_split"} <= names
    left_out = (
        "test_a_row_that_cannot_land_is_named",
        "test_a_silent_server_times_out",
        "test_check_refuses_missing_data",
    )
    for name in left_out:
        assert name not in names
        assert not callable(getattr(cls, name))


def test_a_derived_class_may_declare_others() -> None:
    """Its checks are those of its own set."""
    cls = declared("incremental", base=declared("log"))
    assert "test_only_the_new_row_of_a_log_is_read" not in checks_of(cls)
    assert callable(cls.test_the_stream_yields_a_state)


@pytest.mark.parametrize(
    ("capabilities", "base", "message"),
    [
        (["partition"], SourceConformance, "capabilities has 'partition'; did you mean 'partitions'"),
        (["bad_rows"], SourceConformance, "'bad_rows', and the class does not define its fixture `with_bad_row`"),
        (["log"], DataSourceConformance, "has 'log', whose checks the class does not inherit: derive it from Source"),
    ],
)
def test_a_capability_that_cannot_be_checked_is_an_error(capabilities: list[str], base: type, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        declared(*capabilities, base=base)


def test_a_class_with_every_check_must_declare_what_its_source_can_do() -> None:
    """The error is the list to choose from."""
    with pytest.raises(TypeError, match=f"capabilities = .*{'.*'.join(CAPABILITIES)}"):
        type("TestAcme", (SourceConformance,), {})


@pytest.mark.parametrize(
    ("lacking", "level", "count"),
    [
        ({}, "stable", "draft 1 of 1, beta 1 of 1, stable 2 of 2"),
        ({"d": "it failed"}, "beta", "draft 1 of 1, beta 1 of 1, stable 1 of 2"),
        ({"b": "known to fail: not yet", "d": "it failed"}, "draft", "draft 1 of 1, beta 0 of 1, stable 1 of 2"),
        ({"a": "it failed"}, "no level", "draft 0 of 1, beta 1 of 1, stable 2 of 2"),
    ],
)
def test_a_level_needs_its_checks_and_those_before(lacking: dict[str, str], level: str, count: str) -> None:
    """A source that fails a check of draft is not stable, whatever else it passes."""
    levels: dict[str, Level] = {"a": "draft", "b": "beta", "c": "stable", "d": "stable"}
    checked = Checked("TestAcme", levels, outcomes={**dict.fromkeys(levels), **lacking})
    assert checked.lines[0] == f"TestAcme: {level} ({count})"
    assert len(checked.lines) == 1 + bool(lacking)


SHOP = """
    import pytest
    from conformance_cases import ShopCase

    class TestShop(ShopCase):
        xfails = {"test_check_ends_in_time": "it is slow today"}

        @pytest.fixture
        def source(self, database):
            return lambda: Slow(self.shop.config_type(database=database))

        @pytest.fixture
        def with_bad_row(self):
            return None

    class Slow(ShopCase.shop):
        def check(self):
            __import__("time").sleep(0.5)
            super().check()
"""


def printed(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    pytester.makepyfile(dedent(SHOP))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        return pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", *options, timeout=200)


@pytest.mark.heavy
def test_the_level_is_printed(pytester: pytest.Pytester) -> None:
    """With numbers, and with what the next level needs; a known failure was not passed."""
    result = printed(pytester)
    result.stdout.fnmatch_lines(
        ["TestShop: no level (draft * of *)", "  draft needs test_check_ends_in_time: known to fail: it is slow today"]
    )


@pytest.mark.heavy
def test_some_checks_alone_have_no_level(pytester: pytest.Pytester) -> None:
    """Whoever runs one check would read that the source has no level."""
    result = printed(pytester, "-k", "identity")
    assert "TestShop" not in result.stdout.str()
    assert result.ret == 0
