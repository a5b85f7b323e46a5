# SPDX-License-Identifier: Apache-2.0
"""The words that no text and no name of this repository uses, in one place.

A reader who knows dlt, Singer, Airbyte or SQLAlchemy should recognise each name and read each sentence once. What is
banned here was read twice by somebody.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PHRASES = re.compile(
    r"\b(?:told|said|anew|whence|for ever|of a person's|taken for|is away|are away"
    r"|(?<!there )(?:is|are|was|were) no (?!longer))\b",
    re.IGNORECASE,
)
"""Write instead: reported, sets, states; again; from where; forever; is not a; treated as; is unreachable."""

NAMES = frozenset({"one", "at", "found", "told", "said", "wanted", "where", "there"})
"""As variables and parameters: they say nothing about the value."""


def check_words() -> list[str]:
    """The problems of all texts and sources."""
    return problems([*TEXTS, *SOURCES], phrases_in) + problems(SOURCES, names_in)


def files(*patterns: str) -> list[Path]:
    paths = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(paths)


TEXTS = files("*.md", "docs/**/*.md", "changes/*.md", "packages/*/README.md", "plugins/*/README.md", "template/**/*.md")
# This file lists the words, so it is not among them.
SOURCES = [
    path
    for path in files(
        "packages/*/src/**/*.py", "plugins/*/src/**/*.py", "template/**/*.py", "tools/*.py", "examples/*/*.py"
    )
    if path.name != "check_words.py"
]


def phrases_in(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        for match in PHRASES.finditer(line):
            yield f"line {number}: {match.group(0)!r} in {line.strip()!r}"


def names_in(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    fields = {field.target for body in bodies for field in body if isinstance(field, ast.AnnAssign)}  # users' options
    for node in ast.walk(tree):
        if node in fields:
            continue
        if isinstance(node, ast.arg) and node.arg in NAMES:
            yield f"line {node.lineno}: {node.arg}"
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in NAMES:
            yield f"line {node.lineno}: {node.id}"


def problems(paths: list[Path], check: Callable[[str], Iterator[str]]) -> list[str]:
    return [f"{path.relative_to(ROOT)}, {problem}" for path in paths for problem in check(path.read_text("utf-8"))]
