"""What the tests share: taps as programs, sources of them, and what they yield."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vdk.plugin.datasource_base import DataSourcePayload, DataSourceState, RejectedRows
from vdk.plugin.datasource_base.contract import decode_config
from vdk.plugin.source_singer.config import SingerConfig
from vdk.plugin.source_singer.source import SingerSource

TAP_FOLDER = Path(__file__).with_name("tap_folder.py")
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": ["null", "integer"]},
        "changed": {"type": ["null", "integer"]},
        "name": {"type": ["null", "string"]},
        "total": {"type": ["null", "number"], "multipleOf": 0.01},
        "at": {"type": ["null", "string"], "format": "date-time"},
        "tags": {"type": ["null", "array"], "items": {"type": "string"}},
        "secret": {"type": ["null", "string"]},
    },
}


def program(folder: Path, code: str, name: str = "tap-test") -> Path:
    """A program with this Python, which starts in an instant since it imports no packages."""
    path = folder / name
    path.write_text(f"#!{sys.executable} -SE\n{code}", encoding="utf-8")
    path.chmod(0o755)
    return path


def config_of(**options: Any) -> SingerConfig:
    return decode_config({"tap": "tap-test", **options}, SingerConfig, location="config")


def source_of(**options: Any) -> SingerSource:
    return SingerSource(config_of(**options))


def folder_tap(folder: Path) -> Path:
    """The tap over a folder, as a program in it."""
    folder.mkdir(exist_ok=True)
    return program(folder, TAP_FOLDER.read_text("utf-8"), "tap-folder")


def write_stream(folder: Path, name: str, rows: Sequence[Mapping[str, Any]], schema: Any = SCHEMA) -> None:
    (folder / f"{name}.schema.json").write_text(json.dumps(schema), encoding="utf-8")
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def message(type_: str, stream: str | None = "t", **fields: Any) -> str:
    return json.dumps({"type": type_, **({"stream": stream} if stream else {}), **fields})


def schema(properties: Mapping[str, Any], keys: Sequence[str] = ("id",), stream: str = "t") -> str:
    described = {"type": "object", "properties": properties}
    return message("SCHEMA", stream, schema=described, key_properties=list(keys))


def scripted(folder: Path, *lines: str, end: str = "", **options: Any) -> SingerSource:
    """A source of a tap without a catalog that writes these lines, and then does what ``end`` says."""
    text = "".join(f"{line}\n" for line in lines)
    path = program(folder, f"import os, signal, sys, time\nsys.stdout.write({text!r})\nsys.stdout.flush()\n{end}\n")
    return source_of(**{"executable": str(path), "together": True, "discover": False, "batch_rows": 1} | options)


def payloads_of(source: SingerSource, stream: str | None = None, state: Any = None) -> list[DataSourcePayload]:
    """What a stream yields, but for the moments in which it waits."""
    source.connect(DataSourceState())
    try:
        chosen = next(each for each in source.streams() if stream in (None, each.name))
        read = chosen.read(state or {})
        return [payload for payload in read if payload.data is not None or payload.state is not None]
    finally:
        source.disconnect()


def rows_of(payloads: Sequence[DataSourcePayload], kind: str = "rows") -> list[dict[str, Any]]:
    batches = [payload.data for payload in payloads if payload.kind == kind and payload.data is not None]
    rows: list[dict[str, Any]] = []
    for batch in batches:
        if not isinstance(batch, RejectedRows):
            rows += batch.to_pylist()  # type: ignore[union-attr]  # Arrow's
    return rows


def states_of(payloads: Sequence[DataSourcePayload]) -> list[Any]:
    return [json.loads(str(payload.state["value"])) for payload in payloads if payload.state is not None]
