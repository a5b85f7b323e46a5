# SPDX-License-Identifier: Apache-2.0
"""Ranges: an API that is asked for its records by ranges of an integer, such as ids or numbers of blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceConfig, DataSourceError
from vdk.plugin.datasource_base.parts import whole_number

from ..responses.extract import compile_path, search


class RangesConfig(DataSourceConfig):
    """The ranges that an integer cursor is read in, and where they end: there is no present that they could end at."""

    size: Annotated[int, Meta(ge=1, description="values in a range")]
    last_path: Annotated[
        str | None, Meta(description='the path of a response with the highest value, as in "maxitem.json"')
    ] = None
    last: Annotated[str, Meta(description="a JMESPath to the highest value in that response")] = "@"
    empty: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="in place of last_path: end after so many ranges without records; no gap may be longer"),
    ] = None


def check_ranges(config: RangesConfig, location: str) -> None:
    """Raise ``ConfigurationError`` for ranges without an end, or with two."""
    if (config.last_path is None) == (config.empty is None):
        raise ConfigurationError(
            f'{location}: where do the ranges end? Set one of last_path = "items/last", a response with the highest '
            "value, and empty = 3, ranges without records"
        )
    try:
        compile_path(config.last)
    except ConfigurationError as error:
        raise ConfigurationError(f"{location}.last: {error}") from None


def ranges(size: int, start: int, highest: int | None, *, is_inclusive: bool) -> Iterator[tuple[int, int, int]]:
    """For each range its start, the start of the next one, and the value for the parameter of its end.

    :param highest: the highest value; None: they go on, and the reader decides when to end.
    :param is_inclusive: the API includes the value of that parameter.
    """
    while highest is None or start <= highest:
        after = start + size
        end = after if highest is None else min(after, highest + 1)
        yield start, after, end - 1 if is_inclusive else end
        start = after


def highest_value(config: RangesConfig, body: Any, stream: str) -> int:
    """The highest value in the response that names it. Raises ``DataSourceError``."""
    value = search(config.last, body)
    try:
        if isinstance(value, (int, str)) and not isinstance(value, bool):
            return whole_number(value)
    except ValueError:
        pass
    raise DataSourceError(
        f"stream {stream!r}: cursor.ranges.last {config.last!r} leads to {value!r:.80} in the response of "
        f"{config.last_path!r}, which is not a whole number; correct the path"
    )
