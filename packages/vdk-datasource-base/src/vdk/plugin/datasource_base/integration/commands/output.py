# SPDX-License-Identifier: Apache-2.0
"""What commands share: the argument ``FLOW``, the option ``--output``, and how results are printed."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click
from vdk.internal.core.context import CoreContext
from vdk.internal.core.statestore import StoreKey

if TYPE_CHECKING:
    from ...contract import Duration


class FlowPath(click.ParamType):  # type: ignore[type-arg]  # it is generic since click 8.4 only
    """The path of a flow file. Its errors list the TOML files of the folder."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if "://" in str(value):
            raise _InvalidFile(f"{value!r} is a URL, not a flow file; to copy it, {_copy_line(value)}")
        try:
            if path.is_dir():
                raise _InvalidFile(f"{value!r} is a folder, not a flow file; {_suggestion(path, '')}")
            if not path.exists():
                raise _InvalidFile(f"flow file {value!r} does not exist; {_suggestion(path.parent, path.name)}")
            if not os.access(path, os.R_OK):
                raise _InvalidFile(f"flow file {value!r} cannot be read: permission denied; write: chmod u+r {value}")
            if _is_data(path):
                raise _InvalidFile(f"{value!r} is data, not a flow file; to copy it, {_copy_line(value)}")
            return path.resolve()
        except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL character, links in a circle
            raise _InvalidFile(f"flow file {value!r} cannot be read: {error}") from None


class DurationType(click.ParamType):  # type: ignore[type-arg]  # like FlowPath
    """A length of time, as in flow files."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Duration:
        from ...contract import Duration

        try:
            return Duration.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _InvalidFile(click.ClickException):
    """Prints one line, and exits like a wrong command line."""

    exit_code = 2


def _copy_line(source: str) -> str:
    return f"write: vdk datasource copy {quote(source)} duckdb:///lake.duckdb"


def _is_data(path: Path) -> bool:
    """Whether a file is a database, or what else an installed source reads: a flow file is text."""
    with path.open("rb") as file:
        if b"\0" not in file.read(512):
            return False
    from ...parts.flow.file import url_of_data

    return url_of_data(path) is not None


def _suggestion(folder: Path, name: str) -> str:
    """The closest flow file of a folder, or all of them."""
    try:
        files = sorted(path.name for path in folder.iterdir() if path.suffix == ".toml")
    except OSError:
        return f"folder {str(folder)!r} does not exist"
    from ...contract.remedies import closest  # which loads Arrow: a command that lands nothing stays light

    stems = {file.removesuffix(".toml"): file for file in files}
    if near := closest(name.removesuffix(".toml"), stems, limit=1):
        return f"did you mean {str(folder / stems[near[0]])!r}?"
    if files:
        return f"the TOML files of {str(folder)!r} are {', '.join(files[:10])}{', …' if len(files) > 10 else ''}"
    return f"{str(folder)!r} has no TOML file; vdk datasource init writes one"


def _override(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep the option for the environment of the job that the command runs."""
    if value and isinstance(context.obj, CoreContext):
        context.obj.state.set(_OVERRIDES, {**overrides_of(context.obj), str(parameter.name): value})


def set_values(context: click.Context, values: Sequence[str]) -> None:
    """Keep values as those of ``--set`` are kept."""
    if values and isinstance(context.obj, CoreContext):
        context.obj.state.set(_OVERRIDES, {**overrides_of(context.obj), "values": tuple(values)})


def overrides_of(context: CoreContext) -> dict[str, Any]:
    """``environment`` and ``values`` of the command line: the fields of ``Overrides``, which is slow to import."""
    changes: dict[str, Any] | None = context.state.get(_OVERRIDES)
    return changes or {}


_OVERRIDES: StoreKey[Any] = StoreKey("vdk.datasource.overrides")
_OPTIONS = (
    click.option(
        "--env",
        "environment",
        metavar="NAME",
        expose_value=False,
        callback=_override,
        help="Use the overrides of [env.NAME] in the flow file.",
    ),
    click.option(
        "--set",
        "values",
        metavar="PATH=VALUE",
        multiple=True,
        expose_value=False,
        callback=_override,
        help="Change an option of the flow file for this run, such as flows[0].batch_rows=1000; can be repeated.",
    ),
)


def FLOW(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument ``FLOW``, and the options that change what the file says."""
    return _with_options(click.argument("flow", type=FlowPath())(command))


def OPTIONAL_FLOW(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a command that may do without the file."""
    return _with_options(click.argument("flow", type=FlowPath(), required=False)(command))


def _with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


STREAMS = click.option(
    "--stream",
    "streams",
    metavar="GLOB",
    multiple=True,
    help="Only streams with this name or pattern, as orders or shop.orders; '!audit_*' excludes; can be repeated.",
)
OUTPUT = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Format of the result; json: standard output has only the JSON.",
)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str, stream: Any) -> str:
    """The text, with control characters escaped on a terminal: names and values may contain any character."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text) if stream.isatty() else text


def print_text(text: str) -> None:
    """Print a result for people."""
    click.echo(printable(text, sys.stdout))


def print_json(text: str) -> None:
    """Print JSON, with escapes if standard output is not UTF-8: a replaced character would be another value."""
    if str(getattr(sys.stdout, "encoding", None)).lower().replace("-", "") != "utf8":
        text = "".join(char if char.isascii() else json.dumps(char)[1:-1] for char in text)
    click.echo(text)


def print_rows(rows: list[dict[str, Any]], output: str, *, empty: str) -> None:
    from tabulate import tabulate

    if output == "json":
        print_json(json.dumps(rows, indent=2))
    elif rows:
        print_text(tabulate(rows, headers="keys", maxcolwidths=[None] * (len(rows[0]) - 1) + [70]))
    else:
        print_text(empty)
