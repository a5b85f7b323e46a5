"""``vdk datasource new NAME``: creates a plugin from the template, without a clone of the repository."""

from __future__ import annotations

import os
import runpy
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import click

from .base_command import Command

HERE = Path(__file__).resolve()
ARCHIVE = HERE.with_name("_template.zip")
"""The template, in a built package."""


@click.command(
    cls=Command,
    help="Create a plugin with a data source of your own, vdk-source-NAME, which works and passes its tests.",
)
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    default=".",
    help="The folder to create it in; default: the current one.",
)
@click.pass_context
def new(ctx: click.Context, name: str, into: Path) -> None:
    from ..parts.entries import Entries
    from .hooks import with_plugins

    installed = {source.name: source.origin for source in with_plugins(Entries(), ctx.obj.plugin_registry).sources()}
    try:
        folder = make(name, into, installed)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(
        f"{folder} is a working plugin. Continue with:\n\n"
        f"  cd {folder}\n"
        "  pip install --editable . --requirement requirements.txt\n"
        "  pytest\n\n"
        "Its README.md describes the next steps."
    )


def make(requested: str, into: Path, installed: dict[str, str]) -> Path:
    """Create the plugin's folder, which appears once it is complete. Raises ``ValueError`` if it cannot be created.

    :param installed: the names of the installed sources, with their distributions.
    """
    with tempfile.TemporaryDirectory(prefix=".vdk-source-", dir=into) as scratch:
        template = Path(scratch) / "template"
        _unpack(template)
        rules: dict[str, Any] = runpy.run_path(str(template / "rename.py"))
        name: str = rules["checked"](requested)
        folder = into / f"vdk-source-{name}"
        if name in installed:
            raise ValueError(
                f"a source with the name {name!r} is installed already, by {installed[name]}; choose another name"
            )
        if os.path.lexists(folder):
            raise ValueError(f"{folder} exists already; choose another name, or another folder with --into")
        copy = template.rename(template.with_name(folder.name))
        rules["rename"](copy, name)
        return copy.rename(folder)


def _unpack(into: Path) -> None:
    if ARCHIVE.is_file():
        with zipfile.ZipFile(ARCHIVE) as archive:
            archive.extractall(into)
    else:  # an editable installation, which is part of a clone
        shutil.copytree(HERE.parents[7] / "template", into)
