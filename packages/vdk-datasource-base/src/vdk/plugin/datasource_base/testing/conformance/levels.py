# SPDX-License-Identifier: Apache-2.0
"""The level that a source has, by the checks that it passed, in the last lines of pytest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import pytest

from .capabilities import CAPABILITIES, LEVELS, Level

NOT_APPLICABLE = "does not apply: "
"""What the reason of a skip begins with if the source need not pass the check."""
_NAME = "vdk-datasource-conformance-levels"
_NAMED = 5
"""Checks that are named as missing for a level."""


@dataclass(slots=True)
class Checked:
    """The checks of one test class.

    :param levels: the level that each check belongs to. :param outcomes: why each that has ended was not passed; None:
        it was passed, or does not apply. :param capabilities: those that are declared; None: the class declares none.
    """

    name: str
    levels: Mapping[str, Level]
    capabilities: Collection[str] | None = None
    outcomes: dict[str, str | None] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether the class has checks of every level, and each has ended."""
        return set(self.levels.values()) == set(LEVELS) and set(self.levels) == set(self.outcomes)

    def lacking(self, level: Level) -> dict[str, str]:
        """The checks of a level that were not passed, with the reason."""
        return {
            name: reason for name, reason in self.outcomes.items() if reason is not None and self.levels[name] == level
        }

    @property
    def level(self) -> Level | None:
        """The highest level of which all checks, and all those of the levels before it, were passed."""
        reached: Level | None = None
        for level in LEVELS:
            if self.lacking(level):
                break
            reached = level
        return reached

    @property
    def lines(self) -> list[str]:
        """``TestAcme: beta (draft 30 of 30, beta 41 of 41, stable 20 of 22)``, then what is missing."""
        counts = []
        for level in LEVELS:
            needed = sum(each == level for each in self.levels.values())
            counts.append(f"{level} {needed - len(self.lacking(level))} of {needed}")
        result = [f"{self.name}: {self.level or 'no level'} ({', '.join(counts)})"]
        following = next((level for level in LEVELS if self.lacking(level)), None)
        if following is not None:
            lacking = self.lacking(following)
            result += [f"  {following} needs {name}: {reason}" for name, reason in list(lacking.items())[:_NAMED]]
            result += [f"  and {len(lacking) - _NAMED} more"] if len(lacking) > _NAMED else []
        others = [name for name in CAPABILITIES if self.capabilities is not None and name not in self.capabilities]
        if others:
            result.append(f"  not declared, so not checked: {', '.join(others)}")
        return result


class LevelReport:
    """Notes how the checks of a session end, and prints the level of each class whose checks all ran."""

    def __init__(self) -> None:
        self._classes: dict[str, Checked] = {}
        self._checks: dict[str, tuple[Checked, str]] = {}

    @classmethod
    def of(cls, config: pytest.Config) -> LevelReport:
        """The report of this session of pytest."""
        report = config.pluginmanager.get_plugin(_NAME)
        if not isinstance(report, cls):
            report = cls()
            config.pluginmanager.register(report, _NAME)
        return report

    def begin(self, request: pytest.FixtureRequest, checked: Checked) -> None:
        """A check of a class begins. :param checked: without outcomes."""
        node, check = request.node.nodeid, request.function.__name__
        self._checks[node] = self._classes.setdefault(node.rpartition("::")[0], checked), check

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.nodeid not in self._checks:
            return
        checked, check = self._checks[report.nodeid]
        if report.when == "call" or not report.passed:
            checked.outcomes[check] = checked.outcomes.get(check) or _reason(report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        whole = [checked for checked in self._classes.values() if checked.is_whole]
        if whole:
            terminalreporter.section("conformance")
        for checked in whole:
            for line in checked.lines:
                terminalreporter.line(line)


def _reason(report: pytest.TestReport) -> str | None:
    """Why a check was not passed; None: it was, or does not apply."""
    if report.passed:
        return None
    if known := getattr(report, "wasxfail", None):
        return f"known to fail: {known}"
    if report.failed:
        return "it failed"
    text = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = text.removeprefix("Skipped: ")
    return None if reason.startswith(NOT_APPLICABLE) else reason
