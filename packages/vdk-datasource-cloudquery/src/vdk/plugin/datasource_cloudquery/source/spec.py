# SPDX-License-Identifier: Apache-2.0
"""The ``spec`` of a CloudQuery configuration: the options of a source, and those of serving it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base import (
    ConfigurationError,
    DataSource,
    DataSourceConfig,
    DataSourceError,
    Duration,
    Secret,
)
from vdk.plugin.datasource_base.contract import decode_config
from vdk.plugin.datasource_base.parts import ColumnPolicy, Redactor

OPTIONS = "cloudquery"
"""The key of the spec under which ``ServeOptions`` are: a source may have options of the same names."""
LOCATION = "spec"
Lookup = Callable[[str], str | None]


class ServeOptions(DataSourceConfig):
    """How rows are handed over, for any source. None: the default of a flow."""

    deletes: Annotated[
        Literal["skip", "record", "column"],
        Meta(
            description="rows that the source reports as deleted: skip them, send a delete record for each, or send "
            "the key with the time in the column _vdk_deleted_at"
        ),
    ] = "column"
    on_bad_record: Annotated[
        Literal["fail", "reject"] | None, Meta(description="a bad row fails its table, or is logged as an error")
    ] = None
    max_rejected: Annotated[int | str | None, Meta(description='rows to reject before the table fails, or "5%"')] = None
    max_parallel_partitions: Annotated[
        Annotated[int, Meta(ge=1, le=2**63 - 1)] | None, Meta(description="partitions that are read in parallel")
    ] = None
    retry_for: Annotated[Duration | None, Meta(description="how long an unreachable system is retried")] = None
    columns: Annotated[
        dict[str, Literal["keep", "drop", "hash", "mask", "refuse"]] | list[str] | None,
        Meta(description="what lands of which column, as columns of a flow; a list: only these"),
    ] = None
    salt: Annotated[Secret | None, Meta(description="the salt of hashed columns, 16 characters or more")] = None

    def of_flow(self) -> dict[str, Any]:
        """The options that a flow has under the same names."""
        names = ("on_bad_record", "max_rejected", "max_parallel_partitions")
        chosen = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.retry_for is not None:
            chosen["retry_for"] = f"{self.retry_for.total_seconds():.3f}s"
        if self.columns is not None:
            chosen["columns"] = self.columns
        if self.salt is not None:
            chosen["salt"] = "${secret:salt}"
        return chosen

    def lookups(self) -> dict[str, Lookup]:
        """What the references in ``of_flow`` stand for."""
        salt = self.salt
        return {} if salt is None else {"secret": lambda key: salt.reveal()}

    def policy(self) -> ColumnPolicy | None:
        """The column policy. Raises ``ConfigurationError`` for a name or a salt that is wrong."""
        salt = None if self.salt is None else self.salt.reveal()
        return ColumnPolicy.parse(self.columns, salt, f"{LOCATION}: {OPTIONS}")


MakeSource = Callable[[], DataSource[Any]]


@dataclass(frozen=True, slots=True)
class Spec:
    """A validated spec.

    :param make: makes a source with these options, not connected.
    """

    name: str
    config: DataSourceConfig
    options: ServeOptions
    policy: ColumnPolicy | None
    redact: Redactor
    make: MakeSource

    @classmethod
    def parse(cls, source_class: type[DataSource[Any]], content: bytes, made: MakeSource | None = None) -> Spec:
        """From the JSON that the CLI sends.

        :param made: makes the source if the spec has no option of it.
        :raises ConfigurationError: naming the option, its value and what was expected.
        """
        try:
            data = msgspec.json.decode(content or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{LOCATION}: it is not valid JSON: {error}") from None
        except RecursionError:
            raise ConfigurationError(f"{LOCATION}: it is nested too deeply; remove levels of it") from None
        data = {} if data is None else data
        if not isinstance(data, dict):
            raise ConfigurationError(f"{LOCATION}: expected the options of a source, got {type(data).__name__}")
        written = data.pop(OPTIONS, None)  # YAML has null for a key without a value
        options = decode_config({} if written is None else written, ServeOptions, location=f"{LOCATION}: {OPTIONS}")
        policy = options.policy()
        if made is not None and not data:
            config = made().config
            return cls(source_class.source_name, config, options, policy, Redactor.of_config([config, options]), made)
        config = decode_config(data, source_class.config_type, location=LOCATION)
        redact = Redactor.of_config([config, options])

        def make() -> DataSource[Any]:
            try:
                return source_class(config)
            except ConfigurationError as error:  # the source knows its options, not where they are
                raise type(error)(redact(f"{LOCATION}: {error}")) from None
            except Exception as error:
                raise DataSourceError(redact(f"{LOCATION}: {type(error).__name__}: {error}")) from None

        make()  # some sources check their options together
        return cls(source_class.source_name, config, options, policy, redact, make)
