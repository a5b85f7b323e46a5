# SPDX-License-Identifier: Apache-2.0
"""A flow file with comments that explain the lines one would change, for people who write their first one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...contract.remedies import one_line
from ...contract.toml import toml_key, toml_value

MAX_LISTED = 40
"""Streams that a comment lists."""


@dataclass(frozen=True, slots=True)
class FoundStream:
    """A stream that was found in the source, why it cannot be read, and lines of options that it may need."""

    name: str
    write_mode: str
    primary_key: Sequence[str] = ()
    cursor: str | None = None
    error: str | None = None
    hints: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the source that may mend the error."""
    note: str | None = None


def commented_text(flow: Mapping[str, Any], streams: Sequence[FoundStream], *, file: str) -> str:
    """The flow, which has one source, one destination and one entry, as the text of a flow file.

    :param streams: those that the flow reads. :param file: what the file is called.
    """
    ((source_id, source),) = flow["sources"].items()
    ((destination_id, destination),) = flow["destinations"].items()
    (entry,) = flow["flows"]
    header = toml_key(source_id)
    blocks = [
        [f"# Check it: vdk datasource check {file}", f"# Run it:   vdk datasource run {file}"],
        [f"[sources.{header}]", f"name = {toml_value(source['name'])}"],
        [
            f"[sources.{header}.config]",
            *_lines(source["config"]),
            *_notes(streams),
            *_hints(streams, source["config"]),
            f"# All options: vdk datasource config {source['name']}",
        ],
        [
            f"[destinations.{toml_key(destination_id)}]",
            *_lines(destination),
            "# Other targets: sqlite:///lake.db, postgresql://user@host/lake, parquet:///lake",
        ],
        ["[[flows]]", *_lines(entry), *_flow_comments(entry, streams)],
    ]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{toml_key(name)} = {toml_value(value)}" for name, value in table.items()]


def _notes(streams: Sequence[FoundStream]) -> list[str]:
    texts = [(stream.name, text) for stream in streams for text in (stream.error, stream.note) if text]
    return [f"# {name}: {one_line(text)}" for name, text in texts]


def _hints(streams: Sequence[FoundStream], config: Mapping[str, Any]) -> list[str]:
    lines = dict.fromkeys(_with_present(" ".join(hint.split()), config) for stream in streams for hint in stream.hints)
    if not lines:
        return []
    shown = [f"# {line}" for line in list(lines)[:MAX_LISTED]]
    replaced = [
        stream.name
        for stream in streams
        if stream.write_mode == "replace" and any("primary_key" in hint for hint in stream.hints)
    ]
    names = ", ".join(map(toml_value, replaced[:3])) + (", …" if len(replaced) > 3 else "")
    warning = [f"# Without a primary_key, each run replaces the whole table: {names}"] if replaced else []
    return [*warning, "# What you may want, each without the # at its beginning:", *shown]


def _with_present(line: str, config: Mapping[str, Any]) -> str:
    """A line for the only table of a list, which replaces the one in the file, with the options that this has."""
    try:
        ((name, value),) = tomllib.loads(line).items()
    except ValueError:  # several options, or a comment
        return line
    present = config.get(name)
    tables = [*value, *present] if isinstance(value, list) and isinstance(present, list) else []
    if len(tables) != 2 or not all(isinstance(table, Mapping) for table in tables):
        return line
    return f"{toml_key(name)} = {toml_value([{**tables[1], **tables[0]}])}"


def _flow_comments(entry: Mapping[str, Any], streams: Sequence[FoundStream]) -> list[str]:
    lines = []
    if streams and "streams" not in entry:
        names = toml_value([stream.name for stream in streams[:3]])
        lines.append(f"# streams = {names}  # default: all, also those that come later")
    if "write_mode" not in entry:
        lines.append('# write_mode = "append"  # or "upsert", "replace"; default: as listed here')
    for stream in streams[:MAX_LISTED]:
        key = f"key {', '.join(stream.primary_key)}" if stream.primary_key else "no key"
        cursor = f"new rows by {stream.cursor}" if stream.cursor else "no cursor"
        lines.append(f"#   {toml_value(stream.name)}: {toml_value(f'{key}, {cursor}')[1:-1]}, {stream.write_mode}")
    if len(streams) > MAX_LISTED:
        lines.append(f"#   and {len(streams) - MAX_LISTED} more")
    return lines
