"""The process: how soon it listens, its log, its executable, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cloudquery.plugin_v3 import plugin_pb2 as pb

from client import Client, served
from sources import made
from vdk.plugin.datasource_base.contract import DataSourceState
from vdk.plugin.datasource_cloudquery.serving import requests
from vdk.plugin.datasource_cloudquery.serving.install import install
from vdk.plugin.datasource_cloudquery.serving.server import AddressError, Server


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def executable(tmp_path: Path) -> Path:
    return install("sqlite", tmp_path / "cq source ' sqlite")


def test_an_executable_ignores_unknown_options_and_ends_at_sigterm(executable: Path, tmp_path: Path) -> None:
    """Its standard output has JSON lines only: the CLI reads its log there."""
    socket = tmp_path / "s"
    options = ("--no-sentry", "--telemetry-level", "none", "--otel-endpoint=x", "--log-format", "json")
    with running(str(executable), "serve", "--network", "unix", "--address", str(socket), *options) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert (first["level"], first["module"]) == ("info", "sqlite")
        client = Client(f"unix://{socket}")
        with pytest.raises(Exception, match="did you mean 'database'"):
            client.init({"databse": "x"})
        client.channel.close()
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line["level"] for line in lines] == ["error", "info"]
    assert all({"level", "time", "message", "module"} <= line.keys() for line in lines)
    assert (process.returncode, errors) == (0, "")


def test_it_starts_without_vdk_core_and_arrow() -> None:
    """Arrow and vdk-core take a second or more, and the CLI kills what does not listen in time."""
    code = (
        "import sys, vdk.plugin.datasource_cloudquery.serving.server\n"
        "print([name for name in ('pyarrow', 'vdk.internal') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


HANGS = """
import logging, threading
from vdk.plugin.datasource_cloudquery.serving import server
from vdk.plugin.source_sqlite.source import SqliteSource
def connect(source, state):
    logging.warning("connecting")
    threading.Event().wait()
SqliteSource.connect = connect
server.STOP_SECONDS = 0.2
server.serve("sqlite", "127.0.0.1:0", "tcp")
"""


def test_sigterm_ends_it_while_a_source_hangs() -> None:
    with running(sys.executable, "-c", HANGS) as process:
        assert process.stdout is not None
        client = Client(json.loads(process.stdout.readline())["message"].rpartition(" ")[2])
        client.init({"database": "shop.db"})
        listed = client.stub.GetTables.future(pb.GetTables.Request(tables=["*"]))
        assert json.loads(process.stdout.readline())["message"] == "connecting"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        client.channel.close()
    assert (process.returncode, listed.done()) == (0, True)


def test_a_source_that_hangs_for_a_former_client_does_not_block_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "CLOSE_SECONDS", 0.1)
    source, connecting, answer = made(), threading.Event(), threading.Event()
    connect = source.connect

    def hang(state: DataSourceState) -> None:
        connecting.set()
        answer.wait(60)
        connect(state)

    monkeypatch.setattr(source, "connect", hang)
    with served("made", lambda: source) as client:
        client.init()
        listed = client.stub.GetTables.future(pb.GetTables.Request(tables=["*"]))
        assert connecting.wait(60)
        listed.cancel()
        try:
            client.stub.Init(pb.Init.Request(), timeout=10)
        finally:
            answer.set()
        assert source.ended.wait(60)


@pytest.mark.parametrize(
    ("address", "network", "text"),
    [
        ("127.0.0.1:99999", "tcp", "at most 65535; write --address 127.0.0.1:7777"),
        ("localhost", "tcp", "expected a host and a port"),
        ("7778", "tcp", "write --address 127.0.0.1:7778"),
        (":7778", "tcp", "write --address 127.0.0.1:7778"),
        ("no.invalid:7778", "tcp", "another port, as in --address 127.0.0.1:7778"),
        ("/no/folder/s", "unix", "in a folder that exists"),
    ],
)
def test_a_wrong_address_is_named_with_one_that_works(address: str, network: str, text: str) -> None:
    with pytest.raises(AddressError, match=re.escape(text)) as raised:
        Server("sqlite").start(address, network)
    assert f"--address {address}: " in str(raised.value)


def test_an_address_in_use_is_an_error(executable: Path) -> None:
    with running(str(executable), "serve", "--address", "127.0.0.1:0") as first:
        assert first.stdout is not None
        port = json.loads(first.stdout.readline())["message"].rpartition(":")[2]
        with running(str(executable), "serve", "--address", f"127.0.0.1:{port}") as second:
            _, errors = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"--address 127.0.0.1:{port}: it cannot be listened on (Address already in use)" in errors
    assert "Traceback" not in errors


def test_install_replaces_no_other_file(tmp_path: Path) -> None:
    path = install("sqlite", tmp_path / "plugin")
    assert os.access(path, os.X_OK)
    assert install("kafka", path) == path  # one of ours
    path.write_text("precious")
    with pytest.raises(Exception, match="the file exists, and is not one of these"):
        install("sqlite", path)
    assert path.read_text() == "precious"
