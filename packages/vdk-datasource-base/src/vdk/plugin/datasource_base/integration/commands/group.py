# SPDX-License-Identifier: Apache-2.0
"""``vdk datasource list | config``, and the group of all commands."""

from __future__ import annotations

import click

from ..new_command import new
from .base_command import Command, wrong_arguments
from .copy_command import copy
from .init_command import init
from .inspect_commands import check, discover, preview
from .output import OUTPUT, print_rows
from .plan_command import plan
from .run_commands import run, sync
from .state_commands import state, undo
from .tap_command import tap
from .verify_commands import repair, verify

_ELSEWHERE = {
    "report": "run FLOW --report FILE",
    "status": "state show FLOW",
    "history": "state history FLOW",
    "backfill": "run FLOW --since VALUE --until VALUE",
}
"""What is an option or a command below another, by the name that one may look for."""


class _Group(click.Group):
    """Says where to find what is not a command of its own, before click proposes one that is spelled like it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in _ELSEWHERE:
            raise click.UsageError(f"No such command {args[0]!r}; write: vdk datasource {_ELSEWHERE[args[0]]}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, name="datasource", help="Load data from data sources into destinations.")
def datasource() -> None:
    """The group of all commands. VDK's own plugin for data sources uses the name ``data-sources``."""


@datasource.command(cls=Command, name="list", help="List the installed data sources and destinations.")
@OUTPUT
@click.pass_context
def list_(ctx: click.Context, output: str) -> None:
    from ...parts.plugins.entries import Entries
    from ..hooks import with_plugins

    registry = with_plugins(Entries(), ctx.obj.plugin_registry)
    rows = [
        {"kind": kind, "name": entry.name, "class": entry.import_path, "from": entry.origin}
        for kind, entries in (("source", registry.sources()), ("destination", registry.destinations()))
        for entry in entries
    ]
    print_rows(rows, output, empty="No data sources are installed.")


@datasource.command(cls=Command, help="Show the options of a data source: names, types, defaults and descriptions.")
@click.argument("name")
@OUTPUT
@click.pass_context
def config(ctx: click.Context, name: str, output: str) -> None:
    from ...parts.plugins.describe import describe
    from ...parts.plugins.registry import Registry
    from ..hooks import with_plugins

    with wrong_arguments():
        source = with_plugins(Registry(), ctx.obj.plugin_registry).source(name)
    print_rows(describe(source.config_type), output, empty=f"Data source {name} has no options.")


for command in (check, copy, discover, init, new, plan, preview, repair, run, state, sync, tap, undo, verify):
    datasource.add_command(command)
