# SPDX-License-Identifier: Apache-2.0
"""States as people see them: how far a stream was read, in the words of its source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support import Lab, ScriptedSource
from vdk.plugin.datasource_base.integration.texts.state_texts import MAX_WIDTH, StateTexts

HASH = "IXsSzCKnhIwIXsSzCKnhIwAA=="


def describe(state: Mapping[str, Any]) -> str | None:
    """Of what has a ``cursor``; a state without its value is damaged."""
    return f"{state['cursor']} {state['high']}" if "cursor" in state else None


@pytest.fixture
def texts(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateTexts:
    lab = Lab(request.node.name, tmp_path)
    monkeypatch.setattr(ScriptedSource, "describe_state", describe)
    return StateTexts(lab.flow(), lab.environment())


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({}, "not read yet"),
        ({"v": 1, "cursor": "at", "high": 7, "overlap": HASH, "oldest": [[1, [2]]]}, "at 7"),
        ({"v": 1, "next": 5, "hash": HASH, "none": None, "full": False}, "next 5, full false"),
        ({"at": {"day": "2026-01-31", "seen": []}}, "at (day 2026-01-31)"),
        ({"id": "3fa85f64-5717-4562-b3fc-2c963f66afa6"}, "id 3fa85f64-5717-4562-b3fc-2c963f66afa6"),
        ({"cursor": "at"}, "cursor at"),  # which the source cannot describe
        ({"hash": HASH}, "…"),
        ({"next": "x" * 15 + " " + "y" * MAX_WIDTH}, f"next {'x' * 15} {'y' * (MAX_WIDTH - 21)}…"),
    ],
)
def test_a_state_is_shown_in_the_words_of_its_source(texts: StateTexts, state: dict[str, Any], text: str) -> None:
    """Or as its JSON, without what only programs read."""
    assert texts.of("src", state) == text


def test_the_state_of_a_source_that_is_in_the_file_no_more_is_shown(texts: StateTexts) -> None:
    assert texts.of("former", {"cursor": "at", "high": 7}) == "cursor at, high 7"


@pytest.mark.parametrize(
    ("partitions", "text"),
    [
        ({}, "none"),
        ({"": 1}, "next 1"),
        ({"a": 1}, "1 partition (a: next 1)"),
        ({"a": 1, "b": 2}, "2 partitions (a: next 1; b: next 2)"),
        ({str(number): number for number in range(5000)}, "5,000 partitions (0: next 0; 1: next 1; 2: next 2; …)"),
    ],
)
def test_the_states_of_a_stream_say_how_many_there_are(
    texts: StateTexts, partitions: dict[str, int], text: str
) -> None:
    assert texts.of_stream("src", {name: {"next": number} for name, number in partitions.items()}) == text
