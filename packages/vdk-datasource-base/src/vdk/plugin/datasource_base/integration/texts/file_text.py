# SPDX-License-Identifier: Apache-2.0
"""What messages say to write, with the table of the flow file that the line belongs to."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .remedies import Remedy, with_remedies

if TYPE_CHECKING:
    from ...parts.plugins.registry import Registry


def of_flow_file(message: str, path: Path, registry: Callable[[], Registry]) -> str:
    """The message with the table of the flow file that each line to write belongs to.

    A message that names the place of an option stays as it is, and so does a line whose source is not clear.
    """
    if "flows[" in message or "under [" in message:
        return message

    def written(remedy: Remedy, before: str) -> str | None:
        return _written(remedy, before, path, registry)

    return with_remedies(message, written)


def _written(remedy: Remedy, before: str, path: Path, registry: Callable[[], Registry]) -> str | None:
    from ...contract import ConfigurationError
    from ...parts.flow.file import FlowEntry  # which loads Arrow

    try:
        text = path.read_text("utf-8-sig")
        sources = tomllib.loads(text)["sources"]
        option = remedy.steps[0]
        if option in _options(FlowEntry):
            return f"{_line(remedy.verb, remedy.option, remedy.value)} under [[flows]]" if remedy.value else None
        source_id = _source_in(before, sources)
        if source_id is None or f"sources.{source_id}." in before:
            return None
        if option not in _options(registry().source(sources[source_id]["name"]).config_type):
            return None
        return _under_source(remedy, source_id, sources[source_id], text)
    except (OSError, ValueError, LookupError, TypeError, ConfigurationError):  # it is wrong, as the message says
        return None


def _source_in(before: str, sources: Mapping[str, Any]) -> str | None:
    """The id of the source that a message is about; the last one that it names, as ``shop.orders: …``."""
    if len(sources) == 1:
        return next(iter(sources))
    named = [match[1] for match in re.finditer(r"(?m)(?:^|[;:])\s*([^\s.:;]+)\.[^:]+: ", before) if match[1] in sources]
    return named[-1] if named else None


def _under_source(remedy: Remedy, source_id: str, entry: Mapping[str, Any], text: str) -> str:
    """The line under the deepest table of the file that can have it."""
    from ...contract.toml import toml_key

    steps = remedy.steps
    config = f"sources.{toml_key(source_id)}.config"
    for known in range(len(steps) - 1, 0, -1):
        if _has_table(text, table := ".".join((config, *steps[:known]))):
            return f"{_line(remedy.verb, '.'.join(steps[known:]), remedy.value)} under [{table}]"
    line = _line(remedy.verb, remedy.option, remedy.value)
    if "config" in entry and not _has_table(text, config) and re.search(r"(?m)^\s*config\s*=", text):
        return f"{line} inside the braces of config = {{ … }} under [{config.removesuffix('.config')}]"
    return f"{line} under [{config}]"


def _line(verb: str, option: str, value: str | None) -> str:
    return f"{verb} {option} = {value}" if value is not None else f"{verb} {option}"


def _has_table(text: str, header: str) -> bool:
    return re.search(rf"(?m)^\s*\[{re.escape(header)}\]", text) is not None


def _options(config: Any) -> set[str]:
    import msgspec

    return {field.encode_name for field in msgspec.structs.fields(config)}
