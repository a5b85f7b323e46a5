# SPDX-License-Identifier: Apache-2.0
"""``vdk datasource state show | reset | set | export | import | adopt | history | restore`` and ``undo``."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..flow_job import call_in_job
from ..texts.state_texts import StateTexts
from .base_command import Command
from .output import FLOW, OUTPUT, FlowPath, print_json, print_rows

if TYPE_CHECKING:
    from ...contract import State
    from ...runtime import Environment
    from ...runtime.stored.listing import DestinationState

_STREAMS = click.option(
    "--stream", multiple=True, metavar="GLOB", help="Only streams with this name or pattern; can be repeated."
)
MAX_PARTITIONS = 20
"""Partitions of a stream that have a row each."""
_YES = click.option("--yes", is_flag=True, help="Do not prompt.")


_HELP = "Show, change, export and restore the stored states of a flow file's streams."


@click.group(help=_HELP, short_help=_HELP)
def state() -> None:
    """The group of the commands about states."""


@state.command(cls=Command, help="Show the stored states.")
@FLOW
@_STREAMS
@OUTPUT
@click.pass_context
def show(ctx: click.Context, flow: Path, stream: tuple[str, ...], output: str) -> None:
    from ...runtime.stored.listing import show_states

    def stored(environment: Environment) -> list[DestinationState]:
        return show_states(flow, environment, list(stream))

    _print_states(ctx, flow, stored, output, empty="No state is stored.")


@state.command(cls=Command, help="Reset the stored states, so that the next run reads from the beginning. Rows stay.")
@FLOW
@_STREAMS
@_YES
@OUTPUT
@click.pass_context
def reset(ctx: click.Context, flow: Path, stream: tuple[str, ...], yes: bool, output: str) -> None:
    from ...runtime.stored.reset import reset_states

    confirm = _confirm(f"Reset the states of {_named(stream)} of {flow.name}?", yes=yes)

    def done(environment: Environment) -> list[DestinationState]:
        return reset_states(flow, environment, list(stream), confirm)

    states = _print_states(ctx, flow, done, output, empty="No state is stored, so none was reset.")
    _print_count(states, output, "reset")


@state.command(
    "set",
    cls=Command,
    help="Set the state of one partition of a stream. STATE is JSON, as `state show -o json` prints it.",
)
@FLOW
@click.argument("text", metavar="STATE")
@click.option("--stream", required=True, metavar="NAME", help="The stream, as orders or shop.orders.")
@click.option("--partition", default="", metavar="ID", help="The partition. Default: that of an unsplit stream.")
@click.option("--destination", metavar="NAME", help="The destination, if the stream lands in several.")
@_YES
@OUTPUT
@click.pass_context
def set_(
    ctx: click.Context,
    flow: Path,
    text: str,
    stream: str,
    partition: str,
    destination: str | None,
    yes: bool,
    output: str,
) -> None:
    from ...runtime.stored.setting import set_state

    confirm = _confirm(f"Set the state of {stream} of {flow.name}?", yes=yes)

    def done(environment: Environment) -> list[DestinationState]:
        return set_state(flow, environment, stream, partition, text, destination=destination, confirm=confirm)

    replaced = _print_states(ctx, flow, done, output, empty="The state was set; there was none before.")
    if replaced and output != "json":
        click.echo("The state was set; the table shows the one before.", err=True)


@state.command(cls=Command, help="Write the stored states to a file as JSON, or to standard output.")
@FLOW
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@_STREAMS
@click.pass_context
def export(ctx: click.Context, flow: Path, file: Path | None, stream: tuple[str, ...]) -> None:
    from ...runtime.report.files import write_atomically
    from ...runtime.stored.exchange import export_states

    document = call_in_job(ctx.obj, flow, lambda environment: export_states(flow, environment, list(stream)))
    text = json.dumps(document, indent=2)
    if file is None or str(file) == "-":
        print_json(text)
        return
    try:
        write_atomically(file, f"{text}\n".encode())  # the old file may be the only copy of its states
    except OSError as error:
        raise click.ClickException(f"file {str(file)!r} cannot be written: {error.strerror}") from None
    count = len(document["states"])
    click.echo(f"{'1 state was' if count == 1 else f'{count} states were'} exported to {file}.", err=True)


@state.command("import", cls=Command, help="Store the states of a file that `state export` wrote; - is standard input.")
@FLOW
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not prompt; also import states of other data, or of another table.")
@OUTPUT
@click.pass_context
def import_(ctx: click.Context, flow: Path, file: Path, yes: bool, output: str) -> None:
    from ...runtime.stored.exchange import import_states

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise click.ClickException(
            f"file {str(file)!r} cannot be read: {reason}; write one with: vdk datasource state export {flow.name} "
            "states.json"
        ) from None
    confirm = _confirm(f"Import the states of {file} into {flow.name}?", yes=yes)

    def done(environment: Environment) -> list[DestinationState]:
        return import_states(flow, environment, text, confirmed=yes, confirm=confirm)

    replaced = _print_states(ctx, flow, done, output, empty="The states were imported; there were none before.")
    if replaced and output != "json":
        click.echo("The states were imported; the table shows those that they replaced.", err=True)


@state.command(
    cls=Command,
    help="""Go on from states that are stored under another name, after a source, stream or table was renamed, or for
    the same data in another place, after a source has moved.""",
)
@FLOW
@_STREAMS
@click.option("--from-source", metavar="NAME", help="The former id of the source in the flow file.")
@click.option("--from-stream", metavar="NAME", help="The former name of the stream that --stream names.")
@click.option("--from-table", metavar="NAME", help="The former table.")
@click.option(
    "--from-flow", type=FlowPath(), metavar="FILE", help="The flow file whose states are taken over; they stay."
)
@click.option("--yes", is_flag=True, help="Do not prompt; also replace states of the stream's own.")
@OUTPUT
@click.pass_context
def adopt(
    ctx: click.Context,
    flow: Path,
    stream: tuple[str, ...],
    from_source: str | None,
    from_stream: str | None,
    from_table: str | None,
    from_flow: Path | None,
    yes: bool,
    output: str,
) -> None:
    from ...runtime.stored.adoption import Former, adopt_states
    from ...runtime.stored.listing import show_states

    states = None
    if from_flow is not None:
        states = call_in_job(ctx.obj, from_flow, lambda environment: show_states(from_flow, environment))
    former = Former(from_source, from_stream, from_table, states)
    confirm = _confirm(f"Let {_named(stream)} of {flow.name} go on from there?", yes=yes)

    def adopted(environment: Environment) -> list[DestinationState]:
        return adopt_states(flow, environment, former, stream, confirmed=yes, confirm=confirm)

    states = _print_states(ctx, flow, adopted, output, empty="No state was adopted.")
    _print_count(states, output, "adopted")


@state.command(cls=Command, help="Show the runs that the destinations have records of, and their states.")
@FLOW
@_STREAMS
@OUTPUT
@click.pass_context
def history(ctx: click.Context, flow: Path, stream: tuple[str, ...], output: str) -> None:
    from ...runtime.stored.history import run_history

    runs, texts = call_in_job(
        ctx.obj, flow, lambda environment: (run_history(flow, environment, stream), StateTexts(flow, environment))
    )
    rows = [run.as_dict() for run in runs]
    if output != "json":
        names = _short_names([row["run"] for row in rows])
        rows = [
            {
                "run": names[row["run"]],
                "started (UTC)": f"{run.record.started_at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}",
                "stream": f"{row['source']}.{row['stream']}",
                "table": f"{row['destination']}.{row['table']}",
                "status": row["status"],
                "landed": row["rows_landed"],
                "state after": (
                    "unknown" if row["state_after"] is None else texts.of_stream(row["source"], row["state_after"])
                ),
            }
            for run, row in zip(runs, rows, strict=True)
        ]
    print_rows(rows, output, empty="No run is recorded.")


@state.command(
    cls=Command, help="Store the states that the streams had after a RUN of `state history` again. Rows stay."
)
@FLOW
@click.argument("run")
@_STREAMS
@click.option("--before", is_flag=True, help="The states from before the run instead.")
@_YES
@OUTPUT
@click.pass_context
def restore(
    ctx: click.Context, flow: Path, run: str, stream: tuple[str, ...], before: bool, yes: bool, output: str
) -> None:
    from ...runtime.stored.history import restore_states

    moment = "before" if before else "after"
    confirm = _confirm(f"Restore the states of {_named(stream)} of {flow.name} from {moment} run {run}?", yes=yes)

    def done(environment: Environment) -> list[DestinationState]:
        return restore_states(flow, environment, run, stream, before=before, confirm=confirm)

    empty = "The states were restored; there were none in their place."
    replaced = _print_states(ctx, flow, done, output, empty=empty)
    if replaced and output != "json":
        click.echo("The states were restored; the table shows those that they replaced.", err=True)


@click.command(
    cls=Command, help="Delete the rows that a RUN has appended, and restore the states from before it, in one step."
)
@FLOW
@click.argument("run")
@_STREAMS
@_YES
@OUTPUT
@click.pass_context
def undo(ctx: click.Context, flow: Path, run: str, stream: tuple[str, ...], yes: bool, output: str) -> None:
    from dataclasses import asdict

    from ...runtime.stored.undo import undo_run

    confirm = _confirm(f"Undo run {run} of {flow.name}?", yes=yes)
    undone = call_in_job(ctx.obj, flow, lambda environment: undo_run(flow, environment, run, stream, confirm=confirm))
    print_rows([asdict(item) for item in undone], output, empty="")


def _short_names(runs: Sequence[str]) -> dict[str, str]:
    """The beginning of each run's id that names it, as ``restore`` and ``undo`` take it."""
    length = next(size for size in range(8, 1000) if len({run[:size] for run in runs}) == len(set(runs)))
    return {run: run[:length] for run in runs}


