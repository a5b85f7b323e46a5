# SPDX-License-Identifier: Apache-2.0
"""The options of a reader: Spark has them as texts, under names in lower case."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceConfig, Duration, decode_config
from vdk.plugin.datasource_base.parts import ColumnPolicy
from vdk.plugin.datasource_base.runtime import ConfiguredSource, Environment, configured_source

LOCATION = "options"
CONFIG = "option config"


class ReadOptions(DataSourceConfig):
    """What is read, and what becomes of what has no place in a data frame."""

    source: Annotated[str, Meta(description="the registered name of the source, such as sqlite")]
    stream: Annotated[str, Meta(description="the name of the stream, such as a table or a topic")]
    config: Annotated[dict[str, Any], Meta(description="the source's options, as TOML or JSON")] = msgspec.field(
        default_factory=dict
    )
    table: Annotated[
        str | None, Meta(description="the table whose rows are read, of a stream with rows for several tables")
    ] = None
    columns: Annotated[list[str], Meta(description="the columns to read; default: all")] = msgspec.field(
        default_factory=list
    )
    policy: Annotated[
        dict[str, Literal["keep", "drop", "hash", "mask", "refuse"]],
        Meta(description="what is read of which column, as columns of a flow: TOML or JSON, such as ssn = 'hash'"),
    ] = msgspec.field(default_factory=dict)
    salt: Annotated[
        str | None, Meta(description="the salt of hashed columns, a reference that each executor resolves: ${env:SALT}")
    ] = None
    extra: Annotated[
        Literal["drop", "column"],
        Meta(description="columns that the schema lacks: drop them with a warning, or JSON in _vdk_extra"),
    ] = "drop"
    deletes: Annotated[
        Literal["fail", "column", "skip"],
        Meta(description="keys of deleted rows: fail, rows with _vdk_deleted, or leave them out"),
    ] = "fail"
    on_bad_record: Annotated[
        Literal["fail", "column"], Meta(description="rows that do not fit: fail, or rows with _vdk_error")
    ] = "fail"
    max_rejected: Annotated[int | str, Meta(description='rows of a task to reject before it fails, or "5%"')] = "10%"
    since: Annotated[str | None, Meta(description="the lowest cursor of a batch")] = None
    until: Annotated[str | None, Meta(description="the cursor at which a batch ends, itself not read")] = None
    pushdown: Annotated[bool, Meta(description="read only the range of the cursor that a filter asks for")] = False
    partitions: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None, Meta(description="the largest number of Spark's partitions")
    ] = None
    range_rows: Annotated[
        int, Meta(ge=1, description="a table is read in ranges of its key or cursor, of so many rows at least")
    ] = 100_000
    max_parallel_partitions: Annotated[
        int, Meta(ge=1, le=1_000, description="partitions of the source that one task reads in parallel")
    ] = 1
    sample_rows: Annotated[
        int, Meta(ge=1, le=1_000_000, description="rows from which types are inferred that the source does not declare")
    ] = 1_000
    retry_for: Annotated[Duration | None, Meta(description="how long an unreachable system is retried")] = None

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> ReadOptions:
        """From the options of ``spark.read``. Raises ``ConfigurationError`` naming the option and its value."""
        data: dict[str, Any] = {name.lower(): value for name, value in options.items()}
        if "config" in data:
            data["config"] = _parse_config(data["config"])
        if "policy" in data:
            data["policy"] = _parse_config(data["policy"], "option policy")
        if "columns" in data:
            data["columns"] = [name.strip() for name in data["columns"].split(",") if name.strip()]
        spelled = {name: value for name, value in data.items() if isinstance(value, str)}
        read = decode_config(data, cls, location=LOCATION, lenient=spelled)
        if repeated := sorted({name for name in read.columns if read.columns.count(name) > 1}):
            raise ConfigurationError(f"{LOCATION}: columns names {repeated[0]!r} twice")
        read.column_policy()
        return read

    def column_policy(self) -> ColumnPolicy | None:
        """What is read of the columns, without the salt, which is the executors'."""
        if self.salt is not None and "${" not in self.salt:
            raise ConfigurationError(
                f'{LOCATION}: salt is written out, and Spark shows options; write option("salt", "${{env:SALT}}"), and '
                "set SALT on every executor"
            )
        with named_policy():
            return ColumnPolicy.parse(self.policy, None if self.salt is None else "only of executors", LOCATION)

    def flow_options(self) -> dict[str, Any]:
        """Those that a flow has under the same names."""
        flow: dict[str, Any] = {
            "write_mode": "append",
            "on_bad_record": "reject" if self.on_bad_record == "column" else "fail",
            "max_parallel_partitions": self.max_parallel_partitions,
        }
        if self.on_bad_record == "column":
            flow["max_rejected"] = self.max_rejected
        if self.policy:
            flow |= {"columns": self.policy, **({} if self.salt is None else {"salt": self.salt})}
        if self.retry_for is not None:
            flow["retry_for"] = f"{self.retry_for.total_seconds():.3f}s"
        return flow

    def configured(self, folder: str) -> ConfiguredSource:
        """The source, which is not connected. References are resolved in the process that calls it.

        :raises ConfigurationError: for wrong options.
        """
        return configured_source(self.source, self.config, Environment(), location=CONFIG, folder=Path(folder))


@contextmanager
def named_policy() -> Iterator[None]:
    """A flow's ``columns`` are the option ``policy`` here, as ``columns`` are those that are read."""
    try:
        yield
    except ConfigurationError as error:
        text = str(error).replace(f"{LOCATION}.columns", "option policy").replace(f"{LOCATION}.salt", "option salt")
        raise ConfigurationError(text) from None


def _parse_config(text: str, location: str = CONFIG) -> Any:
    """TOML, or JSON, which begins with a brace."""
    try:
        return msgspec.json.decode(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        # the parser's own message may show a part of the text, and so a password
        raise ConfigurationError(
            f"{location}: it is neither TOML nor JSON; write the lines of [sources.<id>.config] of a flow file, as in "
            'option("config", \'database = "shop.db"\')'
        ) from None
