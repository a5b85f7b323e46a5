"""The records of a parent stream, as what its child streams need of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vdk.plugin.datasource_base.contract import DataSourceError, RejectedRows

from ._config import ParentConfig, included_columns
from ._messages import Row
from ._partition import RestPartition
from ._paths import find

if TYPE_CHECKING:
    from ._stream import RestStream


def parent_rows(
    parent: RestStream, config: ParentConfig, child: str
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """For each record of the parent, as it is read: values for the placeholders, and columns for the child.

    The parent is read as in its first run, without its state: what hangs on an old record may be new.
    """
    for values, extra in parent.sets():
        for payload in RestPartition(parent.source, parent.config, values, extra).read({}):
            for row in _rows(payload.data):
                yield _bound(row, config, child), _included(row, config)


def _rows(data: Any) -> Iterator[Row]:
    """A record whose cursor cannot be read is unfit for the parent's table, and has children like others."""
    if isinstance(data, RejectedRows):
        yield from (row for row, _ in data.rows)
    elif isinstance(data, list):
        yield from data


def _bound(row: Row, config: ParentConfig, child: str) -> dict[str, Any]:
    values = {name: find(field, row) for name, field in config.bind.items()}
    for name, value in values.items():
        if value is None or isinstance(value, (dict, list)):
            raise DataSourceError(
                f"stream {child!r}: a record of its parent {config.stream!r} has {value!r:.80} at "
                f"{config.bind[name]!r}, which is no value for the placeholder {name!r}. Leave such parents out with "
                f"the parent's records, such as '[?{config.bind[name]}]'; this one begins "
                f"{dict(list(row.items())[:3])!r:.200}"
            )
    return values


def _included(row: Row, config: ParentConfig) -> dict[str, Any]:
    return {column: find(field, row) for column, field in included_columns(config).items()}
