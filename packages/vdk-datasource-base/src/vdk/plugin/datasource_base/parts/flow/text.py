# SPDX-License-Identifier: Apache-2.0
"""A flow as the text of a flow file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...contract.toml import toml_key, toml_value


def flow_text(flow: Mapping[str, Any]) -> str:
    """The tables ``sources``, ``destinations`` and ``flows`` of a flow as TOML."""
    blocks = []
    for table in ("sources", "destinations"):
        for name, entry in flow[table].items():
            blocks.append(_table(f"[{table}.{toml_key(name)}]", entry))
    blocks += [_table("[[flows]]", entry) for entry in flow["flows"]]
    return "\n\n".join(blocks)


def _table(header: str, entry: Mapping[str, Any]) -> str:
    return "\n".join([header, *(f"{toml_key(name)} = {toml_value(value)}" for name, value in entry.items())])
