# SPDX-License-Identifier: Apache-2.0
"""``vdk datasource copy SOURCE_URL TARGET_URL``: a flow in one line, without a file."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from .base_command import Command, console_of, wrong_arguments
from .output import OUTPUT, set_values
from .run_commands import REPORT, SUMMARY, check_files, print_summary

if TYPE_CHECKING:
    from vdk.api.job_input import IJobInput

    from ...parts.flow.from_urls import UrlFlow
    from ...runtime import RunSummary
    from ...runtime.report.planned import PlannedStream

log = logging.getLogger(__name__)
MAX_SHOWN = 30
"""Streams whose key and cursor are shown."""

TABLES = click.option(
    "--tables",
    metavar="NAMES",
    default="",
    help='The tables, or other streams, to read: names and patterns, as in "orders,cust*,!audit_*". Default: all.',
)
CURSOR = click.option(
    "--cursor",
    metavar="COLUMN",
    help="The column that grows with every change, for the tables that have it. Default: updated_at and similar names.",
)

SET = click.option(
    "--set",
    "options",
    metavar="OPTION=VALUE",
    multiple=True,
    help="An option of the source or of the flow, such as on_bad_record=reject; can be repeated.",
)


@click.command(
    cls=Command,
    reraise=True,
    json_warnings=True,
    help="""Copy tables, records or messages into a target, with two URLs and no flow file. The same command later
    continues where this one stopped.

    \b
      vdk datasource copy sqlite:///shop.db duckdb:///lake.duckdb
      vdk datasource copy postgresql://reader@host/shop parquet:///lake --tables "orders,cust*"
      vdk datasource copy https://api.example.com/v1/orders duckdb:///lake.duckdb
      vdk datasource copy kafka://host:9092/clicks duckdb:///lake.duckdb

    Three slashes begin a path in the working folder, four an absolute path. To keep a password out of the list of
    processes, write it as a reference, in single quotes: 'postgresql://reader:${env:PGPASSWORD}@host/shop'.
    """,
)
@click.argument("source", metavar="SOURCE_URL")
@click.argument("target", metavar="TARGET_URL")
@TABLES
@CURSOR
@click.option(
    "--mode",
    type=click.Choice(["append", "upsert", "replace"]),
    help="How rows land. Default: upsert or append for tables with a cursor, replace for those that are read whole.",
)
@click.option(
    "--destination-table",
    metavar="NAME",
    help='The name of each table in the target, as in "west_{table}". Default: the name that it has in the source.',
)
@click.option("--shared-table", is_flag=True, help="Land beside the rows that other sources have in a table.")
@click.option("--yes", is_flag=True, help="Replace the rows of other sources, or those that no run has landed.")
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write this flow file, which `vdk datasource run` continues with.",
)
@SET
@SUMMARY
@REPORT
@OUTPUT
@click.pass_context
def copy(
    ctx: click.Context,
    source: str,
    target: str,
    tables: str,
    cursor: str | None,
    mode: str | None,
    destination_table: str | None,
    shared_table: bool,
    yes: bool,
    save: Path | None,
    options: tuple[str, ...],
    summary: Path | None,
    report: Path | None,
    output: str,
) -> None:
    from ...parts.flow.from_urls import flow_of_urls
    from ...parts.plugins.registry import Registry
    from ..hooks import with_plugins

    registry = with_plugins(Registry(), ctx.obj.plugin_registry)
    with wrong_arguments():
        flow = flow_of_urls(
            source,
            target,
            registry,
            tables=names_in(tables),
            cursor=cursor,
            mode=mode,
            destination_table=destination_table,
            shared_table=shared_table,
        )
        changed = with_options(ctx, flow, options, (source, target))
        file = _File(changed, save, registry) if save is not None else None
        check_files(summary, report)

    def planned(streams: Sequence[PlannedStream]) -> None:
        _check_cursor(streams, cursor)
        _show(streams)
        if file is not None:
            file.write()

    _run(ctx, flow, save or Path(f"{flow.source_id}.toml"), summary, report, planned, confirmed=yes)


def with_options(
    ctx: click.Context, flow: UrlFlow, options: Sequence[str], urls: tuple[str, str] | None = None
) -> UrlFlow:
    """The flow with the options of ``--set``. The job of the command gets them too, and refuses secrets among them.

    Messages are those of a command line from now on.
    """
    from ..texts.copy_text import of_command_line

    console_of(ctx).rewrite = lambda text: of_command_line(text, flow, urls)
    values = flow.values_of(options)
    set_values(ctx, values)
    return flow.with_values(values)


def names_in(tables: str) -> list[str]:
    """The names and patterns of ``--tables``."""
    return [name.strip() for name in tables.split(",") if name.strip()]


class _File:
    """The flow file that ``--save`` writes. It never replaces another one.

    :raises ConfigurationError: if it cannot be written as it is meant.
    """

    def __init__(self, flow: UrlFlow, path: Path, registry: Any) -> None:
        from ...contract import ConfigurationError
        from ...parts.flow.from_urls import check_folder
        from ...parts.flow.text import flow_text
        from ...runtime.report.files import check_writable

        self._path = path
        content, self._variables = flow.without_secrets()
        self._text = (
            f"# Run it again with: vdk datasource run {quote(path.name)}\n"
            f"# All options of the source: vdk datasource config {flow.source.source_name}\n\n"
            f"{flow_text(content)}\n"
        )
        if not path.parent.is_dir():
            raise ConfigurationError(f"--save: the folder {str(path.parent)!r} does not exist; create it first")
        if path.exists() and not path.is_file():
            raise ConfigurationError(f"--save: {str(path)!r} is not a file; write another name")
        if path.exists() and _content(path) != self._text:
            raise ConfigurationError(
                f"--save: {str(path)!r} exists, with other content; write another name, or run the file instead: vdk "
                f"datasource run {quote(str(path))}"
            )
        check_writable(path, what="--save: the file", remedy="write another name")
        check_folder(flow, path.parent, registry)

    def write(self) -> None:
        from ...contract import ConfigurationError

        try:
            self._path.write_text(self._text, "utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"--save: {str(self._path)!r} cannot be written: {error.strerror}; nothing was read"
            ) from None
        log.info("saved as %s; next: vdk datasource run %s", self._path, quote(str(self._path)))
        warn_of_variables(self._variables, self._path)


def warn_of_variables(variables: Mapping[str, str], path: Path) -> None:
    """Say which variables a flow file reads in place of the secrets that it does not have."""
    for name in variables:
        log.warning(
            "%s has no password: it reads ${env:%s}. Write %s=… into the file .env beside it, with the password as the "
            "URL has it, or export it before a run", path, name, name,
        )  # fmt: skip


def _content(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _check_cursor(streams: Sequence[PlannedStream], cursor: str | None) -> None:
    if cursor is not None and streams and not any(stream.cursor == cursor for stream in streams):
        from ...contract.errors import ArgumentError

        names = ", ".join(stream.stream for stream in streams[:10])
        raise ArgumentError(f"--cursor: none of these tables has a column {cursor!r}: {names}; correct the name")


def _show(streams: Sequence[PlannedStream]) -> None:
    """Say what was picked for each stream."""
    for stream in streams[:MAX_SHOWN]:
        key = f"key {', '.join(stream.primary_key)}" if stream.primary_key else "no key"
        cursor = f"cursor {stream.cursor}" if stream.cursor else "read whole" if not stream.incremental else "new rows"
        level = logging.WARNING if stream.write_mode == "append" and stream.cursor else logging.INFO
        again = "; a row that changes lands once more" if level == logging.WARNING else ""
        log.log(level, "%s.%s: %s, %s, %s%s", stream.source, stream.stream, key, cursor, stream.write_mode, again)
    if len(streams) > MAX_SHOWN:
        log.info("and %d more", len(streams) - MAX_SHOWN)


def _run(
    ctx: click.Context,
    flow: UrlFlow,
    path: Path,
    summary: Path | None,
    report: Path | None,
    planned: Any,
    *,
    confirmed: bool,
) -> None:
    """Run the flow as the only step of a job, and print its summary however it ends."""
    from ...contract.errors import ArgumentError
    from ...parts.flow.file import UnknownStreamError
    from ...runtime.scope import RunScope
    from ..flow_job import run_flow_job
    from ..job_environment import run_in_job

    console = console_of(ctx)
    summaries: list[RunSummary] = []

    def step(job_input: IJobInput) -> None:
        try:
            run_in_job(
                job_input,
                flow.flow,
                summary=summary,
                report=report,
                on_summary=summaries.append,
                draw=console.draws_progress,
                on_planned=planned,
                scope=RunScope(confirmed=confirmed),
            )
        except UnknownStreamError as error:  # of --tables
            raise ArgumentError(str(error)) from None

    try:
        run_flow_job(ctx.obj, path.resolve(), step)
    finally:
        for last in summaries[-1:]:
            print_summary(last, console)
