"""Secrets: nowhere but where they are used."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ...contract import DataSource
from ._landing import Landing
from ._make import MakeSource
from ._options import CANARY, with_canaries
from ._payloads import error_of, opened, partitions_of, read
from ._suite import Conformance


class SecrecyChecks(Conformance):
    """Every secret of the configuration is replaced by another value, which is then looked for."""

    def test_secrets_are_in_no_log(
        self, source: MakeSource, landing: Landing, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Logs are copied into tickets, and DEBUG is switched on where something is wrong with the login."""
        caplog.set_level(logging.DEBUG)
        landing.attempt(_with_canaries(source))
        error_of(_read_everything, _with_canaries(source))
        written = "".join(capfd.readouterr())
        assert not _shows(caplog.text + written), "a secret was logged or printed: log what it is for, not what it is"

    def test_secrets_are_in_no_error(self, source: MakeSource, landing: Landing) -> None:
        """A refused login is the error that is shown to most people."""
        made = _with_canaries(source)
        errors = [error_of(lambda: made().check()), error_of(_read_everything, made), landing.attempt(made)]
        for error in errors:
            printed = "".join(traceback.format_exception(error)) if error is not None else ""
            assert not _shows(printed), f"a secret is in an error, {type(error).__name__}: say which option it is"

    def test_secrets_are_in_no_repr(self, source: MakeSource) -> None:
        """Debuggers and error trackers show every local variable."""
        made = _with_canaries(source)()
        shown = [repr(made), str(made), repr(made.config), made.identity()]
        error_of(lambda: shown.extend(map(repr, [one for pair in partitions_of(made) for one in pair])))
        assert not any(map(_shows, shown)), "a secret is in a repr or in identity(): keep it as Secret and leave it out"

    def test_secrets_are_in_no_state_and_no_payload(self, source: MakeSource, landing: Landing) -> None:
        """States and metadata are stored at the destination, for years and for everybody there."""
        made = _with_canaries(source)
        found: list[str] = []
        error_of(_read_everything, made, lambda payload: found.append(repr(payload)))
        landing.attempt(made)
        found.append(json.dumps(landing.summary.as_dict() if landing.summary is not None else None, default=repr))
        assert not any(map(_shows, found)), "a secret is in a payload or a state: yield data only"


def _with_canaries(source: MakeSource) -> MakeSource:
    def make() -> DataSource[Any]:
        made = source()
        return type(made)(with_canaries(made.config))

    return make


def _read_everything(make: MakeSource, told: Callable[[Any], Any] = lambda payload: None) -> None:
    with opened(make) as made:
        for _, part in partitions_of(made):
            for payload in read(part):
                told(payload)


def _shows(text: str) -> bool:
    """Whether the canary is in a text, as it is or in Base64, which is how HTTP sends passwords (RFC 7617)."""
    return any(spelled in text for spelled in _SPELLINGS)


def _in_base64() -> Iterator[str]:
    """What all Base64 texts that hold the canary have in common, for each of the three places it can begin at."""
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + CANARY.encode()).decode()
        yield encoded[(before * 8 + 5) // 6 : len(CANARY) * 8 // 6 - 1]


_SPELLINGS = (CANARY, *_in_base64())
