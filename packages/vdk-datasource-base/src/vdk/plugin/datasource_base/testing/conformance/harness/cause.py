# SPDX-License-Identifier: Apache-2.0
"""One cause of many failures: the first check that meets it names it, and the others are skipped."""

from __future__ import annotations

import functools
import re
import traceback
from collections.abc import Callable
from itertools import islice
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

import pytest

from ....contract import DataSourceState, StreamPartition
from ....parts.closing import closing_early
from .landing import Landing
from .process import within
from .reading import MakeSource

PROBE_SECONDS = 10.0
"""How long the source may take to show the cause once more."""
PROBE_PAYLOADS = 100
"""How many payloads of a partition are read for it. The sources of most fixtures have fewer."""
FAILURES = (Exception, pytest.fail.Exception)


FIXTURES = ("source", "large_source", "with_bad_row")
"""Fixtures whose sources can connect. The sources of ``source_at`` must not."""

_first_checks: WeakKeyDictionary[type, dict[str, str]] = WeakKeyDictionary()
"""For each class, without those it inherits from: the first check that met each cause."""


def guard(request: pytest.FixtureRequest) -> None:
    """If a check fails because its source cannot be made, connected, read or run, report that cause, or skip the check.

    A new source is made, connected, read and run only after the check has failed. So a check that passes without a
    connection still passes, and a source that works gets no further calls.
    """
    makes = {name: _maker(request, name) for name in FIXTURES if name in request.fixturenames}
    if not makes:
        return
    check = request.node.obj

    @functools.wraps(check)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            check(*arguments, **options)
        except FAILURES as failure:
            for name, make in makes.items():
                cause = _cause(name, make) if make is not None else None
                if cause is not None and _mentions(failure, cause[1]):
                    _report(request, name, *cause)
            raise

    request.node.obj = guarded


def _maker(request: pytest.FixtureRequest, name: str) -> MakeSource | None:
    """The function of a fixture that makes sources; None if the plugin does not define the fixture."""
    try:
        value = request.getfixturevalue(name)
    except FAILURES as error:
        _report(request, name, f"the fixture `{name}` raises", error)
    make: MakeSource | None = getattr(value, "source", value)
    return make


def _cause(name: str, make: MakeSource) -> tuple[str, BaseException] | None:
    """What a new source raises in its first read, or in a first run if all its rows shall land; and in which step."""
    step = f"the function of the fixture `{name}` raises"

    def probe() -> None:
        nonlocal step
        made = make()
        try:
            step = f"connect() of {type(made).__name__} raises"
            made.connect(DataSourceState())
            step = f"streams() of {type(made).__name__} raises"
            streams = list(made.streams())
            for stream in streams:
                step = f"partitions() of stream {stream.name!r} raises"
                for partition in stream.partitions({}):
                    step = f"read() of stream {stream.name!r} raises"
                    _begin_to_read(partition)
                    step = f"partitions() of stream {stream.name!r} raises"
        except BaseException:
            _quietly(made.disconnect)
            raise
        _quietly(made.disconnect)  # disconnect() has a check of its own
        if name == "source":
            step = f"a run of {type(made).__name__} raises"
            with Landing.fresh() as landing:
                if (error := landing.attempt(make)) is not None:
                    raise error

    ended, error = within(PROBE_SECONDS, probe)
    return (step, error) if ended and isinstance(error, FAILURES) else None


def _begin_to_read(partition: StreamPartition) -> None:
    payloads = iter(partition.read({}))
    with closing_early(payloads):
        for _ in islice(payloads, PROBE_PAYLOADS):
            pass


def _quietly(work: Callable[[], Any]) -> None:
    try:
        work()
    except Exception:
        return


def _mentions(failure: BaseException, error: BaseException) -> bool:
    """Whether a failure is about the error, and not about something else."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return _without_numbers(lines[0]) in _without_numbers("".join(traceback.format_exception(failure)))


def _without_numbers(text: str) -> str:
    """The text without addresses, times and counts, which differ each time."""
    return re.sub(r"0x[0-9a-f]+|\d+", "…", text)


def _report(request: pytest.FixtureRequest, name: str, step: str, error: BaseException) -> NoReturn:
    cause = f"{step} {type(error).__name__}: {str(error).strip() or 'without a text'}"
    check = request.node.name
    first = _first_checks.setdefault(request.cls, {}).setdefault(_without_numbers(cause), check)
    if first != check:
        pytest.skip(f"skipped, since {first} failed: {cause}")
    raise pytest.fail.Exception(
        f"{cause}. Other checks depend on it and are skipped: look at the traceback of {type(error).__name__}, and at "
        f"the configuration and the data of the fixture `{name}`"
    ) from error
