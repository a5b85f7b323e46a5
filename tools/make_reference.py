"""Writes docs/reference from the code: options of sources, keys of flow files, targets, and commands.

    .venv/bin/python tools/make_reference.py

Needs an environment with every distribution. A test of the examples compares the pages with what this writes.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import click

from vdk.plugin.datasource_base.integration.commands.group import datasource
from vdk.plugin.datasource_base.integration.config_keys import add_keys
from vdk.plugin.datasource_base.parts.flow.file import DestinationEntry, FlowEntry, FlowFile, SourceEntry
from vdk.plugin.datasource_base.parts.guarantee import guarantees_table
from vdk.plugin.datasource_base.parts.plugins.describe import describe
from vdk.plugin.datasource_base.parts.plugins.registry import Registry
from vdk.plugin.datasource_cloudquery.serving.command import serve

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
DELIVERY = FOLDER.parent / "delivery.md"
NOTE = "Generated from the code by `tools/make_reference.py`; a test compares the two."
PAGES = {
    "sqlite": "incremental",
    "postgres": "databases",
    "mysql": "databases",
    "sql": "databases",
    "rest": "rest",
    "kafka": "kafka",
    "singer": "singer",
}
"""Sources, and the page that describes each."""


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, "utf-8")
    DELIVERY.write_text(delivery(), "utf-8")
    return 0


def delivery() -> str:
    """docs/delivery.md with its table of guarantees."""
    begin, end = (
        f"<!-- {mark} -->" for mark in ("guarantees: written by tools/make_reference.py", "end of guarantees")
    )
    before, _, rest = DELIVERY.read_text("utf-8").partition(begin)
    return f"{before}{begin}\n{guarantees_table()}\n{end}{rest.partition(end)[2]}"


def pages() -> dict[str, str]:
    """The text of each page by its file name."""
    return {"sources.md": sources(), "flow-files.md": flow_files(), "commands.md": commands()}


def sources() -> str:
    """Each source with its options; those of several tables are listed for one table."""
    described = described_sources()
    parts = ["# Options of sources", f"{NOTE} `vdk datasource config NAME` prints the same in a terminal."]
    parts.append(
        "A source of a database has most of its options once more for each table, as `tables.<name>.OPTION`; there, "
        "`cursor` and `primary_key` exist too. An option of type `secret` is never printed."
    )
    for name, rows in described.items():
        more = f"[{PAGES[name]}.md](../{PAGES[name]}.md) explains them." if name in PAGES else ""
        parts += [f"## {name}", more, table(("option", "type", "default", "description"), rows)]
    return "\n\n".join(filter(None, parts)) + "\n"


def described_sources() -> dict[str, list[dict[str, str]]]:
    """The options of each source, without those that a table has too."""
    registry = Registry()
    return {
        entry.name: [
            row for row in describe(registry.source(entry.name).config_type) if ".<name>." not in row["option"]
        ]
        for entry in registry.sources()
        if entry.name != "acme"  # the template's, where that is installed too
    }


def flow_files() -> str:
    """The keys of a flow file, of VDK's configuration, and of the URLs of targets."""
    parts = ["# Flow files, keys and targets", f"{NOTE} [Configuration](../configuration.md) explains the keys."]
    for title, type_ in (
        ("The file", FlowFile),
        ("`[sources.<id>]`", SourceEntry),
        ("`[destinations.<id>]`", DestinationEntry),
        ("`[[flows]]`", FlowEntry),
    ):
        rows = [row for row in describe(type_) if "." not in row["option"] and "[" not in row["option"]]
        parts += [f"## {title}", table(("option", "type", "default"), rows)]
    parts += [
        "## VDK configuration keys",
        "As environment variables too: `DATASOURCE_BATCH_ROWS=1000 vdk run my-job`.",
        table(("key", "default", "description"), list(keys())),
        "## Options of targets",
        "They follow the `?` of a target's URL: `duckdb:///lake.duckdb?schema=raw`. [Targets](../targets.md) explains "
        "them.",
        table(("target", "options"), list(targets())),
    ]
    return "\n\n".join(parts) + "\n"


