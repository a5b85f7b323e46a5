"""What commands share: how they are told which file, and how they print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

FLOW = click.argument("flow", type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path))
OUTPUT = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print."
)


def print_rows(rows: list[dict[str, Any]], output: str, *, empty: str) -> None:
    from tabulate import tabulate

    if output == "json":
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        click.echo(tabulate(rows, headers="keys", maxcolwidths=[None] * (len(rows[0]) - 1) + [70]))
    else:
        click.echo(empty)


class reported:
    """Turns our errors into the one line that click prints, with exit code 1."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from ..contract import DataSourceError

        if isinstance(error, DataSourceError):
            raise click.ClickException(str(error)) from None
