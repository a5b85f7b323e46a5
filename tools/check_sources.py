# SPDX-License-Identifier: Apache-2.0
"""The rules for Python sources: imports from other distributions, copies of what the base shares, licence lines."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import distributions as d

BASE = "vdk.plugin.datasource_base"
SQL = "vdk.plugin.datasource_sql"
PUBLIC = {
    *(BASE, f"{BASE}.contract", f"{BASE}.parts", f"{BASE}.testing", f"{BASE}.testing.faults"),
    *(f"{BASE}.testing.kafka", f"{BASE}.testing.mariadb", f"{BASE}.testing.postgresql"),
    f"{BASE}.runtime",  # another system's readers: what serves sources to CloudQuery
    *(SQL, *(f"{SQL}.{name}" for name in ("connections", "cursors", "kinds", "testing"))),
    "vdk.plugin.datasource_cloudquery.testing",
}
"""The modules of this repository that other distributions import; a plugin has none below its own package."""
LICENCE = "Apache-2.0"
LICENCE_LINE = f"# SPDX-License-Identifier: {LICENCE}"


def check_sources(everything: Iterable[d.Distribution]) -> Iterator[str]:
    """The problems of all sources, each with the file it is in."""
    folders = {f"vdk.plugin.{each.package}": each.folder / "src" for each in everything}
    for package, folder in folders.items():
        for path in sorted(folder.rglob("*.py")):
            source = path.read_text("utf-8")
            problems = [*private_imports(source, package, folders), *copies(source, shared_names(), package)]
            yield from (f"{path.relative_to(d.ROOT)}: {problem}" for problem in problems)
    yield from check_licence_lines(path for folder in folders.values() for path in folder.rglob("*.py"))


def private_imports(source: str, package: str, packages: Iterable[str]) -> Iterator[str]:
    """What a module of ``package`` imports from modules that are private to another of ``packages``."""
    others = [f"{other}." for other in packages if other != package]
    for line, name in imports_in(source):
        if name not in PUBLIC and any(name.startswith(other) for other in others):
            yield f"line {line} imports {name}, which is private; import from {public_parent(name)}"


def copies(source: str, shared: Iterable[str], package: str) -> Iterator[str]:
    """The functions and classes of a plugin's module that have the name of one that the base shares."""
    for node in ast.parse(source).body if package != BASE else ():
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in shared:
            yield f"line {node.lineno} defines {node.name}, which exists in {BASE}.parts; import it"


@cache
def shared_names() -> tuple[str, ...]:
    """The functions and classes that the base exports for plugins."""
    (package,) = d.ROOT.glob("packages/*/src/vdk/plugin/datasource_base/parts/__init__.py")
    for node in ast.parse(package.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return tuple(ast.literal_eval(node.value))
    raise SystemExit(f"{package} has no __all__")


def imports_in(source: str) -> Iterator[tuple[int, str]]:
    """The line and the name of each module that is imported from the root of all packages, wherever in the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def public_parent(name: str) -> str:
    while name not in PUBLIC and name.count(".") > 2:
        name = name.rpartition(".")[0]
    return name


def check_licence_lines(paths: Iterable[Path]) -> Iterator[str]:
    """All modules begin with the licence line, or none does: one without it among others has an unclear licence."""
    texts = {path: path.read_text("utf-8") for path in paths}
    missing = [path for path, text in texts.items() if text and not text.startswith(f"{LICENCE_LINE}\n")]
    if len(missing) < len(list(filter(None, texts.values()))):
        yield from (f"{path.relative_to(d.ROOT)}: its first line must be {LICENCE_LINE}" for path in missing)
