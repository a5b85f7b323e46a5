# SPDX-License-Identifier: Apache-2.0
"""``vdk datasource tap``: a flow or a source as a Singer tap. Standard output has Singer's messages alone."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from ..flow_job import call_in_job
from .base_command import Command, WrongArgument
from .output import OPTIONAL_FLOW, STREAMS, overrides_of, print_json
from .source_commands import call_with_source

if TYPE_CHECKING:
    from ...runtime import Environment
    from ...runtime.reading.open_stream import FlowOrSource

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(cls=Command, help="Write the streams of a flow file, or of a source, as a Singer tap does.")
@OPTIONAL_FLOW
@STREAMS
@click.option("--source", metavar="NAME", help="Read this source rather than a flow file.")
@click.option("--config", type=_FILE, help="With --source: a TOML or JSON file with its options.")
@click.option("--discover", is_flag=True, help="Print Singer's catalog of the streams, and read nothing.")
@click.option("--catalog", type=_FILE, help="A catalog of --discover, whose metadata selects streams and columns.")
@click.option("--state", type=_FILE, help="The last state that the target has written.")
@click.option(
    "--deletes",
    type=click.Choice(["record", "skip", "fail"]),
    default="record",
    show_default=True,
    help="Rows that the source deleted: records with _sdc_deleted_at, nothing, or an error.",
)
@click.option(
    "--decimals",
    type=click.Choice(["number", "text"]),
    default="number",
    show_default=True,
    help="How decimals are written; text: for targets that read numbers as doubles.",
)
@click.option(
    "--nan",
    type=click.Choice(["fail", "null"]),
    default="fail",
    show_default=True,
    help="What becomes of NaN and infinities, for which JSON has no number.",
)
@click.pass_context
def tap(
    ctx: click.Context,
    flow: Path | None,
    streams: tuple[str, ...],
    source: str | None,
    config: Path | None,
    discover: bool,
    catalog: Path | None,
    state: Path | None,
    deletes: Any,
    decimals: Any,
    nan: Any,
) -> None:
    if (flow is None) == (source is None):
        raise WrongArgument("write either a flow file, as in vdk datasource tap shop.toml, or --source NAME")
    if config is not None and source is None:
        raise WrongArgument("--config belongs to --source NAME: the options of a flow's source are in its file")

    def work(flow_or_source: FlowOrSource, environment: Environment) -> int:
        from ...runtime.singer.properties import Format
        from ...runtime.singer.tap import Tap, TapOptions

        options = TapOptions(streams, catalog, state, deletes, Format(decimals, nan))
        out = sys.stdout.buffer
        with contextlib.redirect_stdout(sys.stderr):  # a library that prints would break the protocol
            reading = Tap(flow_or_source, environment, options, out)
            if not discover:
                return _sync(reading, out)
            document = reading.discover()
        print_json(_formatted(document))
        return 0

    if flow is not None:
        path = flow
        code = call_in_job(ctx.obj, path, lambda environment: work(path, environment))
    else:
        values = overrides_of(ctx.obj).get("values", ())
        code = call_with_source(str(source), config, values, work)
    ctx.exit(code)


def _sync(tap: Any, out: BinaryIO) -> int:
    """The exit code."""
    try:
        failed = tap.sync()
    except BrokenPipeError:
        click.echo("Error: the target has stopped reading; its own messages say why", err=True)
        _close_quietly(out)
        return 1
    if failed:
        click.echo(f"Error: {len(failed)} streams failed: {', '.join(map(repr, failed))}", err=True)
    return 1 if failed else 0


def _close_quietly(out: BinaryIO) -> None:
    """Nothing reads what is left in the buffer, which Python would write when it ends."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, out.fileno())
        os.close(null)


def _formatted(document: Any) -> str:
    import msgspec

    from ...runtime.singer.properties import ENCODER

    return msgspec.json.format(ENCODER.encode(document), indent=2).decode()
