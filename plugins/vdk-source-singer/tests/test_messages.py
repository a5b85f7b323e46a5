"""The messages of a tap as payloads: each state behind every record before it, and clear errors for the rest."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support import message, payloads_of, program, rows_of, schema, scripted, states_of
from vdk.plugin.datasource_base import ConnectionFailedError, DataSourceError, RejectedRows
from vdk.plugin.source_singer.errors import TapError

ID = {"id": {"type": "integer"}, "x": {"type": ["null", "number"]}}


def record(number: int, stream: str = "t", version: int | None = None, **values: Any) -> str:
    fields = {"record": {"id": number, **values}} | ({"version": version} if version is not None else {})
    return message("RECORD", stream, **fields)


def state(value: Any) -> str:
    return message("STATE", None, value={"at": value})


def stored(at: int, **versions: int) -> dict[str, Any]:
    return {"v": 1, "value": f'{{"at": {at}}}', "versions": versions}


def test_a_state_covers_all_streams_before_it_and_no_record_behind_it(tmp_path: Path) -> None:
    lines = [
        schema(ID),
        schema(ID, stream="u"),
        record(1),
        record(1, "u"),
        state(1),
        record(2),
        record(2, "u"),
        state(2),
    ]
    payloads = payloads_of(scripted(tmp_path, *lines, record(3), batch_rows=1000))
    seen = [
        (payload.destination_table, [row["id"] for row in rows_of([payload])])
        if payload.state is None
        else payload.state
        for payload in payloads
    ]
    assert seen == [("t", [1, 2]), ("u", [1, 2]), stored(2), ("t", [3])]


def test_a_state_that_is_not_resumable_waits_for_one_that_is(tmp_path: Path) -> None:
    running = {"bookmarks": {"t": {"partitions": [{"progress_markers": {"replication_key_value": 1}}]}}}
    lines = [schema(ID), record(1), message("STATE", None, value=running), record(2), state(2)]
    payloads = payloads_of(scripted(tmp_path, *lines))
    assert states_of(payloads) == [{"at": 2}]
    assert payloads[-1].state is not None


def test_deleted_records_are_deletes_in_their_order(tmp_path: Path) -> None:
    deleted = "2026-01-01T00:00:00Z"
    lines = [schema(ID), record(1), record(2), record(1, _sdc_deleted_at=deleted), record(3), state(1)]
    payloads = payloads_of(scripted(tmp_path, *lines, batch_rows=1000))
    kinds = [(payload.kind, rows_of([payload], payload.kind)) for payload in payloads[:-1]]
    assert kinds == [
        ("rows", [{"id": 1, "x": None}, {"id": 2, "x": None}]),
        ("deletes", [{"id": 1}]),
        ("rows", [{"id": 3, "x": None}]),
    ]
    lines[0] = schema(ID, keys=())
    rows = rows_of(payloads_of(scripted(tmp_path, *lines, batch_rows=1000)))
    assert rows[2] == {"id": 1, "x": None, "_sdc_deleted_at": deleted}, "without a key it is a row"


def activate(version: int) -> str:
    return message("ACTIVATE_VERSION", version=version)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([record(1, version=2), state(1), record(2, version=2), state(2), activate(2)], [[1, 2]]),
        ([activate(2), record(1, version=2), state(1), record(2, version=2), state(2)], [[1, 2]]),
        ([activate(2), record(1, version=2), state(2), activate(2)], [[1]]),
        ([activate(1), record(1, version=1), state(2)], []),
        ([record(1, version=2), state(2)], []),
    ],
    ids=["at the end", "before the records", "twice", "the same version", "never"],
)
def test_a_new_version_replaces_the_rows_of_the_other_when_it_is_complete(
    tmp_path: Path, lines: list[str], expected: list[Any]
) -> None:
    start = stored(0, t=1)
    payloads = payloads_of(scripted(tmp_path, schema(ID), *lines), state=start)
    sweeps = [payload for payload in payloads if payload.kind == "keys"]
    assert ([[row["id"] for row in rows_of(sweeps, "keys")]] if sweeps else []) == expected
    states = [payload.state for payload in payloads if payload.state is not None]
    assert states[-1] == stored(2, t=2 if expected else 1)
    if expected:
        assert all(payload.state is None for payload in payloads[: payloads.index(sweeps[0])]), "the old rows are there"


def test_a_first_version_replaces_nothing_and_is_resumed(tmp_path: Path) -> None:
    lines = [schema(ID), record(1, version=7), state(1), activate(7)]
    for start in ({}, stored(0, t=7)):
        payloads = payloads_of(scripted(tmp_path, *lines), state=start)
        assert [payload.kind for payload in payloads] == ["rows", "rows"]
        assert payloads[-1].state == stored(1, t=7)


def test_a_batch_is_read_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl.gz").write_bytes(gzip.compress(b'{"id": 1}\n{"id": 2}\n'))
    (tmp_path / "2.jsonl").write_bytes(b'{"id": 3}')
    for compression in ("gzip", None):
        encoding = {"format": "jsonl", "compression": compression}
        manifest = [f"file://{tmp_path}/1.jsonl.gz", str(tmp_path / "2.jsonl")]
        lines = [schema(ID), message("BATCH", encoding=encoding, manifest=manifest), record(4), state(1)]
        payloads = payloads_of(scripted(tmp_path, *lines, batch_rows=1000))
        assert [row["id"] for row in rows_of(payloads)] == [1, 2, 3, 4]
        assert states_of(payloads) == [{"at": 1}]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"encoding": {"format": "avro"}, "manifest": []}, ["avro", "jsonl"]),
        ({"encoding": {"format": "jsonl", "compression": "zstd"}, "manifest": []}, ["zstd", "gzip"]),
        ({"encoding": {"format": "jsonl"}, "manifest": ["s3://b/1.jsonl"]}, ["s3://b", "file:///"]),
        ({"encoding": {"format": "jsonl"}, "manifest": ["/no/such.jsonl"]}, ["/no/such.jsonl"]),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_batch_that_cannot_be_read_is_named(tmp_path: Path, fields: Any, words: list[str]) -> None:
    with pytest.raises(TapError) as raised:
        payloads_of(scripted(tmp_path, schema(ID), message("BATCH", **fields)))
    assert all(word in str(raised.value) for word in words)


FAULTS: list[tuple[list[str], str, type[Exception], list[str]]] = [
    (["Hello"], "", TapError, ["tap-test", "line 4", "'Hello'", "stderr", "pip_url"]),
    (['{"type": "RECORD", "stream": "t", "rec'], "", TapError, ["line 4", "the middle of it"]),
    (["[1]"], "", TapError, ["line 4"]),
    ([record(2, "other")], "", TapError, ["line 4", "'other'", "SCHEMA"]),
    ([message("SCHEMA", "t")], "", TapError, ["line 4", "SCHEMA without"]),
    ([message("SHOUT")], "", TapError, ["line 4", "'SHOUT'"]),
    ([message("STATE", None)], "", TapError, ["line 4", "STATE without a value"]),
    ([], "print('RuntimeError: no such table', file=sys.stderr); sys.exit(3)", TapError, ["code 3", "no such table"]),
    ([], "os.kill(os.getpid(), signal.SIGKILL)", ConnectionFailedError, ["SIGKILL"]),
    ([], "time.sleep(600)", ConnectionFailedError, ["nothing for 0.4 s", 'timeout = "0.8s"']),
    ([], "os.close(1); os.close(2); time.sleep(600)", ConnectionFailedError, ["nothing for 0.4 s"]),
    ([], "sys.stdout.write('{\"x\": \"' + 'y' * 5000)", TapError, ["2,048", "max_line_bytes = 8192"]),
]


@pytest.mark.parametrize(("lines", "end", "kind", "words"), FAULTS, ids=lambda value: str(value)[:50])
def test_a_tap_that_fails_is_named_and_what_a_state_covers_has_landed(
    tmp_path: Path, lines: list[str], end: str, kind: type[Exception], words: list[str]
) -> None:
    source = scripted(
        tmp_path,
        schema(ID),
        record(1),
        state(1),
        *lines,
        end=end,
        timeout="400ms",
        max_line_bytes=2048,
        batch_rows=1000,
    )
    source.connect(None)  # type: ignore[arg-type]  # it is not looked at
    payloads = []
    with pytest.raises(kind) as raised:  # noqa: PT012
        for payload in source.streams()[0].read({}):
            payloads.append(payload)
    assert all(word.replace("line 4", "line 4") in str(raised.value) for word in words), raised.value
    assert isinstance(raised.value, DataSourceError)
    assert [row["id"] for row in rows_of(payloads)] == [1]
    assert states_of(payloads) == [{"at": 1}]


@pytest.mark.parametrize(
    ("value", "shown", "reason"),
    [("NaN", "nan", "not a number"), ("-Infinity", "-inf", "not a number"), ('"\\ud800"', "\\ud800", "surrogate")],
)
def test_what_python_writes_and_json_lacks_is_a_bad_record(tmp_path: Path, value: str, shown: str, reason: str) -> None:
    line = f'{{"type": "RECORD", "stream": "t", "record": {{"id": 2, "x": {value}}}}}'
    payloads = payloads_of(scripted(tmp_path, schema(ID), record(1), line, record(3), state(1), batch_rows=1000))
    assert [row["id"] for row in rows_of(payloads)] == [1, 3]
    ((row, error),) = next(payload.data.rows for payload in payloads if isinstance(payload.data, RejectedRows))
    assert row == {"id": 2, "x": shown}
    assert all(word in str(error) for word in ("column 'x'", "'id': 2", reason, 'on_bad_record = "reject"'))


def test_a_schema_that_changes_is_used_from_there_on(tmp_path: Path) -> None:
    wider = schema({**ID, "y": {"type": "string", "format": "date"}})
    lines = [schema(ID), record(1), wider, record(2, y="2026-01-01"), wider, record(3, y=None), state(1)]
    rows = rows_of(payloads_of(scripted(tmp_path, *lines, batch_rows=1000)))
    assert [str(row.get("y", "absent")) for row in rows] == ["absent", "2026-01-01", "None"]


def test_the_last_line_needs_no_end(tmp_path: Path) -> None:
    lines = [schema(ID), record(1)]
    payloads = payloads_of(scripted(tmp_path, *lines, end=f"sys.stdout.write({state(5)!r})"))
    assert states_of(payloads) == [{"at": 5}]


def test_every_process_of_a_tap_ends_with_its_reading(tmp_path: Path) -> None:
    """A tap may start others; the group of all of them is killed, whoever reads stops."""
    source = scripted(tmp_path, schema(ID), record(1), state(1), end=_forks(tmp_path))
    reading = source.streams()[0].read({})
    assert next(reading).data is not None
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        next(reading)
    reading.close()  # type: ignore[attr-defined]  # a generator
    assert not _runs(tmp_path)


def test_every_process_of_a_tap_ends_with_a_run_that_is_killed(tmp_path: Path) -> None:
    """By SIGKILL, though the tap writes nothing more."""
    tap = program(tmp_path, f"import os, signal, sys, time\n{_forks(tmp_path)}")
    code = (
        "import os, pathlib, sys, time\nfrom vdk.plugin.source_singer.program.process import TapProcess\n"
        f"TapProcess('tap', [{str(tap)!r}], folder=None, timeout=60, max_line=100, redact=str)\n"
        f"pid = pathlib.Path({str(tmp_path / 'pid')!r})\n"
        "while not (pid.exists() and pid.read_text()): time.sleep(0.01)\nos.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    while _runs(tmp_path):
        time.sleep(0.01)


def _forks(folder: Path) -> str:
    """What a tap does that starts another process, and neither writes nor ends any more."""
    return (
        f"child = os.fork()\nif child == 0: open({str(folder / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)"
    )


def _runs(folder: Path) -> bool:
    """Whether the process still runs that the tap has started."""
    status = Path(f"/proc/{(folder / 'pid').read_text()}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_json_of_a_message_in_any_order_is_read(tmp_path: Path) -> None:
    line = json.dumps({"time_extracted": "x", "record": {"id": 1}, "stream": "t", "type": "RECORD", "more": [1]})
    assert rows_of(payloads_of(scripted(tmp_path, schema(ID), line))) == [{"id": 1, "x": None}]
