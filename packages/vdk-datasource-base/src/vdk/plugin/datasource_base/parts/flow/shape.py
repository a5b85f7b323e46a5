# SPDX-License-Identifier: Apache-2.0
"""The usual mistakes in the tables of a flow file, found before its options are decoded, with the lines to write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ...contract import ConfigurationError
from ...contract.remedies import closest, toml

TABLES = {
    "sources": '[sources.shop]\nname = "sqlite"\nconfig = { database = "shop.db" }',
    "destinations": '[destinations.lake]\nmethod = "arrow"\ntarget = "duckdb:///lake.duckdb"',
    "flows": '[[flows]]\nfrom = "shop"\nto = "lake"',
}
"""The tables that every flow file has, with an example of each."""
_OPTIONS = {"sources": ("name", "config"), "destinations": ("method", "target")}
_OTHER_NAMES = {
    "source": "from",
    "src": "from",
    "input": "from",
    "destination": "to",
    "target": "to",
    "sink": "to",
    "output": "to",
    "into": "to",
    "stream": "streams",
    "table": "destination_table",
    "tables": "streams",
    "select": "streams",
    "mode": "write_mode",
    "write_disposition": "write_mode",
    "load_method": "write_mode",
}
"""The names of other tools for the options of a flow."""
_OTHER_MODES = {
    "insert": "append",
    "merge": "upsert",
    "update": "upsert",
    "overwrite": "replace",
    "full": "replace",
    "full_refresh": "replace",
    "truncate": "replace",
}
"""The names of other tools for write modes."""


def check_shape(data: Any, location: str, flow_options: Iterable[str]) -> None:
    """Raises ``ConfigurationError`` with the lines to write if a table is missing or has another name.

    :param flow_options: the options of a flow.
    """
    if not data:
        example = "\n\n".join(TABLES.values())
        raise ConfigurationError(f"{location}: the flow file is empty; write, for example:\n{example}")
    known = tuple(flow_options)
    for problem in _problems(data, known):
        raise ConfigurationError(f"{location}: {problem}")


def _problems(data: Mapping[str, Any], flow_options: tuple[str, ...]) -> Iterator[str]:
    for key in data:
        if key not in TABLES and (near := _similar(key, TABLES)):
            yield f"unknown table {key!r}; write {_header(near, data[key])} instead"
    for table, example in TABLES.items():
        if not data.get(table):
            yield f"{table} is missing or empty; write, for example:\n{example}"
    for table, options in _OPTIONS.items():
        if isinstance(data[table], Mapping):
            yield from _entry_problems(table, data[table], options)
    if isinstance(data["flows"], list):
        for number, entry in enumerate(data["flows"]):
            if isinstance(entry, Mapping):
                yield from _flow_problems(f"flows[{number}]", entry, data, flow_options)


def _entry_problems(table: str, entries: Mapping[str, Any], options: tuple[str, ...]) -> Iterator[str]:
    """The problems in ``[sources.<id>]`` or ``[destinations.<id>]``."""
    for name, entry in entries.items():
        if name in options and not isinstance(entry, (Mapping, list)):
            header = _header(table, None)
            yield f"[{table}] needs a name of your choice after a dot; write {header} instead of [{table}]"
        if isinstance(entry, Mapping) and table == "sources":
            for key in entry:
                if key not in options and not _similar(key, options):
                    yield (
                        f"sources.{name}: unknown option {key!r}; the options of the source itself belong into config: "
                        f"write config = {{ {key} = … }}"
                    )
            if "name" not in entry and not any(_similar(key, ("name",)) for key in entry):
                yield (
                    f"sources.{name}: the option 'name' is missing; write name = \"sqlite\", or another name that "
                    "`vdk datasource list` shows"
                )


def _flow_problems(
    location: str, entry: Mapping[str, Any], data: Mapping[str, Any], options: tuple[str, ...]
) -> Iterator[str]:
    for key, value in entry.items():
        if key not in options and (option := _OTHER_NAMES.get(key, key)) in options and option not in entry:
            value = [value] if option == "streams" and isinstance(value, str) else value
            yield f"{location}: unknown option {key!r}; write {option} = {_written(value)}"
    mode = entry.get("write_mode")
    if isinstance(mode, str) and (write := _OTHER_MODES.get(mode.lower())):
        yield (
            f"{location}.write_mode: Expected 'append' or 'replace' or 'upsert', the value is {mode!r}; "
            f"write write_mode = {toml(write)}"
        )
    for option, table in (("from", "sources"), ("to", "destinations")):
        if option not in entry and not any(_similar(key, (option,)) for key in entry):
            names = list(data[table]) if isinstance(data[table], Mapping) else []
            lines = " or ".join(f"{option} = {toml(name)}" for name in names[:5])
            yield f"{location}: the option {option!r} is missing; write {lines or option}"


def _written(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return f"[{', '.join(map(toml, value))}]"
    return toml(value) if isinstance(value, (str, int, float)) else "…"


def _header(table: str, entries: Any) -> str:
    if table == "flows":
        return "[[flows]]"
    example = TABLES[table].partition("\n")[0]
    names = [entry for entry in entries if isinstance(entries[entry], Mapping)] if isinstance(entries, Mapping) else []
    return f"[{table}.{names[0]}]" if names else example


def _similar(key: str, known: Iterable[str]) -> str | None:
    return next(iter(closest(key, known, limit=1)), None)
