"""What commands share: which flow file they are given, and how they print."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import click


class FlowPath(click.ParamType):  # type: ignore[type-arg]  # it is generic since click 8.4 only
    """A flow file. An error about it lists the TOML files that are there."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        try:
            if path.is_dir():
                raise _WrongFile(f"{value!r} is a folder, not a flow file; {_others(path, '')}")
            if not path.exists():
                raise _WrongFile(f"flow file {value!r} does not exist; {_others(path.parent, path.name)}")
            if not os.access(path, os.R_OK):
                raise _WrongFile(f"flow file {value!r} cannot be read: permission denied; write: chmod u+r {value}")
            return path.resolve()
        except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL character, links in a circle
            raise _WrongFile(f"flow file {value!r} cannot be read: {error}") from None


class _WrongFile(click.ClickException):
    """One line, with the exit code of a wrong command line."""

    exit_code = 2


def _others(folder: Path, name: str) -> str:
    """The flow file that may be meant, or those of the folder."""
    try:
        files = sorted(path.name for path in folder.iterdir() if path.suffix == ".toml")
    except OSError:
        return f"there is no folder {str(folder)!r}"
    from ..contract.remedies import closest  # which loads Arrow: a command that lands nothing stays light

    near = closest(name, files, limit=1)
    if near:
        return f"did you mean {str(folder / near[0])!r}?"
    if files:
        return f"the TOML files of {str(folder)!r} are {', '.join(files[:10])}{', …' if len(files) > 10 else ''}"
    return f"there is no TOML file in {str(folder)!r}; docs/configuration.md shows how to write one"


FLOW = click.argument("flow", type=FlowPath())
OUTPUT = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print the result; json: standard output has the JSON alone.",
)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str, stream: Any) -> str:
    """For a terminal without what moves its cursor or clears it: names of tables and values can be anything."""
    return _CONTROL.sub(lambda one: f"\\x{ord(one[0]):02x}", text) if stream.isatty() else text


def print_text(text: str) -> None:
    """A result for people."""
    click.echo(printable(text, sys.stdout))


def print_json(text: str) -> None:
    """JSON, escaped where standard output is not UTF-8: a replaced character would be another value."""
    if str(getattr(sys.stdout, "encoding", None)).lower().replace("-", "") != "utf8":
        text = "".join(one if one.isascii() else json.dumps(one)[1:-1] for one in text)
    click.echo(text)


def print_rows(rows: list[dict[str, Any]], output: str, *, empty: str) -> None:
    from tabulate import tabulate

    if output == "json":
        print_json(json.dumps(rows, indent=2))
    elif rows:
        print_text(tabulate(rows, headers="keys", maxcolwidths=[None] * (len(rows[0]) - 1) + [70]))
    else:
        print_text(empty)
