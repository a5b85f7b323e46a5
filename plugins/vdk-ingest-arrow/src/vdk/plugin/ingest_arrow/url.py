"""Target URLs: ``duckdb:///lake.duckdb?schema=raw``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from vdk.plugin.datasource_base.contract import ConfigurationError, Duration

EXAMPLE = "duckdb:///lake.duckdb"
LOCK_TIMEOUT = "30s"


@dataclass(frozen=True, slots=True)
class TargetUrl:
    """A target, taken apart. Its ``repr`` shows no password.

    :param scheme: lower-case: ``duckdb``.
    :param rest: what stands between ``scheme://`` and ``?``, still percent-encoded.
    :param options: what stands behind ``?``, decoded.
    """

    scheme: str
    rest: str = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, target: str | None) -> TargetUrl:
        """Raises ``ConfigurationError`` for what is no URL. Errors never show the target: it may hold a password."""
        if not target:
            raise ConfigurationError(f"the ingestion method 'arrow' needs a target, for example {EXAMPLE!r}")
        scheme, colon, rest = target.partition("://")
        if not colon:
            raise ConfigurationError(f"the target is no URL: write it as in {EXAMPLE!r}")
        rest, _, query = rest.partition("?")
        options: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name in options:
                raise ConfigurationError(f"the target's option {name!r} is there twice")
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
                "it is absolute: behind two slashes stands a host, and an embedded database has none"
            )
        if "\0" in path:
            raise ConfigurationError("the target's file name has a NUL character in it")
        return Path.cwd() / folder / path

    def option_names_within(self, known: tuple[str, ...]) -> None:
        """Raises ``ConfigurationError`` for an option that is not ``known``."""
        if unknown := sorted(set(self.options) - set(known)):
            raise ConfigurationError(
                f"the target has the unknown option {unknown[0]!r}; the options of {self.scheme} are {', '.join(known)}"
            )

    def schema(self, default: str) -> str:
        """The option ``schema``. Raises ``ConfigurationError`` for one that names none."""
        schema = self.options.get("schema", default)
        if not schema or "\0" in schema:
            raise ConfigurationError("the target's option 'schema' names no schema")
        return schema

    def lock_timeout(self) -> float:
        """The option ``lock_timeout``, in seconds. Raises ``ConfigurationError`` for what is no duration."""
        try:
            return Duration.parse(self.options.get("lock_timeout", LOCK_TIMEOUT)).total_seconds()
        except ValueError as error:
            raise ConfigurationError(f"the target's option 'lock_timeout': {error}") from None


def file_identity(path: Path) -> str:
    """A file as a part of an identity: the same through every link, and never read for the options behind it."""
    return Path(os.path.realpath(path)).as_posix().replace("%", "%25").replace("?", "%3F")
