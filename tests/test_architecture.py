"""docs/architecture.md is true: the modules that it names exist, and its tables list every import between folders."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
BASE = "datasource_base"
SQL = "datasource_sql"
PUBLIC = {BASE, f"{BASE}/contract", f"{BASE}/parts", f"{BASE}/testing", SQL, f"{SQL}/cursors"}
MODULES = {
    path.relative_to(source / "vdk" / "plugin").as_posix(): path
    for source in [*ROOT.glob("packages/*/src"), *ROOT.glob("plugins/*/src")]
    for path in source.rglob("*.py")
}
FOLDERS = {module.rpartition("/")[0] for module in MODULES}


def allowed() -> dict[str, set[str]]:
    """Folder -> the folders of the same distribution that it may import, as the two tables list them."""
    tables = re.findall(r"^\| folder of (.*?) \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    rows = {}
    for head, body in tables:
        prefix = f"{BASE}/" if BASE.replace("_", "-") in head else ""
        for line in body.splitlines():
            folder, _, imports = (cell.strip() for cell in line.strip("|").split(" | ", 2))
            rows[prefix + folder.strip("` ")] = {prefix + name for name in re.findall(r"`([^`]+)`", imports)}
    return rows


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


def edges() -> dict[str, set[str]]:
    """Folder -> the other folders that its modules import."""
    between: dict[str, set[str]] = {}
    for module in MODULES:
        folder = module.rpartition("/")[0]
        between.setdefault(folder, set()).update(set(imports_of(module)) - {folder})
    return between


def test_every_import_between_folders_is_listed() -> None:
    """A new edge is a decision: it is written down in docs/architecture.md, or it is not made."""
    listed = allowed()
    for folder, targets in edges().items():
        if folder == BASE:  # the package's own front door
            continue
        assert folder in listed, f"docs/architecture.md does not list the folder {folder}"
        foreign = set() if folder.startswith(f"{BASE}/") else PUBLIC
        assert targets <= listed[folder] | foreign, f"{folder} imports {sorted(targets - listed[folder] - foreign)}"


def test_the_tables_list_nothing_that_is_gone() -> None:
    """A row for a folder, or an import, that no longer exists misleads."""
    between = edges()
    for folder, targets in allowed().items():
        assert folder in between, f"{folder} does not exist"
        assert targets <= between[folder], f"{folder} does not import {sorted(targets - between[folder])}"


def test_the_modules_that_the_page_names_exist() -> None:
    """A reader who follows the page finds each file."""
    named = {name for name in re.findall(r"`([\w/]+(?:\.py|/))`", PAGE) if "/" in name}
    assert len(named) > 20
    for name in named:
        places = MODULES if name.endswith(".py") else {f"{folder}/" for folder in FOLDERS}
        assert any(place == name or place.endswith(f"/{name}") for place in places), f"{name} does not exist"
