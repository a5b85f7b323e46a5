# SPDX-License-Identifier: Apache-2.0
"""A flow as the text of a flow file."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def flow_text(flow: Mapping[str, Any]) -> str:
    """The tables ``sources``, ``destinations`` and ``flows`` of a flow as TOML."""
    blocks = []
    for table in ("sources", "destinations"):
        for name, entry in flow[table].items():
            blocks.append(_table(f"[{table}.{_key(name)}]", entry))
    blocks += [_table("[[flows]]", entry) for entry in flow["flows"]]
    return "\n\n".join(blocks)


def _table(header: str, entry: Mapping[str, Any]) -> str:
    return "\n".join([header, *(f"{_key(name)} = {toml_value(value)}" for name, value in entry.items())])


def toml_value(value: Any) -> str:
    """A value as TOML writes it, whole; tables are inline."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(str(key))} = {toml_value(item)}' for key, item in value.items())} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else toml_value(name)
