# SPDX-License-Identifier: Apache-2.0
"""docs/architecture.md is true: the modules that it names exist, and its tables list every import between folders.

So is docs/protocol.md: the functions and the tests of its steps exist.

A new import between folders is a decision: it is written down on the page, or it is not made.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Set

import distributions as d
from check_sources import PUBLIC

Edges = Mapping[str, Set[str]]
"""Folder -> the other folders that its modules import."""

BASE = "datasource_base"
MODULES = {
    path.relative_to(source / "vdk" / "plugin").as_posix(): path
    for source in [*d.ROOT.glob("packages/*/src"), *d.ROOT.glob("plugins/*/src")]
    for path in source.rglob("*.py")
}
FOLDERS = {module.rpartition("/")[0] for module in MODULES}
SHARED = {name.removeprefix("vdk.plugin.").replace(".", "/") for name in PUBLIC} & FOLDERS
"""The folders that other distributions import."""


def check_architecture() -> Iterator[str]:
    page = (d.ROOT / "docs" / "architecture.md").read_text("utf-8")
    listed, made = listed_edges(page), edges()
    problems = [*unlisted(listed, made), *outdated(listed, made), *missing_modules(page)]
    yield from (f"docs/architecture.md: {problem}" for problem in problems)
    steps = (d.ROOT / "docs" / "protocol.md").read_text("utf-8")
    yield from (f"docs/protocol.md: {name} does not exist" for name in missing_steps(steps))


def unlisted(listed: Edges, made: Edges) -> Iterator[str]:
    """The imports that the tables do not list. A plugin of one folder needs no row."""
    for folder, targets in made.items():
        if folder == BASE:  # the package's own front door
            continue
        new = targets - listed.get(folder, set())
        if not folder.startswith(f"{BASE}/"):
            new = new - SHARED
        if new:
            yield f"{folder} imports {sorted(new)}, which its row does not list"
        elif folder not in listed and "/" in folder:
            yield f"the folder {folder} has no row"


def outdated(listed: Edges, made: Edges) -> Iterator[str]:
    """The rows that mislead, since their folder or an import of it no longer exists."""
    for folder, targets in listed.items():
        if folder not in made:
            yield f"{folder} does not exist"
        elif old := targets - made[folder]:
            yield f"{folder} does not import {sorted(old)}"


def missing_modules(page: str) -> Iterator[str]:
    """The files and folders that the page names and a reader would not find."""
    for name in {name for name in re.findall(r"`([\w/]+(?:\.py|/))`", page) if "/" in name}:
        places = MODULES if name.endswith(".py") else {f"{folder}/" for folder in FOLDERS}
        if not any(place == name or place.endswith(f"/{name}") for place in places):
            yield f"{name} does not exist"


def missing_steps(page: str) -> Iterator[str]:
    """The classes, methods and tests that the rows of the steps name, and that no module defines."""
    tests = [path for folder in ("packages", "plugins") for path in d.ROOT.glob(f"{folder}/*/tests/*.py")]
    text = "\n".join(path.read_text("utf-8") for path in [*MODULES.values(), *tests])
    for row in re.findall(r"^\| \*\*.*$", page, re.MULTILINE):
        for name in re.findall(r"`([\w.]+)(?:\[[^`]*\])?`", row):
            owner, _, method = name.rpartition(".")
            defined = [rf"^class {owner}\b", rf"^    def {method}\b"] if owner else [rf"^(?:class|def) {method}\b"]
            if not all(re.search(pattern, text, re.MULTILINE) for pattern in defined):
                yield name


def listed_edges(page: str) -> dict[str, set[str]]:
    """Folder -> the folders of the same distribution that it may import, as the two tables list them."""
    rows = {}
    for head, body in re.findall(r"^\| folder of (.*?) \|.*\n\|[-|]+\n((?:\|.*\n)+)", page, re.MULTILINE):
        prefix = f"{BASE}/" if BASE.replace("_", "-") in head else ""
        for line in body.splitlines():
            folder, _, imports = (cell.strip() for cell in line.strip("|").split(" | ", 2))
            rows[prefix + folder.strip("` ")] = {prefix + name for name in re.findall(r"`([^`]+)`", imports)}
    return rows


def edges() -> dict[str, set[str]]:
    between: dict[str, set[str]] = {}
    for module in MODULES:
        folder = module.rpartition("/")[0]
        between.setdefault(folder, set()).update(set(imports_of(module)) - {folder})
    return between


def imports_of(module: str) -> Iterator[str]:
    """The folders of this repository that a module imports from, wherever in the file."""
    package = module.rpartition("/")[0].split("/")
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            parts = package[: len(package) - node.level + 1] + (node.module or "").split(".")
        elif (node.module or "").startswith("vdk.plugin."):
            parts = (node.module or "").split(".")[2:]
        else:
            continue
        for alias in node.names:
            path = "/".join(part for part in [*parts, alias.name] if part)
            while path and path not in FOLDERS:
                path = path.rpartition("/")[0]
            yield path