def _named(streams: Sequence[str]) -> str:
    return ", ".join(streams) if streams else "every stream"


def _confirm(question: str, *, yes: bool) -> Callable[[Sequence[str]], None]:
    """Shows what a change costs, and asks; with ``yes`` it does neither."""

    def confirm(costs: Sequence[str]) -> None:
        if yes:
            return
        for cost in costs:
            click.echo(cost, err=True)
        if not sys.stdin.isatty():
            raise click.ClickException("nobody can answer here, and nothing was changed; to go ahead, add --yes")
        click.confirm(question, abort=True, err=True)

    return confirm


def _print_count(states: Sequence[DestinationState], output: str, done: str) -> None:
    if states and output != "json":
        click.echo(f"1 state was {done}." if len(states) == 1 else f"{len(states)} states were {done}.", err=True)


def _print_states(
    ctx: click.Context, flow: Path, work: Callable[[Environment], list[DestinationState]], output: str, *, empty: str
) -> list[DestinationState]:
    """Print the states that ``work`` returns, and return them."""
    states, texts = call_in_job(ctx.obj, flow, lambda environment: (work(environment), StateTexts(flow, environment)))
    rows = [state.as_dict() for state in states] if output == "json" else _shown(states, texts)
    print_rows(rows, output, empty=empty)
    return states


def _shown(states: Sequence[DestinationState], texts: StateTexts) -> list[dict[str, Any]]:
    """The rows for people: a row for each partition, or one for all of a stream that has many."""
    streams: dict[tuple[str, ...], dict[str, State]] = {}
    for state in states:
        key = state.stored.key
        place = (key.source_id, key.stream, state.destination, key.table)
        streams.setdefault(place, {})[key.partition] = state.stored.state
    rows = []
    for (source, stream, destination, table), partitions in streams.items():
        names = {"stream": f"{source}.{stream}", "table": f"{destination}.{table}"}
        if len(partitions) > MAX_PARTITIONS:
            rows.append({**names, "partition": "all", "state": texts.of_stream(source, partitions)})
        else:
            rows += [{**names, "partition": name, "state": texts.of(source, partitions[name])} for name in partitions]
    if not any(row["partition"] for row in rows):
        rows = [{name: value for name, value in row.items() if name != "partition"} for row in rows]
    return rows
