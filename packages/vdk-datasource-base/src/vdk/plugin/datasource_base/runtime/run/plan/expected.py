# SPDX-License-Identifier: Apache-2.0
"""What a flow expects of a stream's table, checked before anything is read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from fractions import Fraction

from ....contract import ConfigurationError, StreamSchema
from ....contract.remedies import suggest
from ....parts import Destination, Expectations
from ....parts.expectations import share_of
from ....parts.flow.file import Expect, StreamExpect, matches


def expectations_of(
    expect: Expect | None,
    stream: str,
    table: str,
    schema: StreamSchema | None,
    destination: Destination,
    *,
    location: str,
    transformed: bool = False,
) -> Expectations | None:
    """What must hold of a stream's table; None: nothing is expected.

    :param transformed: a transform may add columns.
    :raises ConfigurationError: naming the expectation that is wrong, or that the destination cannot judge.
    """
    if expect is None:
        return None
    own = expect.of(stream)
    place = f"{location}.expect"
    expected = Expectations(
        table,
        own.rows_min,
        _share(own, place),
        tuple((columns,) if isinstance(columns, str) else tuple(columns) for columns in own.unique or ()),
        tuple(own.not_null or ()),
        dt.timedelta(seconds=own.max_age.total_seconds()) if own.max_age is not None else None,
        schema.cursor if schema is not None else None,
    )
    for name in expected.names:
        if name not in destination.expectations:
            raise ConfigurationError(
                f"{place}.{name}: {destination.identity()} does not judge rows before they land; use a database as the "
                f"destination, or remove {name}"
            )
    if expected.max_age is not None and expected.cursor is None:
        raise ConfigurationError(
            f"{place}.max_age: stream {stream!r} has no cursor, whose newest value would be judged; name a cursor in "
            "the source's configuration, or remove max_age"
        )
    if schema is not None and not schema.open and not transformed:
        _check_columns(expected, schema.fields.names, stream, place)
    return expected if expected.names else None


def check_expected_streams(expect: Expect, streams: Sequence[str], location: str) -> None:
    """Refuse the name of a stream that the flow does not read: what is expected of it would never be judged."""
    for name in expect.streams:
        if name not in streams and not any(matches(stream, [name]) for stream in streams) and "*" not in name:
            raise ConfigurationError(
                f"{location}.expect.streams: {name!r} is no stream of the flow; {suggest(name, streams)}"
            )


def _share(own: StreamExpect, place: str) -> Fraction | None:
    try:
        return None if own.shrink_max is None else share_of(own.shrink_max)
    except ValueError as error:
        raise ConfigurationError(f'{place}.shrink_max: {own.shrink_max!r}: {error}; write shrink_max = "20%"') from None


def _check_columns(expected: Expectations, known: Sequence[str], stream: str, place: str) -> None:
    folded = {name.casefold() for name in known}
    named = [("not_null", name) for name in expected.not_null]
    named += [("unique", name) for columns in expected.unique for name in columns]
    for option, name in named:
        if name.casefold() not in folded:
            raise ConfigurationError(
                f"{place}.{option}: stream {stream!r} has no column {name!r}; {suggest(name, known)}"
            )
