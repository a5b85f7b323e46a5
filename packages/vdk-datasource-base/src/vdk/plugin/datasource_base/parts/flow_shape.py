"""What people write in place of a flow file's tables, found before its options are read, with the lines to write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..contract import ConfigurationError
from ..contract.remedies import toml
from ..contract.suggestions import closest

PARTS = {
    "sources": '[sources.shop]\nname = "sqlite"\nconfig = { database = "shop.db" }',
    "destinations": '[destinations.lake]\nmethod = "arrow"\ntarget = "duckdb:///lake.duckdb"',
    "flows": '[[flows]]\nfrom = "shop"\nto = "lake"',
}
"""The tables that every flow file has, as an example."""
_OPTIONS = {"sources": ("name", "config"), "destinations": ("method", "target")}
_ALIASES = {
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
"""Other tools' words for the options of a flow."""
_MODES = {
    "insert": "append",
    "merge": "upsert",
    "update": "upsert",
    "overwrite": "replace",
    "full": "replace",
    "full_refresh": "replace",
    "truncate": "replace",
}
"""Other tools' words for write modes."""


def check_shape(data: Any, where: str, flow_options: Iterable[str]) -> None:
    """Raises ``ConfigurationError`` with the lines to write where a table is missing or is called otherwise.

    :param flow_options: the options that a flow has.
    """
    if not data:
        example = "\n\n".join(PARTS.values())
        raise ConfigurationError(f"{where}: the flow file is empty; write, for example:\n{example}")
    known = tuple(flow_options)
    for problem in _problems(data, known):
        raise ConfigurationError(f"{where}: {problem}")


def _problems(data: Mapping[str, Any], flow_options: tuple[str, ...]) -> Iterator[str]:
    for key in data:
        if key not in PARTS and (near := _near(key, PARTS)):
            yield f"unknown table {key!r}; write {_header(near, data[key])} instead"
    for part, example in PARTS.items():
        if not data.get(part):
            yield f"{part} is missing or empty; write, for example:\n{example}"
    for part, options in _OPTIONS.items():
        if isinstance(data[part], Mapping):
            yield from _in_entries(part, data[part], options)
    if isinstance(data["flows"], list):
        for number, entry in enumerate(data["flows"]):
            if isinstance(entry, Mapping):
                yield from _in_flow(f"flows[{number}]", entry, data, flow_options)


def _in_entries(part: str, entries: Mapping[str, Any], options: tuple[str, ...]) -> Iterator[str]:
    """What is wrong in ``[sources.<id>]`` and its like."""
    for name, entry in entries.items():
        if name in options and not isinstance(entry, (Mapping, list)):
            yield f"[{part}] needs a name of your choice behind a dot; write {_header(part, None)} instead of [{part}]"
        if isinstance(entry, Mapping) and part == "sources":
            for key in entry:
                if key not in options and not _near(key, options):
                    yield (
                        f"sources.{name}: unknown option {key!r}; the options of the source itself stand in config: "
                        f"write config = {{ {key} = … }}"
                    )
            if "name" not in entry and not any(_near(key, ("name",)) for key in entry):
                yield (
                    f"sources.{name}: the option 'name' is missing; write name = \"sqlite\", or another of those that "
                    "`vdk datasource list` shows"
                )


def _in_flow(where: str, entry: Mapping[str, Any], data: Mapping[str, Any], options: tuple[str, ...]) -> Iterator[str]:
    for key, value in entry.items():
        if key not in options and (meant := _ALIASES.get(key, key)) in options and meant not in entry:
            value = [value] if meant == "streams" and isinstance(value, str) else value
            yield f"{where}: unknown option {key!r}; write {meant} = {_written(value)}"
    mode = entry.get("write_mode")
    if isinstance(mode, str) and (write := _MODES.get(mode.lower())):
        yield (
            f"{where}.write_mode: Expected 'append' or 'replace' or 'upsert', the value is {mode!r}; "
            f"write write_mode = {toml(write)}"
        )
    for option, part in (("from", "sources"), ("to", "destinations")):
        if option not in entry and not any(_near(key, (option,)) for key in entry):
            names = list(data[part]) if isinstance(data[part], Mapping) else []
            lines = " or ".join(f"{option} = {toml(name)}" for name in names[:5])
            yield f"{where}: the option {option!r} is missing; write {lines or option}"


def _written(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return f"[{', '.join(map(toml, value))}]"
    return toml(value) if isinstance(value, (str, int, float)) else "…"


def _header(part: str, entries: Any) -> str:
    if part == "flows":
        return "[[flows]]"
    example = PARTS[part].partition("\n")[0]
    names = [entry for entry in entries if isinstance(entries[entry], Mapping)] if isinstance(entries, Mapping) else []
    return f"[{part}.{names[0]}]" if names else example


def _near(key: str, known: Iterable[str]) -> str | None:
    return next(iter(closest(key, known, limit=1)), None)
