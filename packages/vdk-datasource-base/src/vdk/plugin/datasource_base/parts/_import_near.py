"""Modules that lie beside a flow file, each folder's apart from those of the others."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from ._registry import closest

PREFIX = "_vdk_flow_folder_"
"""How the packages are called that stand for the folders of flow files in ``sys.modules``."""


class ModuleMissingError(Exception):
    """There is no such module; the message says where it was looked for."""


def import_near(name: str, folder: Path) -> ModuleType:
    """The module of that name in a folder, else the installed one.

    Two folders may each have a ``helpers.py``, and one process may run flows of both: a module is imported as a part
    of its folder, not under its bare name, which belongs to whoever imported it first.

    :raises ModuleMissingError: neither is there.
    :raises Exception: what the module raises.
    """
    folder = folder.resolve()
    path = next((one for one in _paths(name, folder) if one.is_file()), None)
    if path is None:
        return _installed(name, folder)
    known = sys.modules.get(name)
    if known is not None and _is_file(known, path):
        return known  # a step of the job has imported it
    package = _package(folder)
    _forget_others(package)
    with _importable(folder), _noting(package, folder):
        return importlib.import_module(f"{package.__name__}.{name}")


def _paths(name: str, folder: Path) -> list[Path]:
    base = folder.joinpath(*name.split("."))
    return [base.with_name(f"{base.name}.py"), base / "__init__.py"]


def _installed(name: str, folder: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and one that it imports is not
        known = [one.stem for one in folder.glob("*.py")]
        hint = f"; {closest(name, known)}" if known else ""
        raise ModuleMissingError(
            f"there is no module {name!r}: neither {' nor '.join(map(str, _paths(name, folder)))} is there, and none "
            f"of this name is installed in {sys.prefix}{hint}"
        ) from None


def _package(folder: Path) -> ModuleType:
    """The package that stands for a folder."""
    name = PREFIX + hashlib.sha256(str(folder).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        package.__dict__["imported"] = set()
        sys.modules[name] = package
    return sys.modules[name]


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Its modules may import each other by their bare names."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@contextmanager
def _noting(package: ModuleType, folder: Path) -> Iterator[None]:
    """Note which modules of the folder are imported by their bare names meanwhile."""
    before = set(sys.modules)
    try:
        yield
    finally:
        new = [name for name in set(sys.modules) - before if not name.startswith(PREFIX)]
        package.__dict__["imported"] |= {
            name for name in new if any(_is_file(sys.modules[name], path) for path in _paths(name, folder))
        }


def _forget_others(package: ModuleType) -> None:
    """Let the bare names that modules of other folders have imported be free; who imported them has them already."""
    for name, other in list(sys.modules.items()):
        if name.startswith(PREFIX) and "." not in name and other is not package:
            for one in other.__dict__["imported"]:
                sys.modules.pop(one, None)
            other.__dict__["imported"].clear()


def _is_file(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and Path(file).resolve() == path
