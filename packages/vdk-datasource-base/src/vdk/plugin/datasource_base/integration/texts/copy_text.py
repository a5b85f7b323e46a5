# SPDX-License-Identifier: Apache-2.0
"""What messages say of a flow file, as one writes it in the command line of ``vdk datasource copy`` and ``init``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from .remedies import Remedy, with_remedies

if TYPE_CHECKING:
    from ...parts.flow.from_urls import UrlFlow

_COMMAND_OPTIONS = {"write_mode": "--mode", "destination_table": "--destination-table"}


def of_command_line(message: str, flow: UrlFlow, urls: tuple[str, str] | None = None) -> str:
    """The message with the arguments of the command in place of places in a flow file, and of lines to write there.

    :param urls: of the source and the target, as they were typed: commands with a flow file are preceded by one that
        writes it.
    """
    from ...contract.toml import toml_key  # which loads Arrow
    from ...parts.redact import with_secrets_replaced

    for place, argument in {
        "flow: flows[0].streams: ": "--tables: ",
        "flow: flows[0]: ": "",
        " in flow: flows[0]": "",
        "flow: flows[0].": "",
        "the flow file's folder, or without one at the working directory": "the working directory",
        f"flow: sources.{flow.source_id}.config: ": "the source: ",
        f"flow: sources.{flow.source_id}.": "the source: ",
        "flow: destinations.lake.target: ": "the target: ",
        "flow: destinations.lake.": "the target: ",
        f"--set 'sources.{flow.source_id}.config.": "--set '",
        f"--set 'sources.{toml_key(flow.source_id)}.config.": "--set '",
        "--set 'sources.shop.config.": "--set '",  # examples
        "--set sources.shop.config.": "--set ",
        "--set 'flows[0].": "--set '",
        "--set flows[0].": "--set ",
    }.items():
        message = message.replace(place, argument)
    if message.startswith("--set "):
        return message
    if urls is not None and "vdk datasource state adopt FLOW" in message:
        source, target = (quote(with_secrets_replaced(url, lambda _: "…")) for url in urls)
        file = f"{flow.name}.toml"
        made = f"vdk datasource init {source} --to {target} --out {quote(file)}; "
        message = message.replace("vdk datasource state adopt FLOW", f"{made}vdk datasource state adopt {quote(file)}")

    def written(remedy: Remedy, before: str) -> str | None:
        if not flow.has_option(remedy.option, of_stream=remedy.value is not None):
            return None
        argument = _argument(flow, remedy)
        return f"{'add' if remedy.verb in ('write', 'set') and argument.startswith('--') else remedy.verb} {argument}"

    return with_remedies(message, written)


def _as_typed(flow: UrlFlow, option: str, value: str) -> str:
    """A path in the working folder without that folder, if the path of the URL was written so."""
    path = Path(value)
    relative = not Path(str(flow.config[option])).is_absolute() and path.is_absolute()
    return str(path.relative_to(Path.cwd())) if relative and path.is_relative_to(Path.cwd()) else value


def _argument(flow: UrlFlow, remedy: Remedy) -> str:
    """``--set 'paginator={ type = "page" }'``; the command's own option, or the URL of a file, where there is one."""
    option = remedy.option
    decoded = None if remedy.value is None else tomllib.loads(f"value = {remedy.value}")["value"]
    if isinstance(decoded, str):
        if option in _COMMAND_OPTIONS:
            return f"{_COMMAND_OPTIONS[option]} {quote(decoded)}"
        if option in flow.config and (url := flow.source.url_of(_as_typed(flow, option, decoded))) is not None:
            return quote(url)
    if option == "shared_table" and decoded is True:
        return "--shared-table"
    value = remedy.value or "…"
    return f"--set {quote(f'{option}={value}')}"
