# SPDX-License-Identifier: Apache-2.0
"""Secrets: no log, error, repr, state or payload contains one."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pytest

from ....contract import DataSource
from ....parts.redact import secrets_in
from ..base import Conformance
from ..capabilities import Level
from ..harness.landing import Landing
from ..harness.reading import MakeSource, error_of, partitions_of, read_everything
from .configuration import CANARY, is_secret, leaves, members, with_canaries

SHORTEST = 8
"""A shorter secret may occur in a text by chance."""


class SecretLeakChecks(Conformance):
    """Searches for the secrets of the configuration in everything that is shown or stored.

    Each check runs twice: with the configuration of ``source``, whose secrets of eight characters and more are searched
    for, and with another value in every secret option.
    """

    level: ClassVar[Level] = "beta"

    def test_no_log_contains_a_secret(
        self, source: MakeSource, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Logs are copied into tickets, and DEBUG is turned on when something is wrong with the login."""
        caplog.set_level(logging.DEBUG)
        for make, leaks in _sources_with_secrets(source):
            _errors_of_all(make)
            assert not leaks(caplog.text), "a log line contains a secret: log the name of the option instead"
            assert not leaks("".join(capfd.readouterr())), "the output contains a secret: print nothing in a source"

    def test_no_error_contains_a_secret(self, source: MakeSource) -> None:
        """Most people see the error of a refused login some day."""
        for make, leaks in _sources_with_secrets(source):
            for error in _errors_of_all(make):
                text = "".join(traceback.format_exception(error))
                assert not leaks(text), f"a {type(error).__name__} contains a secret: name the option instead"

    def test_no_repr_contains_a_secret(self, source: MakeSource) -> None:
        """Debuggers and error trackers show every local variable."""
        for make, leaks in _sources_with_secrets(source):
            made = make()
            values = [made, made.config, made.identity()]
            error_of(_visit, made, values.append)
            assert not any(leaks(f"{value!r} {value}") for value in values), (
                "a repr or identity() contains a secret: keep it a Secret until it is used"
            )

    def test_no_state_or_payload_contains_a_secret(self, source: MakeSource) -> None:
        """States and metadata are stored at the destination, for years and for all its users."""
        for make, leaks in _sources_with_secrets(source):
            payloads: list[Any] = []
            error_of(read_everything, make, payloads.append)
            assert not any(leaks(repr(payload)) for payload in payloads), (
                "a payload or its state contains a secret: yield data only"
            )


def _sources_with_secrets(source: MakeSource) -> Iterator[tuple[MakeSource, Callable[[str], bool]]]:
    """Functions that make sources, each with one that searches a text for the secrets of those sources."""
    config = source().config
    secrets = [value for value in secrets_in(config) if len(value) >= SHORTEST]
    if not secrets and any(is_secret(member) for _, type_ in leaves(type(config)) for member in members(type_)):
        pytest.skip(f"no secret option is set in `source`: set one to {SHORTEST} characters or more")
    yield source, _search_for(secrets)

    def make() -> DataSource[Any]:
        made = source()
        return type(made)(with_canaries(made.config))

    yield make, _search_for([CANARY])


def _errors_of_all(make: MakeSource) -> list[Exception]:
    """The errors of ``check``, of reading and of a run."""
    with Landing.fresh() as landing:
        errors = [error_of(lambda: make().check()), error_of(read_everything, make), landing.attempt(make)]
    return [error for error in errors if error is not None]


def _visit(source: DataSource[Any], visit: Callable[[Any], Any]) -> None:
    for stream, part in partitions_of(source):
        visit(stream)
        visit(part)


def _search_for(secrets: Sequence[str]) -> Callable[[str], bool]:
    """A function that searches a text for the secrets, plain or in Base64, as HTTP sends passwords (RFC 7617)."""
    forms = [form for secret in secrets for form in (secret, *_in_base64(secret.encode()))]
    return lambda text: any(form in text for form in forms)


def _in_base64(secret: bytes) -> Iterator[str]:
    """The part that all Base64 texts with the secret share, for each of the three offsets at which it can begin."""
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + secret).decode()
        yield encoded[(before * 8 + 5) // 6 : (before + len(secret)) * 8 // 6]
