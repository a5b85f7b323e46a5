# SPDX-License-Identifier: Apache-2.0
"""``python -m vdk.plugin.source_<name> config | check | discover | preview``: no flow file, and no job."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import click
from vdk.internal.core.statestore import StateStore

from .base_command import Command
from .inspect_commands import ROWS, TIMEOUT, print_checks, print_discovery, print_preview
from .output import OUTPUT, print_rows

if TYPE_CHECKING:
    from ...runtime import Environment

T = TypeVar("T")
DESTINATION = "scratch"


def source_main(name: str) -> None:
    """Run the commands of an installed source with the arguments of this process. Its ``__main__.py`` calls it.

    :param name: what flow files call the source.
    """
    commands(name)(obj=SimpleNamespace(state=StateStore()))


def commands(name: str) -> click.Group:
    """The commands of a source, which get its options from ``--set`` and from a file."""
    group = click.Group(help=f"Look at what the source {name!r} reads. Nothing lands.")

    @group.command(cls=Command, help="Show the options of the source: names, types, defaults and descriptions.")
    @OUTPUT
    def config(output: str) -> None:
        from ...parts.plugins.describe import describe
        from ...parts.plugins.registry import Registry

        print_rows(describe(Registry().source(name).config_type), output, empty=f"Data source {name} has no options.")

    @group.command(cls=Command, help="Validate the options, and test the connection.")
    @_options
    @TIMEOUT
    @OUTPUT
    @click.pass_context
    def check(ctx: click.Context, file: Path | None, values: tuple[str, ...], timeout: float, output: str) -> None:
        from ...runtime.inspect.check import check_flow

        results = call_with_source(
            name, file, values, lambda flow, environment: check_flow(flow, environment, seconds=timeout)
        )
        shown = [replace(each, message=_of_source(name, each.message)) for each in results if each.kind == "source"]
        print_checks(ctx, shown, output)

    @group.command(cls=Command, help="Show the streams, and their columns.")
    @_options
    @click.option("--rows", default=100, **ROWS, help="How many rows are read of a stream that declares no columns.")
    @TIMEOUT
    @OUTPUT
    def discover(file: Path | None, values: tuple[str, ...], rows: int, timeout: float, output: str) -> None:
        from ...runtime.inspect.discover import discover_flow

        print_discovery(
            call_with_source(
                name, file, values, lambda flow, env: discover_flow(flow, env, rows=rows, seconds=timeout)
            ),
            output,
        )

    @group.command(cls=Command, help="Show the first rows of a stream.")
    @click.argument("stream")
    @_options
    @click.option("--rows", default=10, **ROWS, help="How many rows to show.")
    @TIMEOUT
    @OUTPUT
    def preview(
        stream: str, file: Path | None, values: tuple[str, ...], rows: int, timeout: float, output: str
    ) -> None:
        from ...runtime.inspect.preview import preview_stream

        result = call_with_source(
            name, file, values, lambda flow, env: preview_stream(flow, stream, env, rows=rows, seconds=timeout)
        )
        print_preview(stream, result, output)

    return group


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that say how the source is configured."""
    file = click.option(
        "--config",
        "file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A TOML or JSON file with the options of the source, as in [sources.<id>.config] of a flow file.",
    )
    values = click.option(
        "--set",
        "values",
        metavar="OPTION=VALUE",
        multiple=True,
        help="An option of the source, such as database=shop.db; can be repeated.",
    )
    return file(values(command))


def call_with_source(
    name: str,
    file: Path | None,
    values: tuple[str, ...],
    work: Callable[[Mapping[str, Any], Environment], T],
) -> T:
    """Call with a flow of the source alone. Its errors name the source's options, not a flow file."""
    from ...contract import ConfigurationError, FlowFailedError
    from ...parts.flow.overrides import Overrides
    from ...runtime import Environment

    flow = {
        "sources": {name: {"name": name, "config": _read(file)}},
        "destinations": {DESTINATION: {"method": DESTINATION}},
        "flows": [{"from": name, "to": DESTINATION}],
    }
    for value in values:
        if "=" not in value:  # only its beginning is shown: the rest may be a password
            option = re.match(r"[\w-]*", value, re.ASCII)[0] or "OPTION"  # type: ignore[index]  # it matches nothing, too
            raise ConfigurationError(f"{name}: --set: write --set {option}=VALUE")
    overrides = Overrides(values=tuple(f"sources.{name}.config.{value}" for value in values))
    try:
        return work(flow, Environment(overrides=overrides))
    except (ConfigurationError, FlowFailedError) as error:
        error.args = (_of_source(name, str(error)),)
        raise


def _of_source(name: str, message: str) -> str:
    """The message with the options of the source for the places in a flow file."""
    replaced = {
        f"flow: sources.{name}.config: ": f"{name}: ",
        f"flow: sources.{name}.config.": f"{name}: ",
        f"sources.{name}.config.": "",
        "flow: flows[0].streams: ": f"{name}: ",
    }
    for place, written in replaced.items():
        message = message.replace(place, written)
    return message


def _read(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        text = file.read_text("utf-8")
        if file.suffix == ".json":  # as Singer's taps are configured
            return dict(json.loads(text))
        return tomllib.loads(text)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        kind = "JSON" if file.suffix == ".json" else "TOML"
        raise click.ClickException(f"file {str(file)!r} is not valid {kind}: {error}") from None
