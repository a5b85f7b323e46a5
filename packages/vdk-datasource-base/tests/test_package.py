"""The package as a whole: what it offers, what it costs to load, and which way its imports point."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import vdk.plugin.datasource_base as base

ROOT = Path(base.__file__).parent
LAYERS = {"contract": 1, "parts": 2, "runtime": 3, "integration": 4}
# what stands outside the four folders, by the layer it belongs to
OTHERS = {"__init__": 4, "api": 4, "plugin_entry": 4, "testing": 3}


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_package_offers_few_names_that_all_exist() -> None:
    """A public name is a promise."""
    assert len(base.__all__) <= 24
    assert sorted(base.__all__) == base.__all__
    for name in base.__all__:
        assert getattr(base, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = base.nothing


@pytest.mark.parametrize("package", ["contract", "parts", "testing"])
def test_every_name_that_a_package_exports_exists(package: str) -> None:
    """Also of those that are imported when they are used."""
    module = importlib.import_module(f"{base.__name__}.{package}")
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name)


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    """VDK loads it for every command, ``vdk --help`` included."""
    heavy = run(
        "import sys, vdk.plugin.datasource_base.plugin_entry\n"
        "heavy = {'pyarrow', 'msgspec', 'numpy', 'duckdb', 'sqlalchemy', 'tabulate', 'filelock', 'asyncio'}\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & heavy - {'asyncio'}))"
    )
    assert heavy == "[]"


@pytest.mark.parametrize("command", [["--help"], ["datasource", "--help"], ["datasource", "list"]])
def test_a_command_that_lands_nothing_imports_nothing_heavy(command: list[str]) -> None:
    """Whatever is installed is loaded by every command. Not looked for: duckdb, which upstream's vdk-duckdb imports."""
    heavy = run(
        "import contextlib, io, sys\n"
        "from vdk.internal.cli_entry import main\n"
        f"sys.argv = ['vdk', *{command!r}]\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main()\n"
        "heavy = {'pyarrow', 'msgspec', 'sqlalchemy', 'filelock', 'adbc_driver_manager'}\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & heavy))"
    )
    assert heavy == "[]"


@pytest.mark.parametrize(("command", "spared"), [(["datasource", "list"], True), (["version"], False)])
def test_cycles_are_looked_for_less_often_in_our_commands_alone(command: list[str], spared: bool) -> None:
    """A job of the user keeps Python's own settings, since it may run for days and make any objects."""
    threshold = run(
        "import contextlib, gc, io, sys\n"
        "from vdk.internal.cli_entry import main\n"
        f"sys.argv, before = ['vdk', *{command!r}], gc.get_threshold()[0]\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main()\n"
        "print(gc.get_threshold()[0] > before)"
    )
    assert threshold == str(spared)


def test_the_runtime_needs_no_vdk() -> None:
    """``run_flows(None, …)`` works in a plain Python process and imports nothing of vdk-core."""
    printed = run(
        "import sys\n"
        "from vdk.plugin.datasource_base import run_flows, ConfigurationError\n"
        "try:\n"
        "    run_flows(None, {'sources': {'s': {'name': 'none'}}, 'destinations': {'d': {}},"
        " 'flows': [{'from': 's', 'to': 'd'}]})\n"
        "except ConfigurationError as error:\n"
        "    assert \"unknown source 'none'\" in str(error), error\n"
        "print([name for name in sys.modules if name.startswith(('vdk.internal', 'vdk.api', 'click'))])"
    )
    assert printed == "[]"


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def layer_of(parts: tuple[str, ...]) -> int:
    first = parts[0] if parts else "__init__"
    return LAYERS.get(first) or OTHERS[first]


def imports_of(path: Path) -> list[tuple[str, ...]]:
    """What a module imports of this package, as paths within it; what only type checkers see is left out."""
    inside = path.relative_to(ROOT).with_suffix("").parts
    package = inside[:-1]
    tree = ast.parse(path.read_text("utf-8"))
    unseen = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    targets = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in unseen:
            continue
        if node.level:
            up = package[: len(package) - node.level + 1]
            target = (*up, *(node.module.split(".") if node.module else ()))
            targets.append(target or tuple(alias.name for alias in node.names[:1]))
        elif (node.module or "").startswith(f"{base.__name__}."):
            targets.append(tuple((node.module or "").split("."))[3:])
    return targets


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_only_point_down(path: Path) -> None:
    """contract < parts < runtime < integration: a layer knows nothing of those above it."""
    own = layer_of(path.relative_to(ROOT).with_suffix("").parts)
    upward = [".".join(target) for target in imports_of(path) if layer_of(target) > own]
    assert not upward, f"{path.name} of layer {own} imports {upward}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_the_integration_imports_vdk(path: Path) -> None:
    """vdk-core and click are imported in the top layer alone."""
    if layer_of(path.relative_to(ROOT).with_suffix("").parts) == 4:
        return
    tree = ast.parse(path.read_text("utf-8"))
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in names if name.startswith(("vdk.internal", "vdk.api", "click"))]


def test_the_layer_check_can_fail() -> None:
    """It sees an import that points up."""
    seen = {target for path in modules() for target in imports_of(path)}
    assert ("contract",) in seen
    assert ("runtime",) in seen
    assert ("parts", "plugins", "registry") in seen
    assert (
        layer_of(("integration", "environment"))
        > layer_of(("runtime",))
        > layer_of(("parts",))
        > layer_of(("contract",))
    )
