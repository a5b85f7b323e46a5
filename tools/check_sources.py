# SPDX-License-Identifier: Apache-2.0
"""The rules for the Python sources of the distributions: what they import from each other, and their licence lines."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import distributions as d

BASE = "vdk.plugin.datasource_base"
SQL = "vdk.plugin.datasource_sql"
PUBLIC = {
    *(BASE, f"{BASE}.contract", f"{BASE}.parts", f"{BASE}.testing", f"{BASE}.testing.faults"),
    *(SQL, f"{SQL}.cursors", f"{SQL}.kinds"),
}
"""The modules of this repository that other distributions import; a plugin has none below its own package."""
LICENCE_LINE = "# SPDX-License-Identifier: Apache-2.0"


def check_sources(everything: Iterable[d.Distribution]) -> Iterator[str]:
    """The problems of all sources, each with the file it is in."""
    folders = {f"vdk.plugin.{each.package}": each.folder / "src" for each in everything}
    for package, folder in folders.items():
        for path in sorted(folder.rglob("*.py")):
            for problem in private_imports(path.read_text("utf-8"), package, folders):
                yield f"{path.relative_to(d.ROOT)}: {problem}"
    yield from check_licence_lines(path for folder in folders.values() for path in folder.rglob("*.py"))


def private_imports(source: str, package: str, packages: Iterable[str]) -> Iterator[str]:
    """What a module of ``package`` imports from modules that are private to another of ``packages``."""
    others = [f"{other}." for other in packages if other != package]
    for node in ast.walk(ast.parse(source)):
        for name in imported(node):
            if name not in PUBLIC and any(name.startswith(other) for other in others):
                yield f"line {node.lineno} imports {name}, which is private; import from {public_parent(name)}"  # type: ignore[attr-defined]


def imported(node: ast.AST) -> list[str]:
    """The modules that a statement names from the root of all packages."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level and node.module:
        return [node.module]
    return []


def public_parent(name: str) -> str:
    while name not in PUBLIC and name.count(".") > 2:
        name = name.rpartition(".")[0]
    return name


def check_licence_lines(paths: Iterable[Path]) -> Iterator[str]:
    """All modules begin with the licence line, or none does: a file without it among others is of another licence."""
    missing = {path: not path.read_text("utf-8").startswith(f"{LICENCE_LINE}\n") for path in paths}
    if not all(missing.values()):
        yield from (
            f"{path.relative_to(d.ROOT)}: its first line must be {LICENCE_LINE}" for path in missing if missing[path]
        )
