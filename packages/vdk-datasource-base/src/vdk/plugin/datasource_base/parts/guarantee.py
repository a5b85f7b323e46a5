# SPDX-License-Identifier: Apache-2.0
"""How often a row lands, whatever ends a run: exactly or at least once, why, and which tests prove it.

``RULES`` is what ``check``, the summary, the report and the table in docs/delivery.md say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .destination import WriteMode

Level = Literal["exactly_once", "at_least_once"]
_CHECKS = "vdk.plugin.datasource_base.testing.conformance.checks"
_SOURCE = (
    f"{_CHECKS}.states::test_a_crash_at_any_commit_loses_nothing",
    f"{_CHECKS}.states::test_stopping_after_any_payload_loses_nothing",
    f"{_CHECKS}.states::test_a_second_run_changes_nothing",
)
"""What a source's own tests prove, which inherit the conformance suite."""
_KILLS = "plugins/vdk-ingest-arrow/tests/test_kills.py"


@dataclass(frozen=True, slots=True)
class Rule:
    """One guarantee.

    :param when: the configuration, for the docs. :param reason: what follows "because"; ``{destination}`` is its name.
    :param proof: the conformance checks and tests that fail if it is not so. :param remedy: how to get exactly once.
    """

    level: Level
    when: str
    reason: str
    proof: Sequence[str]
    remedy: str = ""


RULES = {
    "apart": Rule(
        "at_least_once",
        "any other VDK ingestion plugin",
        "{destination} stores rows before their state: what follows the last stored state may land again",
        ("packages/vdk-datasource-base/tests/test_kills.py::"
         "test_a_process_killed_at_any_instant_repeats_only_what_no_state_covers",),
        'land in DuckDB, SQLite, PostgreSQL or Parquet, with method = "arrow"',
    ),
    "replaced": Rule(
        "exactly_once",
        "a table that is replaced, and every full refresh",
        "the table and its states are replaced in one transaction of {destination}",
        (f"{_KILLS}::test_a_killed_full_refresh_leaves_the_old_table_and_the_old_states", *_SOURCE[2:]),
    ),
    "together": Rule(
        "exactly_once",
        "an incremental stream, appended or upserted",
        "rows and state commit together in {destination}",
        (f"{_KILLS}::test_a_process_killed_at_any_instant_neither_loses_nor_doubles_a_row", *_SOURCE),
    ),
    "keyed": Rule(
        "exactly_once",
        "an upserted stream without states, or a range of a stream",
        "a row that is read again replaces itself, by its primary key, in {destination}",
        ("plugins/vdk-ingest-arrow/tests/test_operations.py::test_a_table_is_what_a_dict_would_be", *_SOURCE[2:]),
    ),
    "range": Rule(
        "at_least_once",
        "a range (`--since`, `--until`) that is appended",
        "a range has no state: its rows are appended again in each run of it",
        ("packages/vdk-datasource-base/tests/test_guarantee.py::test_a_range_is_appended_again",),
        'write write_mode = "upsert"',
    ),
    "stateless": Rule(
        "at_least_once",
        "a stream without states that is appended",
        "the stream has no state: each run appends all its rows again",
        ("packages/vdk-datasource-base/tests/test_guarantee.py::test_rows_without_a_state_are_appended_again",),
        'write write_mode = "replace" or "upsert"',
    ),
}  # fmt: skip
"""In the order of the docs. The first that fits counts."""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """The guarantee of one stream."""

    rule: str
    destination: str

    @classmethod
    def of(
        cls,
        *,
        destination: str,
        transactional: bool,
        replaces: bool,
        mode: WriteMode,
        is_range: bool,
        incremental: bool,
    ) -> Guarantee:
        """:param replaces: the table is replaced as a whole. :param incremental: the stream has states."""
        if not transactional:
            rule = "apart"
        elif replaces:
            rule = "replaced"
        elif incremental and not is_range:
            rule = "together"
        elif mode == "upsert":
            rule = "keyed"
        else:
            rule = "range" if is_range else "stateless"
        return cls(rule, destination)

    @property
    def level(self) -> Level:
        return RULES[self.rule].level

    @property
    def reason(self) -> str:
        return RULES[self.rule].reason.format(destination=self.destination)

    def __str__(self) -> str:
        return f"{self.level.replace('_', ' ')}, because {self.reason}"

    def as_dict(self) -> dict[str, Any]:
        return {"level": self.level, "reason": self.reason, "proof": list(RULES[self.rule].proof)}


def guarantees_table() -> str:
    """The table of the docs, in Markdown."""
    lines = ["| configuration | guarantee | proof |", "|---|---|---|"]
    for rule in RULES.values():
        proofs = "<br>".join(f"`{name.rpartition('::')[2]}`" for name in rule.proof)
        reason = rule.reason.replace("{destination}", "the destination")
        lines.append(f"| {rule.when} | {rule.level.replace('_', ' ')}, because {reason} | {proofs} |")
    return "\n".join(lines)
