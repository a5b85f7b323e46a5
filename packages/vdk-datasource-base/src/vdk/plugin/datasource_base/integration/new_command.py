# SPDX-License-Identifier: Apache-2.0
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

from .commands.base_command import Command, WrongArgument

THIS_FILE = Path(__file__).resolve()
ARCHIVE = THIS_FILE.with_name("_template.zip")
"""The template, in a package that was built."""
KINDS = ("files", "api")
"""What the template's ``rename.py`` knows."""


@click.command(
    cls=Command,
    help="""Create a plugin with a source of your own, vdk-source-NAME, which works and passes its tests.

    NAME is what flow files call the source, such as my-crm; vdk-source-my-crm is the same name.
    """,
)
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default=KINDS[0],
    show_default=True,
    help="What the source reads: files in a folder, or an HTTP API with a token and pages.",
)
@click.option(
    "--into",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    default=".",
    help="The folder to create it in; default: the current one.",
)
@click.pass_context
def new(ctx: click.Context, name: str, kind: str, into: Path) -> None:
    from ..parts.plugins.entries import Entries
    from .hooks import with_plugins

    installed = {source.name: source.origin for source in with_plugins(Entries(), ctx.obj.plugin_registry).sources()}
    try:
        folder = make_plugin(name, kind, into, installed)
    except ValueError as error:
        raise WrongArgument(str(error)) from None
    except OSError as error:
        raise click.ClickException(str(error)) from None
    click.echo(
        f"{folder} is a working plugin. Continue with:\n\n"
        f"  cd {folder}\n"
        "  python -m pip install --editable . --requirement requirements.txt\n"
        "  python -m pytest\n\n"
        "Its README.md describes the next steps."
    )


def make_plugin(name: str, kind: str, into: Path, installed: dict[str, str]) -> Path:
    """The new folder, which appears once it is complete. Raises ``ValueError`` if the name cannot be used.

    :param installed: the names of the installed sources, and which distribution each comes from.
    """
    with tempfile.TemporaryDirectory(prefix=".vdk-source-", dir=into) as scratch:
        template = Path(scratch) / "template"
        _unpack(template)
        script: dict[str, Any] = runpy.run_path(str(template / "rename.py"))
        name = script["valid_name"](name)
        folder = into / f"vdk-source-{name}"
        if name in installed:
            raise ValueError(
                f"a source with the name {name!r} is installed already, by {installed[name]}; choose another name"
            )
        if os.path.lexists(folder):
            raise ValueError(f"{folder} exists already; choose another name, or another folder with --into")
        copy = template.rename(template.with_name(folder.name))
        script["rename"](copy, name, kind)
        return copy.rename(folder)


def _unpack(folder: Path) -> None:
    if ARCHIVE.is_file():
        with zipfile.ZipFile(ARCHIVE) as archive:
            archive.extractall(folder)
    else:  # an editable installation, which is part of a clone
        shutil.copytree(THIS_FILE.parents[7] / "template", folder)
