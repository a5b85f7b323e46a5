# SPDX-License-Identifier: Apache-2.0
"""Which guarantee a configuration has, what it says, and that every claim names tests that exist."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support import Lab, Whole, counting, numbers, payload
from vdk.plugin.datasource_base import ConfigurationError, StreamSchema
from vdk.plugin.datasource_base.parts.guarantee import RULES, guarantees_table
from vdk.plugin.datasource_base.runtime import execute
from vdk.plugin.datasource_base.runtime.inspect.check import check_flow
from vdk.plugin.datasource_base.runtime.report.html.page import Page
from vdk.plugin.datasource_base.runtime.report.observer import RunContext
from vdk.plugin.datasource_base.runtime.scope import RunScope

ROOT = Path(__file__).resolve().parents[3]
KEYED = StreamSchema(pa.schema([("n", pa.int64())]), ("n",))


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Lab:
    return Lab(request.node.name, tmp_path)


class Ranged(Whole):
    def between(self, begin: str | None, end: str | None) -> Whole:
        return Whole(self.name, lambda state: iter([payload(*numbers(2, 4))]), self._schema, incremental=True)


def incremental() -> Whole:
    return Ranged("t", counting(5), KEYED)


def whole() -> Whole:
    return Whole("t", lambda state: iter([payload(*numbers(0, 3))]), KEYED)


@pytest.mark.parametrize(
    ("stream", "scope", "entry", "rule"),
    [
        (incremental(), RunScope(), {}, "together"),
        (incremental(), RunScope(), {"write_mode": "append"}, "together"),
        (incremental(), RunScope(full_refresh=True), {}, "replaced"),
        (whole(), RunScope(), {}, "replaced"),
        (whole(), RunScope(), {"write_mode": "upsert"}, "keyed"),
        (incremental(), RunScope(since="2"), {}, "keyed"),
        (incremental(), RunScope(since="2", confirmed=True), {"write_mode": "append"}, "range"),
        (whole(), RunScope(), {"write_mode": "append"}, "stateless"),
        (incremental(), RunScope(), {"method": "AppendOnly"}, "apart"),
    ],
)
def test_a_configuration_has_one_guarantee_which_all_outputs_name(
    lab: Lab, stream: Whole, scope: RunScope, entry: dict[str, Any], rule: str
) -> None:
    """The summary, the report and ``check``; and a flow that requires more than that is refused."""
    lab.script(stream)
    environment = lab.environment()
    environment.scope = scope
    summary = execute(lab.flow(**entry), environment)
    (report,) = summary.streams
    assert report.guarantee is not None
    assert report.guarantee.rule == rule
    text = str(report.guarantee)
    assert text.startswith(RULES[rule].level.replace("_", " "))
    assert text in summary.table()
    assert summary.as_dict()["streams"][0]["guarantee"]["proof"]
    assert text in Page(summary, RunContext("t", "run", summary.redact)).html()
    checked = check_flow(lab.flow(**entry), environment)[-1]
    assert checked.message.endswith(text)
    assert checked.as_dict()["guarantees"][0]["level"] == RULES[rule].level
    required = lab.flow(require="exactly_once", **entry)
    if RULES[rule].level == "exactly_once":
        execute(required, environment)
    else:
        with pytest.raises(ConfigurationError, match="land at least once, because"):
            execute(required, environment)


def test_rows_without_a_state_are_appended_again(lab: Lab) -> None:
    for _ in range(2):
        lab.run(whole(), write_mode="append")
    assert lab.numbers("t") == [0, 0, 1, 1, 2, 2]


def test_a_range_is_appended_again(lab: Lab) -> None:
    lab.script(incremental())
    environment = lab.environment()
    environment.scope = RunScope(since="2", until="4", confirmed=True)
    for _ in range(2):
        execute(lab.flow(write_mode="append"), environment)
    assert lab.numbers("t") == [2, 2, 3, 3]


@pytest.mark.parametrize("name", {name: None for rule in RULES.values() for name in rule.proof})
def test_every_claim_names_a_test_that_exists(name: str) -> None:
    module, _, function = name.partition("::")
    path = ROOT / module if module.endswith(".py") else Path(str(importlib.import_module(module).__file__))
    tree = ast.parse(path.read_text("utf-8"))
    assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_docs_have_the_rules() -> None:
    assert guarantees_table() in (ROOT / "docs" / "delivery.md").read_text("utf-8"), "run tools/make_reference.py"
