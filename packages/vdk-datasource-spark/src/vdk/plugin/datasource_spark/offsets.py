# SPDX-License-Identifier: Apache-2.0
"""The states of all partitions as one offset of Spark, which it keeps in the checkpoint.

``{"v": 1, "source": identity, "s": text}``. The states are JSON inside a text: the JVM parses an offset and writes it
again, and would change numbers such as 1.10 or those beyond 64 bits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vdk.plugin.datasource_base.contract import State, StateError

VERSION = 1
_NEW = "name another checkpointLocation to read from the beginning"

States = Mapping[str, State]
"""Partition → state."""


def encode(states: States, identity: str | None = None) -> dict[str, Any]:
    """The offset of these states. A state that is empty is left out: its partition is read from the beginning."""
    kept = {partition: states[partition] for partition in sorted(states) if states[partition]}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {"v": VERSION, **({"source": identity} if identity is not None else {}), "s": text}


def decode(offset: Mapping[str, Any], identity: str | None = None) -> dict[str, State]:
    """The states of an offset. Raises ``StateError`` if it is damaged, too new, or of another source."""
    if offset.get("v") != VERSION:
        raise StateError(
            f"the checkpoint's offset has the version {offset.get('v')!r}, and this version of vdk-datasource-spark "
            f"reads {VERSION}; install the version that wrote it, or {_NEW}"
        )
    before = offset.get("source")
    if before is not None and identity is not None and before != identity:
        raise StateError(
            f"the checkpoint was written for the source {before!r}, and the options name {identity!r}; correct the "
            f"options, or {_NEW}"
        )
    try:
        states = json.loads(offset["s"])
        if not isinstance(states, dict) or not all(isinstance(state, dict) for state in states.values()):
            raise ValueError("it is not {partition: state}")
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"the checkpoint's offset is damaged: {error}; {_NEW}") from None
    return states
