# SPDX-License-Identifier: Apache-2.0
"""What VDK loads on every command: it adds ``serve`` to ``vdk datasource``, and imports nothing slow."""

from __future__ import annotations

import click
from vdk.api.plugin.hook_markers import hookimpl


@hookimpl(trylast=True)  # the base adds the group of all commands first
def vdk_command_line(root_command: click.Group) -> None:
    from .serving.command import serve

    group = root_command.commands.get("datasource")
    if isinstance(group, click.Group):
        group.add_command(serve)
