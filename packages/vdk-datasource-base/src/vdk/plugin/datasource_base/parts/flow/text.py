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
            header = f"{table}.{toml_key(name)}"
            # a table of its own, and no braces: those cannot be extended with further tables
            config = entry.get("config") if table == "sources" else None
            blocks.append(
                _table(f"[{header}]", {key: value for key, value in entry.items() if not config or key != "config"})
            )
            if config:
                blocks.append(_table(f"[{header}.config]", config))
    blocks += [_table("[[flows]]", entry) for entry in flow["flows"]]
    return "\n\n".join(blocks)


def _table(header: str, entry: Mapping[str, Any]) -> str:
    return "\n".join([header, *(f"{toml_key(name)} = {toml_value(value)}" for name, value in entry.items())])
