"""Reads a SQLite table directly and through plugins, in turns; the first round is a warm-up.

    python serving_read.py FOLDER DATABASE ROWS SMALL_DATABASE ITS_ROWS ROUNDS PYTHON_OF_THE_SDK PLUGIN_ON_THE_SDK

Prints a line for each reading: its name, its seconds, and the processor seconds of client and server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
from cloudquery.plugin_v3 import plugin_pb2 as pb
from cloudquery.plugin_v3 import plugin_pb2_grpc

import serving
from serving_command import ORDERS
from vdk.plugin.datasource_base.contract import DataSourceState
from vdk.plugin.source_sqlite.source import SqliteConfig, SqliteSource


def read_source(path: Path) -> int:
    source = SqliteSource(SqliteConfig(database=path))
    source.connect(DataSourceState())
    payloads = (payload for stream in source.streams() for part in stream.partitions({}) for payload in part.read({}))
    rows: int = sum(
        payload.data.num_rows for payload in payloads if isinstance(payload.data, (pa.RecordBatch, pa.Table))
    )
    source.disconnect()
    return rows


class Plugin:
    """A plugin in a process of its own, and a client of it."""

    def __init__(self, address: Path, process: subprocess.Popen[bytes], spec: Mapping[str, object]) -> None:
        self._process = process
        self._spec = json.dumps(spec).encode()
        channel = grpc.insecure_channel(f"unix://{address}", options=[("grpc.max_receive_message_length", -1)])
        self._stub: Any = plugin_pb2_grpc.PluginStub(channel)

    def read(self) -> int:
        self._stub.Init(pb.Init.Request(spec=self._spec), wait_for_ready=True)
        rows = 0
        for response in self._stub.Sync(pb.Sync.Request(tables=["*"])):
            if response.HasField("insert"):
                rows += pa.ipc.open_stream(response.insert.record).read_next_batch().num_rows
        return rows

    def cpu(self) -> float:
        """Processor seconds of the process until now (Linux)."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(command: list[str], address: Path, spec: Mapping[str, object]) -> Iterator[Plugin]:
    address.unlink(missing_ok=True)
    with (address.with_suffix(".log")).open("wb") as log:
        process = subprocess.Popen([*command, "serve", "--network", "unix", "--address", str(address)], stdout=log)
    try:
        yield Plugin(address, process, spec)
    finally:
        process.terminate()
        process.wait()


def main(folder: Path, database: Path, rows: int, small: Path, few: int, rounds: int, python: str, peer: str) -> None:
    ours = [sys.executable, "-m", "vdk.plugin.datasource_cloudquery", "sqlite"]
    theirs = {"url": f"sqlite:///{small}", "columns": ORDERS}
    with (
        running(ours, folder / "ours.sock", {"database": str(database)}) as plugin,
        running([python, peer], folder / "sdk.sock", theirs) as sdk,
    ):
        contenders: dict[str, tuple[Callable[[], int], Callable[[], float], int]] = {
            serving.ARROW: (lambda: read_source(database), lambda: 0.0, rows),
            serving.SERVED: (plugin.read, plugin.cpu, rows),
            serving.SDK: (sdk.read, sdk.cpu, few),
        }
        for number in range(rounds + 1):
            for name, (read, cpu_of_server, expected) in contenders.items():
                wall, cpu = time.perf_counter(), time.process_time() + cpu_of_server()
                if (found := read()) != expected:
                    sys.exit(f"{name}: {found} rows, expected {expected}")
                wall, cpu = time.perf_counter() - wall, time.process_time() + cpu_of_server() - cpu
                if number:
                    print(json.dumps([name, wall, cpu]), flush=True)


if __name__ == "__main__":
    folder_, database_, rows_, small_, few_, rounds_, *commands = sys.argv[1:]
    main(Path(folder_), Path(database_), int(rows_), Path(small_), int(few_), int(rounds_), *commands)
