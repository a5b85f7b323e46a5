"""One cause behind many failures: the first check that meets it names it, and the others are skipped."""

from __future__ import annotations

import functools
import re
import traceback
from collections.abc import Callable
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

import pytest

from ....contract import DataSourceState
from .process import within
from .reading import MakeSource

PATIENCE = 10.0
"""Seconds that the source has for showing the cause once more."""
FAILURES = (Exception, pytest.fail.Exception)


GIVEN = ("source", "large_source", "with_bad_row")
"""Fixtures whose sources connect. A source of ``source_at`` is one that must not."""

_first: WeakKeyDictionary[type, dict[str, str]] = WeakKeyDictionary()
"""Class → cause → the first check that met it; for each class by itself, whatever it inherits."""


def guard(request: pytest.FixtureRequest) -> None:
    """Let a check that uses a source of the plugin's fail or be skipped for the cause, where it fails because of one.

    The check runs as it is. Only when it has failed, a new source is made and connected, so a check that passes
    without a connection still passes, and a good source is asked for nothing.
    """
    makes = {name: _made(request, name) for name in GIVEN if name in request.fixturenames}
    if not makes:
        return
    check = request.node.obj

    @functools.wraps(check)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            check(*arguments, **options)
        except FAILURES as failure:
            for name, make in makes.items():
                found = _cause(name, make) if make is not None else None
                if found is not None and _shows(failure, found[1]):
                    _report(request, name, *found)
            raise

    request.node.obj = guarded


def _made(request: pytest.FixtureRequest, name: str) -> MakeSource | None:
    """What makes the sources of a fixture; None where the plugin gives none."""
    try:
        given = request.getfixturevalue(name)
    except FAILURES as error:
        _report(request, name, f"the fixture `{name}` raises", error)
    make: MakeSource | None = getattr(given, "source", given)
    return make


def _cause(name: str, make: MakeSource) -> tuple[str, BaseException] | None:
    """What a new source raises before anything is read from it, and where."""
    step = f"the function of the fixture `{name}` raises"

    def probe() -> None:
        nonlocal step
        made = make()
        try:
            step = f"connect() of {type(made).__name__} raises"
            made.connect(DataSourceState())
            step = f"streams() of {type(made).__name__} raises"
            list(made.streams())
        except BaseException:
            _quietly(made.disconnect)
            raise
        _quietly(made.disconnect)  # a check of its own is about disconnect()

    ended, error = within(PATIENCE, probe)
    return (step, error) if ended and isinstance(error, FAILURES) else None


def _quietly(work: Callable[[], Any]) -> None:
    try:
        work()
    except Exception:
        return


def _shows(failure: BaseException, error: BaseException) -> bool:
    """Whether a failure is about the error: it may well have a reason of its own."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return _plain(lines[0]) in _plain("".join(traceback.format_exception(failure)))


def _plain(text: str) -> str:
    """The text without addresses, times and counts, which differ each time."""
    return re.sub(r"0x[0-9a-f]+|\d+", "…", text)


def _report(request: pytest.FixtureRequest, name: str, what: str, error: BaseException) -> NoReturn:
    cause = f"{what} {type(error).__name__}: {str(error).strip() or 'without a text'}"
    check = request.node.name
    first = _first.setdefault(request.cls, {}).setdefault(_plain(cause), check)
    if first != check:
        pytest.skip(f"skipped, since {first} failed: {cause}")
    raise pytest.fail.Exception(
        f"{cause}. Other checks need it, too, and are skipped: look at the traceback of {type(error).__name__}, and at "
        f"the configuration and the data that the fixture `{name}` gives"
    ) from error
