"""``vdk datasource new NAME``: the template as a plugin of that name, without a clone of the repository."""

from __future__ import annotations

import os
import runpy
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import click

from .command import Command

HERE = Path(__file__).resolve()
ARCHIVE = HERE.with_name("_template.zip")
"""The template, in a package that was built."""


@click.command(
    cls=Command, help="Make a plugin with a source of your own: vdk-source-NAME, which works and passes its tests."
)
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    default=".",
    help="The folder to make it in; default: this one.",
)
@click.pass_context
def new(ctx: click.Context, name: str, into: Path) -> None:
    from .environment import registry_of

    installed = {source.name: source.origin for source in registry_of(ctx.obj.plugin_registry).sources()}
    try:
        folder = make(name, into, installed)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(
        f"{folder} is a plugin that works. Go on with:\n\n"
        f"  cd {folder}\n"
        "  pip install --editable . --requirement requirements.txt\n"
        "  pytest\n\n"
        "Its README.md says what to do then."
    )


def make(said: str, into: Path, installed: dict[str, str]) -> Path:
    """The new folder. It appears when it is complete; ``ValueError`` says why it cannot be.

    :param installed: the names that sources have already, and which distribution has them.
    """
    with tempfile.TemporaryDirectory(prefix=".vdk-source-", dir=into) as scratch:
        template = Path(scratch) / "template"
        _unpack(template)
        rules: dict[str, Any] = runpy.run_path(str(template / "rename.py"))
        name: str = rules["checked"](said)
        folder = into / f"vdk-source-{name}"
        if name in installed:
            raise ValueError(
                f"a source called {name!r} is installed already, by {installed[name]}: choose another name"
            )
        if os.path.lexists(folder):
            raise ValueError(f"{folder} exists already: choose another name, or another folder with --into")
        copy = template.rename(template.with_name(folder.name))
        rules["rename"](copy, name)
        return copy.rename(folder)


def _unpack(into: Path) -> None:
    if ARCHIVE.is_file():
        with zipfile.ZipFile(ARCHIVE) as archive:
            archive.extractall(into)
    else:  # an editable installation, which is a part of a clone
        shutil.copytree(HERE.parents[7] / "template", into)
