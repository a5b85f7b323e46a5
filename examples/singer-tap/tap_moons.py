#!/usr/bin/env python3
"""A Singer tap, as its author would write it: planets are read whole, moons by the time at which they were changed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TEXT = {"type": ["null", "string"]}
STREAMS: dict[str, dict[str, Any]] = {
    "planets": {"name": {"type": "string"}, "moons": {"type": ["null", "integer"]}},
    "moons": {
        "name": {"type": "string"},
        "planet": TEXT,
        "radius_km": {"type": ["null", "number"], "multipleOf": 0.1},
        "changed": {"type": "string", "format": "date-time"},
        "notes": TEXT,
    },
}


def main() -> None:
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    if "--discover" in sys.argv:
        write({"streams": [entry(name) for name in STREAMS]})
        return
    state = load(arguments["--state"]) if "--state" in arguments else {"bookmarks": {}}
    rows = load(load(arguments["--config"])["file"])
    for stream in load(arguments["--catalog"])["streams"]:
        sync(stream["tap_stream_id"], rows, state)


def entry(name: str) -> dict[str, Any]:
    """A stream's entry of the catalog, with Singer's metadata."""
    replication = {"replication-method": "FULL_TABLE"}
    if "changed" in STREAMS[name]:
        replication = {"replication-method": "INCREMENTAL", "replication-key": "changed"}
    metadata = [{"breadcrumb": [], "metadata": {"table-key-properties": ["name"], **replication}}]
    schema = {"type": "object", "properties": STREAMS[name]}
    return {"tap_stream_id": name, "stream": name, "schema": schema, "metadata": metadata}


def sync(name: str, rows: dict[str, Any], state: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": STREAMS[name]}
    write({"type": "SCHEMA", "stream": name, "schema": schema, "key_properties": ["name"]})
    bookmark = state["bookmarks"].get(name, {}).get("changed", "")
    changed_rows = [row for row in rows[name] if row.get("changed", "") >= bookmark]
    for row in sorted(changed_rows, key=lambda row: str(row.get("changed"))):
        write({"type": "RECORD", "stream": name, "record": row})
        if "changed" in row:
            state["bookmarks"][name] = {"changed": row["changed"]}
    print(f"INFO {name}: {len(changed_rows)} records", file=sys.stderr)
    write({"type": "STATE", "value": state})


def load(path: str) -> Any:
    return json.loads(Path(path).read_text("utf-8"))


def write(message: dict[str, Any]) -> None:
    print(json.dumps(message))


if __name__ == "__main__":
    main()
