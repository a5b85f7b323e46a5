# SPDX-License-Identifier: Apache-2.0
"""What messages say of a flow file, as one writes it in the command line of ``vdk datasource copy`` and ``init``."""

from __future__ import annotations

import re
import tomllib
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..parts.flow.from_urls import UrlFlow

_REMEDY = re.compile(r"\b(write|set|add|as in|or|with) ((?:[A-Za-z_][\w-]*)(?:\.[\w-]+|\[\d+\])*) = (?=[\[{\"'\w-])")
"""``write paginator = { type = "page" }``, up to the value."""
_ENDS = re.compile(r"[\]}\"'\w]")
_MAX_VALUE = 300
_COMMAND_OPTIONS = {"write_mode": "--mode", "destination_table": "--destination-table"}


def of_command_line(message: str, flow: UrlFlow) -> str:
    """The message with the arguments of the command in place of places in a flow file, and of lines to write there."""
    for place, argument in {
        "flow: flows[0].streams: ": "--tables: ",
        "flow: flows[0]: ": "",
        " in flow: flows[0]": "",
        "flow: flows[0].": "",
        f"flow: sources.{flow.source_id}.config: ": "the source: ",
        f"flow: sources.{flow.source_id}.": "the source: ",
        "flow: destinations.lake.target: ": "the target: ",
        "flow: destinations.lake.": "the target: ",
    }.items():
        message = message.replace(place, argument)
    parts: list[str] = []
    done = 0
    for match in () if message.startswith("--set ") else _REMEDY.finditer(message):
        value = _value_at(message, match.end())
        if match.start() >= done and value is not None and flow.has_option(match[2]):
            argument = _argument(flow, match[2], value)
            verb = "add" if match[1] in ("write", "set") and argument.startswith("--") else match[1]
            parts += (message[done : match.start()], f"{verb} {argument}")
            done = match.end() + len(value)
    return "".join((*parts, message[done:]))


def _argument(flow: UrlFlow, option: str, value: str) -> str:
    """``--set 'paginator={ type = "page" }'``; the command's own option, or the URL of a file, where there is one."""
    decoded = tomllib.loads(f"value = {value}")["value"]
    if isinstance(decoded, str):
        if option in _COMMAND_OPTIONS:
            return f"{_COMMAND_OPTIONS[option]} {quote(decoded)}"
        if option in flow.config and (url := flow.source.url_of(decoded)) is not None:
            return quote(url)
    if option == "shared_table" and decoded is True:
        return "--shared-table"
    return f"--set {quote(f'{option}={value}')}"


def _value_at(text: str, start: int) -> str | None:
    """The TOML value that begins at a place of a text: the shortest that is one; None: there is none."""
    plain = re.compile(r"[\w.+-]*\w").match(text, start)
    if plain is not None:
        return plain[0] if _is_toml(plain[0]) else None
    for end in _ENDS.finditer(text, start + 1, start + _MAX_VALUE):
        if _is_toml(value := text[start : end.end()]):
            return value
    return None


def _is_toml(value: str) -> bool:
    try:
        return tomllib.loads(f"value = {value}").keys() == {"value"}
    except ValueError:
        return False