def keys() -> Iterator[dict[str, str]]:
    """What the base adds to VDK's configuration."""

    class Collected:
        """Keeps what is added, which VDK's own builder does not show."""

        def __init__(self) -> None:
            self.rows: list[dict[str, str]] = []

        def add(self, key: str, default_value: object = None, description: str = "") -> None:
            self.rows.append({"key": key, "default": str(default_value), "description": description})

    builder = Collected()
    add_keys(cast(Any, builder))
    yield from builder.rows


def targets() -> Iterator[dict[str, str]]:
    """Each kind of target with its options, as its class declares them."""
    from vdk.plugin.ingest_arrow.postgresql.url import OPTIONS
    from vdk.plugin.ingest_arrow.targets import TARGETS

    for scheme, path in TARGETS.items():
        module, _, name = path.partition(":")
        options = getattr(getattr(importlib.import_module(module), name), "options", OPTIONS)
        libpq = ", and those of libpq" if scheme.startswith("postgres") else ""
        yield {"target": f"`{scheme}://`", "options": ", ".join(f"`{option}`" for option in options) + libpq}


def commands() -> str:
    """The commands with their arguments and options."""
    parts = ["# All commands", f"{NOTE} [Commands](../commands.md) explains them, with examples."]
    for path, command in everything():
        arguments = [
            parameter.make_metavar(click.Context(command))
            for parameter in command.params
            if isinstance(parameter, click.Argument)
        ]
        parts += [f"## {' '.join(path[1:])}", f"`{' '.join([*path, *arguments])}`", f"{command.help}"]
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        if options:
            parts.append(table(("option", "description"), [option_row(option, command) for option in options]))
    return "\n\n".join(parts) + "\n"


def undescribed() -> Iterator[str]:
    """The options that nobody describes."""
    docs = FOLDER.parent
    for name, rows in described_sources().items():
        yield from (f"{name}: {row['option']}" for row in rows if not row["description"] and not documented(row, name))
    configuration, explained = (docs / "configuration.md").read_text("utf-8"), (docs / "targets.md").read_text("utf-8")
    for type_ in (FlowFile, SourceEntry, DestinationEntry, FlowEntry):
        names = [row["option"] for row in describe(type_) if "." not in row["option"]]
        yield from (f"{type_.__name__}: {name}" for name in names if not mentions(configuration, name))
    yield from (f"{row['key']}: no description" for row in keys() if not row["description"])
    for row in targets():
        names = [name.strip("`") for name in row["options"].partition(", and")[0].split(", ")]
        yield from (f"{row['target']} {name}" for name in names if not mentions(explained, name))
    for path, command in everything():
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        yield from (f"{' '.join(path)} {option.name}" for option in options if not (option.help or option.hidden))


def documented(row: Mapping[str, str], source: str) -> bool:
    """Whether the page of a source has the last part of an option's name as code."""
    page = (FOLDER.parent / f"{PAGES[source]}.md").read_text("utf-8")
    return mentions(page, row["option"].rpartition(".")[2])


def mentions(text: str, name: str) -> bool:
    """Whether a text has the name in code."""
    return re.search(rf"(?:`|\b){re.escape(name)}(?:`|\b)", text) is not None


def everything() -> list[tuple[tuple[str, ...], click.Command]]:
    """Each command with its words, ``serve`` included, which vdk-datasource-cloudquery adds."""
    return sorted(
        [*walk(datasource, ("vdk", "datasource")), (("vdk", "datasource", "serve"), serve)], key=lambda each: each[0]
    )


def walk(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in sorted(group.commands):
        command = group.commands[name]
        if isinstance(command, click.Group):
            yield from walk(command, (*path, name))
        else:
            yield (*path, name), command


def option_row(option: click.Option, command: click.Command) -> dict[str, str]:
    written, text = option.get_help_record(click.Context(command)) or ("", "")
    return {"option": written, "description": text}


def table(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """A table of Markdown; the first column is code unless it has some already."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for row in rows:
        cells = [escaped(row.get(column, "")) for column in columns]
        if cells[0] and "`" not in cells[0]:
            cells[0] = f"`{cells[0]}`"
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;") if "`" not in text else text


if __name__ == "__main__":
    sys.exit(main())
