"""A plugin cannot remove a check from the suite, except in `xfails` with the reason."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

from vdk.plugin.datasource_base.testing import DataSourceConformance

SUITE = """
    import pytest
    from vdk.plugin.datasource_base import ConnectionFailedError, DataSource, DataSourceConfig
    from vdk.plugin.datasource_base.testing import DataSourceConformance

    class Away(DataSource):
        def streams(self):
            return []

        def check(self):
            {check}

    {decorator}
    class TestAway(DataSourceConformance):
        xfails = {xfails}

        @pytest.fixture
        def source(self):
            return lambda: Away(DataSourceConfig())
"""
CHECK = "test_check_accepts_existing_data"
FAILS = "raise ConnectionFailedError('nobody is there')"
KNOWN = {CHECK: "the server is not built yet"}


def outcome(
    pytester: pytest.Pytester, check: str = FAILS, xfails: dict[str, str] | None = None, decorator: str = ""
) -> pytest.RunResult:
    pytester.makepyfile(dedent(SUITE).format(check=check, xfails=xfails or {}, decorator=decorator))
    return pytester.runpytest_inprocess("-k", CHECK, "-rxX", "-p", "no:cacheprovider")


def test_a_check_cannot_be_redefined() -> None:
    """Neither by another function nor by None, which would remove it."""
    for replacement in (lambda self: None, None):
        with pytest.raises(TypeError, match=f"redefines {CHECK}, a check of the conformance suite.*xfails"):
            type("TestAcme", (DataSourceConformance,), {CHECK: replacement})


def test_a_check_cannot_be_hidden_by_another_base_class() -> None:
    """The first of the base classes wins, so its names are checked as well."""
    hiding = type("Hiding", (), {CHECK: lambda self: None})
    with pytest.raises(TypeError, match=f"Hiding redefines {CHECK}"):
        type("TestAcme", (hiding, DataSourceConformance), {})


def test_the_parts_of_the_suite_cannot_be_redefined() -> None:
    """The checks depend on these parts."""
    with pytest.raises(TypeError, match="redefines landing, a part of the conformance suite"):
        type("TestAcme", (DataSourceConformance,), {"landing": None})


@pytest.mark.parametrize("reason", ["", "  ", None, True])
def test_a_known_failure_needs_a_reason(reason: object) -> None:
    """An xfail without a reason is a check that somebody found inconvenient."""
    with pytest.raises(TypeError, match=rf"xfails\['{CHECK}'\] is .*, expected the reason"):
        type("TestAcme", (DataSourceConformance,), {"xfails": {CHECK: reason}})


def test_a_known_failure_names_a_check() -> None:
    """The entry of a renamed check must be deleted."""
    with pytest.raises(TypeError, match="xfails names 'test_nothing', which is not a check of this class: delete it"):
        type("TestAcme", (DataSourceConformance,), {"xfails": {"test_nothing": "because"}})


def test_a_failing_check_fails_and_shows_its_values(pytester: pytest.Pytester) -> None:
    """The message says what to do, and pytest's rewriting of asserts shows what was compared."""
    result = outcome(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*check() raised ConnectionFailed* for data that can be read, expected none*"])
    result.stdout.fnmatch_lines(["*assert ConnectionFailedError('nobody is there') is None*"])


def test_a_known_failure_is_an_xfail_with_its_reason(pytester: pytest.Pytester) -> None:
    """The check still runs, and the report contains the reason."""
    result = outcome(pytester, xfails=KNOWN)
    result.assert_outcomes(xfailed=1)
    result.stdout.fnmatch_lines(["*the server is not built yet*"])


def test_a_known_failure_that_passes_fails(pytester: pytest.Pytester) -> None:
    """An entry that is no longer needed must be deleted, whatever the settings of the plugin."""
    result = outcome(pytester, check="return", xfails=KNOWN)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*XPASS(strict)*the server is not built yet*"])


def test_a_mark_on_the_class_ends_the_session(pytester: pytest.Pytester) -> None:
    """``@pytest.mark.xfail`` over everything would turn the whole suite off in one line."""
    result = outcome(pytester, decorator="@pytest.mark.xfail(reason='all of it')")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*a check cannot be marked xfail; write in the class: xfails = *"])


READS = """
    import pyarrow as pa
    import pytest
    from vdk.plugin.datasource_base import DataSource, DataSourceConfig, DataSourceStream
    from vdk.plugin.datasource_base import DataSourcePayload, StreamSchema
    from vdk.plugin.datasource_base.testing import DataSourceConformance

    class Numbers(DataSourceStream):
        name = "numbers"

        def schema(self, table=None):
            return StreamSchema(pa.schema([("id", pa.int64())]), ("id",))

        def read(self, state):
            {read}

    class Counted(DataSource):
        def streams(self):
            return [Numbers()]

    class TestCounted(DataSourceConformance):
        @pytest.fixture
        def source(self):
            return lambda: Counted(DataSourceConfig())
"""


@pytest.mark.parametrize(
    ("read", "cause"),
    [
        ("yield 1 / 0", "read() of stream 'numbers' raises ZeroDivisionError: division by zero"),
        ("yield DataSourcePayload([{'id': 'x'}])", "a run of Counted raises FlowFailedError: *'x'*"),
    ],
)
def test_a_source_that_cannot_be_read_is_one_failure(pytester: pytest.Pytester, read: str, cause: str) -> None:
    """Twenty failures would hide their one cause, such as a value that is not of its column's type."""
    pytester.makepyfile(dedent(READS).format(read=read))
    checks = "stopping_after or crash_at or plan_after or of_removed_streams"
    result = pytester.runpytest_inprocess("-k", checks, "-rfs", "-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert (outcomes["failed"], outcomes["skipped"] >= 3) == (1, True), outcomes
    result.stdout.fnmatch_lines([f"*skipped, since test_* failed: {cause}*"])


def test_a_plugin_may_add_tests_of_its_own(pytester: pytest.Pytester) -> None:
    """A class of the suite may have tests beside the checks, with any marks."""
    own = "\n    @pytest.mark.xfail(reason='not yet')\n    def test_of_our_own(self):\n        assert False\n"
    pytester.makepyfile(dedent(SUITE).format(check=FAILS, xfails={}, decorator="") + own)
    result = pytester.runpytest_inprocess("-k", "test_of_our_own", "-p", "no:cacheprovider")
    result.assert_outcomes(xfailed=1)


def test_without_pytest_the_error_says_what_to_install() -> None:
    """Only the suite needs pytest, not the package and not the memory destination."""
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "from vdk.plugin.datasource_base.testing import MemoryDestination\n"
        "try:\n    from vdk.plugin.datasource_base.testing import DataSourceConformance\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'vdk-datasource-base[testing]'" in done.stdout
