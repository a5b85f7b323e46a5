# SPDX-License-Identifier: Apache-2.0
"""Functions that change rows before they land: ``transform = "module:function"``, or a callable."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import pyarrow as pa

from ...contract import ConfigurationError, DataSourceError
from ...contract.remedies import suggest
from .infer import infer_table
from .rows import rows_of

PREFIX = "_vdk_flow_folder_"
"""The prefix of the packages that represent the folders of flow files in ``sys.modules``."""


class ModuleMissingError(Exception):
    """The module does not exist; the message lists the paths that were searched."""


def import_near(name: str, folder: Path) -> ModuleType:
    """The module of this name in a folder, else the installed module.

    Two folders may each have a ``helpers.py``, and one process may run flows of both: a module is imported as a part
    of its folder, not under its bare name, which belongs to the first module imported under it.

    :raises ModuleMissingError: neither exists.
    :raises Exception: an error of the module itself.
    """
    folder = folder.resolve()
    path = next((path for path in _paths(name, folder) if path.is_file()), None)
    if path is None:
        return _installed(name, folder)
    known = sys.modules.get(name)
    if known is not None and _is_file(known, path):
        return known  # a step of the job has imported it
    package = _package(folder)
    _free_names_of_others(package)
    with _importable(folder), _recording(package, folder):
        return importlib.import_module(f"{package.__name__}.{name}")


def _paths(name: str, folder: Path) -> list[Path]:
    base = folder.joinpath(*name.split("."))
    return [base.with_name(f"{base.name}.py"), base / "__init__.py"]


def _installed(name: str, folder: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module exists, but not one that it imports
        known = [path.stem for path in folder.glob("*.py")]
        hint = f"; {suggest(name, known)}" if known else ""
        raise ModuleMissingError(
            f"the module {name!r} does not exist: neither as {' nor as '.join(map(str, _paths(name, folder)))}, nor "
            f"installed in {sys.prefix}{hint}"
        ) from None


def _package(folder: Path) -> ModuleType:
    """The package that represents a folder."""
    name = PREFIX + hashlib.sha256(str(folder).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        package.__dict__["imported"] = set()
        sys.modules[name] = package
    return sys.modules[name]


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let the modules of a folder import each other by their bare names."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@contextmanager
def _recording(package: ModuleType, folder: Path) -> Iterator[None]:
    """Record which modules of the folder are imported by their bare names meanwhile."""
    before = set(sys.modules)
    try:
        yield
    finally:
        new = [name for name in set(sys.modules) - before if not name.startswith(PREFIX)]
        package.__dict__["imported"] |= {
            name for name in new if any(_is_file(sys.modules[name], path) for path in _paths(name, folder))
        }


def _free_names_of_others(package: ModuleType) -> None:
    """Free the bare names that modules of other folders have imported; their importers hold them already."""
    for name, other in list(sys.modules.items()):
        if name.startswith(PREFIX) and "." not in name and other is not package:
            for imported in other.__dict__["imported"]:
                sys.modules.pop(imported, None)
            other.__dict__["imported"].clear()


def _is_file(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and Path(file).resolve() == path


Data: TypeAlias = "Sequence[Mapping[str, Any]] | pa.Table"
BATCH_NAMES = ("batch", "table")


class Transform:
    """A user's function, and whether it takes rows or batches.

    It gets a list of rows, unless its first parameter is annotated with an Arrow table or batch, or
    is named ``batch`` or ``table``: then it gets a ``pa.Table``. It returns rows or a batch, or
    None to drop them all.
    """

    def __init__(self, function: Callable[[Any], Any], name: str) -> None:
        self._function = function
        self.name = name
        self.takes_batches = _takes_batches(function)

    def __call__(self, data: Data, *, stream: str) -> Data | None:
        if self.takes_batches:
            argument: Any = data if isinstance(data, pa.Table) else infer_table(data)
        else:
            argument = rows_of(data) if isinstance(data, pa.Table) else [dict(row) for row in data]
        try:
            result = self._function(argument)
        except (DataSourceError, ConnectionError, TimeoutError):
            raise
        except Exception as error:
            raise DataSourceError(
                f"stream {stream!r}: transform {self.name} failed: {type(error).__name__}: {error}"
            ) from error
        if isinstance(result, pa.RecordBatch):
            return pa.Table.from_batches([result])
        if result is None or isinstance(result, pa.Table):
            return result
        if isinstance(result, Mapping):
            return [result]
        rows = list(result) if not isinstance(result, (str, bytes)) and hasattr(result, "__iter__") else None
        if rows is None or not all(isinstance(row, Mapping) for row in rows):
            raise DataSourceError(
                f"stream {stream!r}: transform {self.name} returned {type(result).__name__}; "
                "a transform returns rows (mappings), an Arrow table or batch, or None"
            )
        return rows


def load_transform(transform: Any, *, folder: Path, location: str) -> Transform | None:
    """The transform that a flow names. ``folder`` is searched first, as VDK does for the steps of a job."""
    if transform is None:
        return None
    if callable(transform):
        return Transform(transform, getattr(transform, "__qualname__", repr(transform)))
    module, separator, attribute = str(transform).partition(":")
    if not isinstance(transform, str) or not module or not separator or not attribute:
        raise ConfigurationError(f'{location}.transform: {transform!r} is not of the form "module:function"')
    try:
        loaded = import_near(module, folder)
    except ModuleMissingError as error:
        raise ConfigurationError(f"{location}.transform: {transform!r}: {error}") from None
    except Exception as error:  # a module can raise anything while it is imported
        raise ConfigurationError(
            f"{location}.transform: {transform!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    function = getattr(loaded, attribute, None)
    if not callable(function):
        known = [name for name, var in vars(loaded).items() if callable(var)]
        file = getattr(loaded, "__file__", None)
        raise ConfigurationError(
            f"{location}.transform: {module} ({file}) has no function {attribute!r}; {suggest(attribute, known)}"
        )
    return Transform(function, transform)


def _takes_batches(function: Callable[[Any], Any]) -> bool:
    try:
        first = next(iter(inspect.signature(function).parameters.values()))
    except (StopIteration, ValueError, TypeError):
        return False
    if first.annotation in (inspect.Parameter.empty, Any, "Any"):
        return first.name in BATCH_NAMES
    annotation = first.annotation if isinstance(first.annotation, str) else getattr(first.annotation, "__name__", "")
    return annotation.rpartition(".")[2] in ("Table", "RecordBatch")
