"""``vdk datasource …``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.group(name="datasource", help="Get data from data sources into destinations.")
def datasource() -> None:
    """The group of commands; upstream's plugin has ``data-sources``."""


_OUTPUT = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print."
)


@datasource.command(name="list", help="List the data sources and destinations that are installed.")
@_OUTPUT
@click.pass_context
def list_(ctx: click.Context, output: str) -> None:
    from ._environment import registry_of

    registry = registry_of(ctx.obj.plugin_registry)
    rows = [
        {"kind": kind, "name": one.name, "class": one.location, "from": one.origin}
        for kind, entries in (("source", registry.sources()), ("destination", registry.destinations()))
        for one in entries
    ]
    _print(rows, output, empty="No data sources are installed.")


@datasource.command(help="Show the options of a data source: names, types, defaults and what they mean.")
@click.argument("name")
@_OUTPUT
@click.pass_context
def config(ctx: click.Context, name: str, output: str) -> None:
    from ..parts._describe import describe
    from ._environment import registry_of

    with _reported():
        found = registry_of(ctx.obj.plugin_registry).source(name)
    _print(describe(found.config_type), output, empty=f"Data source {name} has no options.")


@datasource.command(help="Run a flow file as a job of one step.")
@click.argument("flow", type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path))
@click.option(
    "--summary",
    type=click.Path(dir_okay=False, resolve_path=True, path_type=Path),
    help="Write what happened, stream by stream, to this file as JSON.",
)
@click.pass_context
def run(ctx: click.Context, flow: Path, summary: Path | None) -> None:
    from ._single import run_single

    run_single(ctx.obj, flow, summary)


def _print(rows: list[dict[str, Any]], output: str, *, empty: str) -> None:
    from tabulate import tabulate

    if output == "json":
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        click.echo(tabulate(rows, headers="keys", maxcolwidths=[None] * (len(rows[0]) - 1) + [70]))
    else:
        click.echo(empty)


class _reported:
    """Turns our errors into the one line that click prints, with exit code 1."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from ..contract import DataSourceError

        if isinstance(error, DataSourceError):
            raise click.ClickException(str(error)) from None
