"""Functions that change rows on their way: ``transform = "module:function"``, or a callable."""

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

from ..contract import ConfigurationError, DataSourceError
from ..contract.suggestions import suggest
from .infer import infer_table
from .rows import rows_of

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
        known = [path.stem for path in folder.glob("*.py")]
        hint = f"; {suggest(name, known)}" if known else ""
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


Data: TypeAlias = "Sequence[Mapping[str, Any]] | pa.Table"
BATCH_NAMES = ("batch", "table")


class Transform:
    """A user's function and what it takes.

    It gets a list of rows, unless its first parameter is annotated with an Arrow table or batch, or
    is called ``batch`` or ``table``: then it gets a ``pa.Table``. It gives back rows or a batch, or
    None to drop them all.
    """

    def __init__(self, function: Callable[[Any], Any], name: str) -> None:
        self._function = function
        self.name = name
        self.takes_batches = _takes_batches(function)

    def __call__(self, data: Data, *, stream: str) -> Data | None:
        if self.takes_batches:
            given: Any = data if isinstance(data, pa.Table) else infer_table(data)
        else:
            given = rows_of(data) if isinstance(data, pa.Table) else [dict(row) for row in data]
        try:
            result = self._function(given)
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


def load_transform(given: Any, *, folder: Path, where: str) -> Transform | None:
    """The transform a flow names. ``folder`` is looked in first, as VDK does for a job's steps."""
    if given is None:
        return None
    if callable(given):
        return Transform(given, getattr(given, "__qualname__", repr(given)))
    module, separator, attribute = str(given).partition(":")
    if not isinstance(given, str) or not module or not separator or not attribute:
        raise ConfigurationError(f'{where}.transform: {given!r} is not of the form "module:function"')
    try:
        loaded = import_near(module, folder)
    except ModuleMissingError as error:
        raise ConfigurationError(f"{where}.transform: {given!r}: {error}") from None
    except Exception as error:  # a module can raise anything while it is imported
        raise ConfigurationError(
            f"{where}.transform: {given!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    function = getattr(loaded, attribute, None)
    if not callable(function):
        known = [name for name, var in vars(loaded).items() if callable(var)]
        file = getattr(loaded, "__file__", None)
        raise ConfigurationError(
            f"{where}.transform: {module} ({file}) has no function {attribute!r}; {suggest(attribute, known)}"
        )
    return Transform(function, given)


def _takes_batches(function: Callable[[Any], Any]) -> bool:
    try:
        first = next(iter(inspect.signature(function).parameters.values()))
    except (StopIteration, ValueError, TypeError):
        return False
    if first.annotation in (inspect.Parameter.empty, Any, "Any"):
        return first.name in BATCH_NAMES
    annotation = first.annotation if isinstance(first.annotation, str) else getattr(first.annotation, "__name__", "")
    return annotation.rpartition(".")[2] in ("Table", "RecordBatch")
