# SPDX-License-Identifier: Apache-2.0
"""What changes a flow file for one run: its ``[env.<name>]`` tables, and ``--set`` of the command line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ...contract import ConfigurationError
from ...contract.errors import ArgumentError
from ...contract.remedies import closest, suggest
from ...contract.toml import toml_key

ENVIRONMENTS = "env"
"""The table of a flow file with the environments."""
_OVERRIDABLE = ("sources", "destinations", "flows", "summary", "notify")
"""Not ``name``: states that are kept in properties belong to the job of that name."""
_STEP = re.compile(r'\.?(?:(?P<bare>[A-Za-z0-9_-]+)|(?P<quoted>"(?:[^"\\]|\\.)*")|\[(?P<index>\d{1,9})\])')

OptionPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Overrides:
    """The order is: the file, then the environment, then the values.

    :param environment: the name of an environment of the file.
    :param values: as ``PATH=VALUE`` each. A value is TOML, else text.
    """

    environment: str | None = None
    values: tuple[str, ...] = ()

    def apply(
        self, data: Any, location: str, *, flow_options: Collection[str] = ()
    ) -> tuple[Any, tuple[OptionPath, ...]]:
        """The flow file as it is for this run, without its environments, and the paths that values were set at.

        :param flow_options: the options of ``[[flows]]``, for the error of a path that begins with one.
        :raises ArgumentError: naming the environment or the value, and what to write instead.
        :raises ConfigurationError: the environments of the file are wrong.
        """
        if not isinstance(data, Mapping):
            return data, ()
        changed = {key: value for key, value in data.items() if key != ENVIRONMENTS}
        environments = _environments(data.get(ENVIRONMENTS, {}), location)
        if self.environment is not None:
            changed = _merged(changed, _chosen(environments, self.environment, location))
        paths = []
        for text in self.values:
            path, value = _parsed(text)
            if path[0] not in _OVERRIDABLE:
                longer = _longer_path(str(path[0]), changed, flow_options)
                raise ArgumentError(f"--set {_path_of(text)!r}: {str(path[0])!r} cannot be set; {longer}")
            changed = _with_value(changed, path, value, text)
            paths.append(path)
        return changed, tuple(paths)


def _environments(tables: Any, location: str) -> Mapping[str, Mapping[str, Any]]:
    """Every environment of a file, also those that this run does not use: a mistake shows at once."""
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        raise ConfigurationError(
            f"{location}: {ENVIRONMENTS} must have a table for each environment; write [{ENVIRONMENTS}.prod] above the "
            "options"
        )
    for name, table in tables.items():
        for key in table:
            if key not in _OVERRIDABLE:
                raise ConfigurationError(
                    f"{location}: {ENVIRONMENTS}.{name}: {key!r} cannot be overridden; {suggest(key, _OVERRIDABLE)}"
                )
    return tables


def _chosen(environments: Mapping[str, Mapping[str, Any]], name: str, location: str) -> Mapping[str, Any]:
    if name not in environments:
        other = suggest(name, environments) if environments else "it has none"
        raise ArgumentError(
            f"{location}: the file has no environment {name!r}: {other}; write [{ENVIRONMENTS}.{name}], which may be "
            "empty, for a file that is the same there"
        )
    return environments[name]


def _merged(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are merged key by key; any other value, a list too, is replaced."""
    merged = dict(data)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _parsed(text: str) -> tuple[OptionPath, Any]:
    """The path and the value of ``PATH=VALUE``."""
    steps: list[str | int] = []
    position = 0
    while match := _STEP.match(text, position):
        position = match.end()
        if match["quoted"] is not None:
            steps.append(_key_in(match["quoted"]))
        else:
            steps.append(int(match["index"]) if match["index"] is not None else match["bare"])
    if not steps or text[position : position + 1] != "=" or text.startswith((".", "[")):
        # no more is shown than what is a path: after a colon, or nothing at all, the rest may be a password
        shown = text[:position] + ("…" if position < len(text) else "")
        raise ArgumentError(
            f"--set {shown!r}: it is not PATH=VALUE; write, for example, --set sources.shop.config.database=shop.db or "
            "--set flows[0].batch_rows=1000; a name with a blank or a dot is in quotes, as in --set "
            "'sources.shop.config.tables.\"two words\".cursor=changed_at'"
        )
    return tuple(steps), _value(text[position + 1 :])


def _longer_path(first: str, data: Mapping[str, Any], flow_options: Collection[str]) -> str:
    """What to write for a path that begins with an option of a flow, or of a source."""
    if near := closest(first, _OVERRIDABLE, limit=1, cutoff=0.7):
        return f"did you mean {near[0]!r}?"
    if first in flow_options:
        return f"did you mean flows[0].{first}?"
    sources = data.get("sources")
    source = toml_key(next(iter(sources))) if isinstance(sources, Mapping) and sources else "shop"
    return (
        f"{suggest(first, _OVERRIDABLE)}; an option of a source is written as sources.{source}.config.{toml_key(first)}"
    )


def _key_in(quoted: str) -> str:
    """The key that is written in quotes, with TOML's escapes."""
    try:
        return tomllib.loads(f"{quoted} = 0").popitem()[0]
    except ValueError as error:
        raise ArgumentError(f"--set {quoted!r}: it is not a key of TOML: {error}") from None


def _value(text: str) -> Any:
    """A value as TOML has it, else the text itself."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if parsed.keys() == {"value"} else text


def _with_value(data: Any, path: OptionPath, value: Any, text: str) -> Any:
    """The data, with a value at a path. Tables that do not exist are made; lists keep their length."""
    if not path:
        return value
    step, *rest = path
    if isinstance(data, list):
        if not isinstance(step, int):
            raise ArgumentError(
                f"--set {_path_of(text)!r}: {step!r} is below a list; name an element of it with its number, as in "
                "flows[0].batch_rows"
            )
        if step >= len(data):
            elements = {0: "the list is empty", 1: "the only one is [0]"}
            known = elements.get(len(data), f"the first is [0], the last [{len(data) - 1}]")
            raise ArgumentError(f"--set {_path_of(text)!r}: [{step}] does not exist; {known}")
        changed = list(data)
        changed[step] = _with_value(data[step], tuple(rest), value, text)
        return changed
    if isinstance(step, int) or not isinstance(data, Mapping):
        raise ArgumentError(f"--set {_path_of(text)!r}: {step!r} is below a value that is not a {_container(step)}")
    return {**data, step: _with_value(data.get(step, {}), tuple(rest), value, text)}


def _container(step: str | int) -> str:
    return "list" if isinstance(step, int) else "table"


def _path_of(text: str) -> str:
    """What is before the equals sign: the value may be a password."""
    return text.partition("=")[0]
