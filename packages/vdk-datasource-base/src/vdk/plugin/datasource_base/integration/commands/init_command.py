# SPDX-License-Identifier: Apache-2.0
"""``vdk datasource init SOURCE``: looks at a source, and writes a first flow file with comments."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from ..flow_job import call_in_job
from .base_command import Command, WrongArgument, console_of, wrong_arguments
from .copy_command import CURSOR, SET, TABLES, names_in, warn_of_variables, with_options
from .inspect_commands import TIMEOUT, print_checks

if TYPE_CHECKING:
    from ...parts.flow.commented import FoundStream
    from ...parts.flow.from_urls import UrlFlow
    from ...parts.plugins.registry import Registry
    from ...runtime import Environment
    from ...runtime.inspect.check import CheckResult

DEFAULT_TARGET = "duckdb:///{}.duckdb"


@click.command(
    cls=Command,
    help="""Look at a source, and write a flow file for it, with comments about the lines that you may want to change.

    SOURCE is a SQLite file, the URL of a database or of a list of records in an API, or a Kafka server:

    \b
      vdk datasource init shop.db
      vdk datasource init postgresql://reader@host/shop
      vdk datasource init https://api.example.com/v1/orders
      vdk datasource init host:9092
      vdk datasource init rest --openapi api.json

    On a terminal it asks for what the options leave open; elsewhere it never asks.
    """,
)
@click.argument("source")
@click.option("--to", "target", metavar="TARGET_URL", help="Where rows land. Default: duckdb:///NAME.duckdb.")
@TABLES
@CURSOR
@SET
@click.option(
    "--openapi",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Write the flow file of the API that this document describes; SOURCE is rest.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file. Default: NAME.toml.")
@TIMEOUT
@click.pass_context
def init(
    ctx: click.Context,
    source: str,
    target: str | None,
    tables: str,
    cursor: str | None,
    options: tuple[str, ...],
    openapi: Path | None,
    out: Path | None,
    timeout: float,
) -> None:
    from ...parts.flow.from_urls import check_folder, flow_of_urls, with_default_target
    from ...parts.plugins.registry import Registry
    from ..hooks import with_plugins

    registry = with_plugins(Registry(), ctx.obj.plugin_registry)
    if openapi is not None:
        _write_openapi(source, openapi, target, out, registry)
        return

    def made(chosen: str | None, patterns: str) -> UrlFlow:
        arguments: dict[str, Any] = {"tables": names_in(patterns), "cursor": cursor}
        if chosen is not None:
            flow = flow_of_urls(source, chosen, registry, **arguments)
        else:
            flow = with_default_target(source, DEFAULT_TARGET, registry, **arguments)
        return with_options(ctx, flow, options)

    with wrong_arguments():
        flow = made(target, tables)
        path = out or Path(f"{flow.name}.toml")
        _check_new(path)
        check_folder(flow, path.parent, registry)
    streams: Sequence[FoundStream] = _look(ctx, flow, path, timeout)
    if _on_terminal():
        _list(streams)
        if not tables:
            answer = click.prompt("Which of them? Names and patterns, such as orders,cust*", default="all", err=True)
            tables = "" if answer.strip() == "all" else answer
        if target is None:
            target = click.prompt("Where to?", default=flow.target, err=True)
        flow = made(target, tables)
        streams = _look(ctx, flow, path, timeout) if tables else streams
    flow, streams = _mended(ctx, flow, path, streams, timeout)
    _write(ctx, flow, path, streams, timeout)


def _write_openapi(source: str, document: Path, target: str | None, out: Path | None, registry: Registry) -> None:
    """Write the flow file of an API by its document. Nothing is connected to."""
    from ...parts.flow.openapi import openapi_flow_text, read_document

    with wrong_arguments():
        path = out or Path(f"{document.stem}.toml")
        _check_new(path)
        text = openapi_flow_text(
            registry.source(source), read_document(document), target or DEFAULT_TARGET.format(path.stem), registry, path
        )
        path.write_text(text, "utf-8")
    click.echo(f"{path} is written. Look at its comments, then: vdk datasource check {quote(str(path))}")


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _check_new(path: Path) -> None:
    if not path.parent.is_dir():
        raise WrongArgument(f"--out: the folder {str(path.parent)!r} does not exist; create it first")
    if path.exists() or path.is_symlink():
        raise WrongArgument(f"{str(path)!r} exists already, and is not replaced; write --out another.toml")


def _look(ctx: click.Context, flow: UrlFlow, path: Path, seconds: float) -> list[FoundStream]:
    """The streams that the flow reads. Raises ``ClickException`` if the source cannot be looked at."""
    from ...parts.flow.commented import FoundStream
    from ...runtime.inspect.discover import discover_flow

    discovery = call_in_job(
        ctx.obj, path.resolve(), lambda environment: discover_flow(flow.flow, environment, seconds=seconds)
    )
    if discovery.errors:
        raise click.ClickException("; ".join(discovery.errors))
    return [
        FoundStream(
            stream.stream,
            stream.write_mode or "",
            stream.primary_key,
            stream.cursor,
            stream.error,
            flow.source.option_hints(
                stream.stream,
                {column["name"]: column["type"] for column in stream.columns},
                keyed=bool(stream.primary_key),
                cursor=stream.cursor,
                unique=stream.unique,
            ),
            options=stream.options,
        )
        for stream in discovery.streams
    ]


def _mended(
    ctx: click.Context, flow: UrlFlow, path: Path, streams: Sequence[FoundStream], seconds: float
) -> tuple[UrlFlow, Sequence[FoundStream]]:
    """The flow with the options that the error of its only stream names, if it can be read with them."""
    from ...contract.toml import toml_value

    if len(streams) != 1 or not streams[0].options:
        return flow, streams
    (first,) = streams
    lines = [f"{name} = {toml_value(value)}" for name, value in first.options.items()]
    mended = flow.with_config(first.options)
    (second,) = _look(ctx, mended, path, seconds)
    if second.error is None:
        note = f"its first page suggests {'; '.join(lines)}"
        click.echo(f"{first.name}: {note}, which is written into {path}", err=True)
        return mended, [replace(second, note=f"{note}, which is set above: without it, this page looks incomplete")]
    note = f"it was tried with {'; '.join(lines)}: {second.error}"
    return flow, [replace(first, hints=(*lines, *first.hints), note=note)]


def _list(streams: Sequence[FoundStream]) -> None:
    shown = ", ".join(stream.name for stream in streams[:20]) + (", …" if len(streams) > 20 else "")
    click.echo(f"It has {len(streams)} tables or other streams: {shown or 'none'}.", err=True)


def _write(ctx: click.Context, flow: UrlFlow, path: Path, streams: Sequence[FoundStream], seconds: float) -> None:
    """Write the file, check it, and say what comes next."""
    from ...parts.flow.commented import commented_text
    from ...runtime.inspect.check import check_flow

    content, variables = flow.without_secrets()
    with path.open("x", encoding="utf-8") as file:
        file.write(commented_text(content, streams, file=quote(str(path))))
    if errors := [f"{stream.name}: {stream.error}" for stream in streams if stream.error]:
        console_of(ctx).rewrite = str  # what is wrong is corrected in the file
        raise click.ClickException(
            f"{'; '.join(errors)}. {path} is written: correct it there, under [sources.{flow.source_id}.config], and "
            f"write: vdk datasource check {quote(str(path))}"
        )

    def check(environment: Environment) -> Sequence[CheckResult]:
        return check_flow(path.resolve(), _with_variables(environment, variables), seconds=seconds)

    try:
        print_checks(ctx, call_in_job(ctx.obj, path.resolve(), check), "text")
    except click.exceptions.Exit:
        click.echo(f"{path} is written. Correct it there, then write: vdk datasource check {quote(str(path))}")
        raise
    warn_of_variables(variables, path)
    click.echo(f"{path} is written. Next: vdk datasource run {quote(str(path))}")


def _with_variables(environment: Environment, variables: Mapping[str, str]) -> Environment:
    """The environment, with the passwords that the command line has."""
    look_up = environment.lookups["env"]
    lookups = {**environment.lookups, "env": lambda key: variables.get(key) or look_up(key)}
    return replace(environment, lookups=lookups)
