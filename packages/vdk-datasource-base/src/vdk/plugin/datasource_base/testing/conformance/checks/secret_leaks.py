"""Secrets: nowhere but where they are used."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from ....contract import DataSource
from ....parts.redact import secrets_in
from ..base import Conformance
from ..harness.landing import Landing
from ..harness.reading import MakeSource, error_of, opened, partitions_of, read
from .configuration import CANARY, is_secret, leaves, members, with_canaries

SHORTEST = 8
"""A given secret that is shorter may well be somewhere by chance."""


class SecretLeakChecks(Conformance):
    """The secrets of the configuration, looked for where they must not be.

    Each check runs twice: with the configuration as it is given, whose secrets of eight characters and more are
    looked for, and with other values in every secret option.
    """

    def test_no_log_contains_a_secret(
        self, source: MakeSource, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Logs are copied into tickets, and DEBUG is switched on where something is wrong with the login."""
        caplog.set_level(logging.DEBUG)
        for make, shows in _suspects(source):
            _errors_of_all(make)
            assert not shows(caplog.text), "a secret is in the log: write what it is for, and not what it is"
            assert not shows("".join(capfd.readouterr())), "a secret is printed: a source prints nothing at all"

    def test_no_error_contains_a_secret(self, source: MakeSource) -> None:
        """A refused login is the error that is shown to most people."""
        for make, shows in _suspects(source):
            for error in _errors_of_all(make):
                printed = "".join(traceback.format_exception(error))
                assert not shows(printed), f"a secret is in an error, {type(error).__name__}: say which option it is"

    def test_no_repr_contains_a_secret(self, source: MakeSource) -> None:
        """Debuggers and error trackers show every local variable."""
        for make, shows in _suspects(source):
            made = make()
            found = [made, made.config, made.identity()]
            error_of(_visit, made, found.append)
            assert not any(shows(f"{one!r} {one}") for one in found), (
                "a secret is in a repr or in identity(): leave it a Secret"
            )

    def test_no_state_or_payload_contains_a_secret(self, source: MakeSource) -> None:
        """States and metadata are stored at the destination, for years and for everybody there."""
        for make, shows in _suspects(source):
            found: list[Any] = []
            error_of(_read_everything, make, found.append)
            assert not any(shows(repr(one)) for one in found), "a secret is in a payload or its state: yield data only"


def _suspects(source: MakeSource) -> Iterator[tuple[MakeSource, Callable[[str], bool]]]:
    config = source().config
    given = [value for value in secrets_in(config) if len(value) >= SHORTEST]
    if not given and any(is_secret(member) for _, type_ in leaves(type(config)) for member in members(type_)):
        pytest.skip(f"no secret option is set in `source`: set one to {SHORTEST} characters or more, to be looked for")
    yield source, _finder(given)

    def make() -> DataSource[Any]:
        made = source()
        return type(made)(with_canaries(made.config))

    yield make, _finder([CANARY])


def _errors_of_all(make: MakeSource) -> list[Exception]:
    """The errors of everything that a user does with a source."""
    with Landing.fresh() as landing:
        errors = [error_of(lambda: make().check()), error_of(_read_everything, make), landing.attempt(make)]
    return [error for error in errors if error is not None]


def _read_everything(make: MakeSource, told: Callable[[Any], Any] = lambda payload: None) -> None:
    with opened(make) as made:
        for _, part in partitions_of(made):
            for payload in read(part):
                told(payload)


def _visit(source: DataSource[Any], told: Callable[[Any], Any]) -> None:
    for stream, part in partitions_of(source):
        told(stream)
        told(part)


def _finder(secrets: Sequence[str]) -> Callable[[str], bool]:
    """Tells whether one of the secrets is in a text, as it is or in Base64, as HTTP sends passwords (RFC 7617)."""
    spelled = [form for secret in secrets for form in (secret, *_in_base64(secret.encode()))]
    return lambda text: any(form in text for form in spelled)


def _in_base64(secret: bytes) -> Iterator[str]:
    """What all Base64 texts that hold the secret have in common, for each of the three places it can begin at."""
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + secret).decode()
        yield encoded[(before * 8 + 5) // 6 : (before + len(secret)) * 8 // 6]
