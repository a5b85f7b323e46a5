# SPDX-License-Identifier: Apache-2.0
"""Targets: how their URLs are written, and the destination that each kind of URL stands for."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from vdk.plugin.datasource_base.contract import ConfigurationError, Duration
from vdk.plugin.datasource_base.parts import Destination, takes_urls

_PACKAGE = "vdk.plugin.ingest_arrow"
TARGETS = {
    "duckdb": f"{_PACKAGE}.duckdb.database:DuckDBTarget",
    "parquet": f"{_PACKAGE}.parquet.target:ParquetTarget",
    "postgres": f"{_PACKAGE}.postgresql.database:PostgresqlTarget",
    "postgresql": f"{_PACKAGE}.postgresql.database:PostgresqlTarget",
    "sqlite": f"{_PACKAGE}.sqlite.database:SqliteTarget",
}
"""URL scheme → the target's class, imported when a flow names it: each brings its own client library."""

EXTRAS = {"adbc_driver_postgresql": "postgresql", "adbc_driver_manager": "postgresql"}
"""A package that may be missing → the extra of this distribution that installs it."""

EXAMPLE = "duckdb:///lake.duckdb"
LOCK_TIMEOUT = "30s"


@takes_urls(*TARGETS)
def arrow_destination(target: str | None, *, folder: Path) -> Destination:
    """The destination of the method ``arrow``: the one that lands Arrow tables where the target's URL points.

    ``duckdb:///lake.duckdb`` is a file relative to ``folder``, ``duckdb:////data/lake.duckdb`` an absolute one, and
    ``parquet:///lake`` a folder. Rows and state commit together: each row lands exactly once, whenever the run is
    killed.

    :raises ConfigurationError: for an unknown kind of URL, a wrong option, and a client library that is not installed.
    """
    scheme = TargetUrl.parse(target).scheme
    if scheme not in TARGETS:
        known = ", ".join(f"{name}://" for name in sorted(TARGETS))
        raise ConfigurationError(f"the method 'arrow' does not know {scheme}:// URLs: use one of {known}")
    return _target_class(scheme)(target, folder=folder)


def _target_class(scheme: str) -> type[Destination]:
    module, _, name = TARGETS[scheme].partition(":")
    try:
        target_class: type[Destination] = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS:
            raise
        raise ConfigurationError(
            f"a target {scheme}://… needs the package {missing.replace('_', '-')}, which is not installed: "
            f"pip install 'vdk-ingest-arrow[{EXTRAS[missing]}]'"
        ) from error
    return target_class


@dataclass(frozen=True, slots=True)
class TargetUrl:
    """The parts of a target, such as ``duckdb:///lake.duckdb?schema=raw``. Its ``repr`` shows no password.

    :param scheme: lower-case: ``duckdb``.
    :param rest: the part between ``scheme://`` and ``?``, still percent-encoded.
    :param options: the part after ``?``, decoded.
    """

    scheme: str
    rest: str = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, target: str | None) -> TargetUrl:
        """Raises ``ConfigurationError`` for anything but a URL, without showing it: it may contain a password."""
        if not target:
            raise ConfigurationError(f"the ingestion method 'arrow' needs a target, for example {EXAMPLE!r}")
        scheme, colon, rest = target.partition("://")
        if not colon:
            raise ConfigurationError(f"the target is not a URL: write it as in {EXAMPLE!r}")
        rest, _, query = rest.partition("?")
        options: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name in options:
                raise ConfigurationError(f"the target has the option {name!r} twice: remove one")
            options[name] = value
        return cls(scheme.lower(), rest, options)

    def file(self, folder: Path) -> Path:
        """The file of an embedded database, absolute: three slashes start from ``folder``, four from the root.

        :raises ConfigurationError: for a host, and for a database in memory.
        """
        path = unquote(self.rest.removeprefix("/"))
        if not self.rest or path in ("", ":memory:"):
            raise ConfigurationError(
                f"the target {self.scheme}://{self.rest} is a database in memory, which is gone when the run ends: "
                f"name a file, as in '{self.scheme}:///lake.{self.scheme}'"
            )
        if not self.rest.startswith("/"):
            raise ConfigurationError(
                f"the target's file needs three slashes before it ('{self.scheme}:///lake.{self.scheme}'), or four if "
                "it is absolute: after two slashes comes a host, which an embedded database does not have"
            )
        if "\0" in path:
            raise ConfigurationError("the target's file name contains a NUL character: remove the %00")
        return Path.cwd() / folder / path

    def check_options(self, known: tuple[str, ...]) -> None:
        """Raises ``ConfigurationError`` for an option that is not ``known``."""
        if unknown := sorted(set(self.options) - set(known)):
            raise ConfigurationError(
                f"the target has the unknown option {unknown[0]!r}; the options of {self.scheme} are {', '.join(known)}"
            )

    def schema(self, default: str) -> str:
        """The option ``schema``. Raises ``ConfigurationError`` for an empty name."""
        schema = self.options.get("schema", default)
        if not schema or "\0" in schema:
            raise ConfigurationError(
                f"the target's option 'schema' is not a schema name: write it as in '?schema={default}'"
            )
        return schema

    def lock_timeout(self) -> float:
        """The option ``lock_timeout``, in seconds. Raises ``ConfigurationError`` for a value that is not a duration."""
        try:
            return Duration.parse(self.options.get("lock_timeout", LOCK_TIMEOUT)).total_seconds()
        except ValueError as error:
            raise ConfigurationError(f"the target's option 'lock_timeout': {error}") from None


def path_identity(path: Path) -> str:
    """A path as part of an identity: the same through every link, and with no character that begins an option."""
    return Path(os.path.realpath(path)).as_posix().replace("%", "%25").replace("?", "%3F")
