# SPDX-License-Identifier: Apache-2.0
"""``vdk datasource serve NAME --cloudquery``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(help="Serve a data source to another system, as a plugin of it. It runs until SIGTERM or Ctrl-C.")
@click.argument("name")
@click.option("--cloudquery", is_flag=True, help="Serve it as a CloudQuery source plugin (protocol version 3).")
@click.option("--address", default="127.0.0.1:7777", show_default=True, help="Host and port, or the path of a socket.")
@click.option(
    "--network", type=click.Choice(["tcp", "unix"]), default="tcp", show_default=True, help="The kind of the address."
)
@click.option(
    "--log-level",
    type=click.Choice(["trace", "debug", "info", "warn", "error"]),
    default="info",
    show_default=True,
    help="Log lines are JSON objects on standard output.",
)
@click.option(
    "--install",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Instead, write an executable for `registry: local` to this file.",
)
def serve(name: str, cloudquery: bool, address: str, network: str, log_level: str, path: Path | None) -> None:
    from vdk.plugin.datasource_base.contract import ConfigurationError
    from vdk.plugin.datasource_base.parts import Registry

    if not cloudquery:
        raise click.UsageError("what to serve it as is missing; write --cloudquery")
    try:
        Registry().source(name)
        if path is not None:
            from .install import install

            click.echo(f"path: {install(name, path)}")
            return
        from .server import AddressError
        from .server import serve as run

        try:
            run(name, address, network, level=log_level)
        except AddressError as error:
            raise click.ClickException(str(error)) from None
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
