"""Functions that change rows on their way: ``transform = "module:function"``, or a callable."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from ..contract import ConfigurationError, DataSourceError
from ._import_near import ModuleMissingError, import_near
from ._infer import infer_table
from ._registry import closest
from ._rows import rows_of

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
        known = [name for name, one in vars(loaded).items() if callable(one)]
        file = getattr(loaded, "__file__", None)
        raise ConfigurationError(
            f"{where}.transform: {module} ({file}) has no function {attribute!r}; {closest(attribute, known)}"
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
