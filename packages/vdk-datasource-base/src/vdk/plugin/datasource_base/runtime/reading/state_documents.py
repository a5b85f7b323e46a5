# SPDX-License-Identifier: Apache-2.0
"""The states of one stream as a document that another system keeps, and gives back in a later run.

``{"v": 1, "source": identity, "states": text}``. The states are JSON inside a text: systems parse what they keep and
write it again, and would change numbers such as 1.10 or those beyond 64 bits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...contract import State, StateError

VERSION = 1


def state_document(states: Mapping[str, State], identity: str) -> dict[str, Any]:
    """The document of partition → state. :param identity: that of the source."""
    text = json.dumps({name: states[name] for name in sorted(states) if states[name]}, ensure_ascii=False)
    return {"v": VERSION, "source": identity, "states": text}


def states_of(document: Any, identity: str, *, stream: str, remedy: str) -> dict[str, State]:
    """Partition → state of a document; of none, ``{}``.

    :param identity: that of the source which is read now. :param remedy: what to do to read from the beginning.
    :raises StateError: if it is damaged, of another version, or of another source.
    """
    if not document:
        return {}
    try:
        version, source, text = document["v"], document["source"], document["states"]
        states = json.loads(text)
        if not isinstance(states, dict) or not all(isinstance(state, dict) for state in states.values()):
            raise ValueError("the states are not {partition: state}")
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"the state of stream {stream!r} is damaged: {error!r}; {remedy}") from None
    if version != VERSION:
        raise StateError(
            f"the state of stream {stream!r} has the version {version!r}, and this version of the framework reads "
            f"{VERSION}; install the version that wrote it, or {remedy}"
        )
    if source != identity:
        raise StateError(
            f"the state of stream {stream!r} was written for the source {source!r}, and {identity!r} is read now; "
            f"correct the source's options, or {remedy}"
        )
    return states
