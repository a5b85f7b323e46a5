"""What a log record is about: run, source, stream and partition, as fields of the record and of a line of JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs import FLOW, Vdk, job
from support import FaultyDestination, Lab, Split, Whole, payload
from vdk.plugin.datasource_base import ConnectionFailedError, DataSourcePayload
from vdk.plugin.datasource_base.runtime.report.logs import fields_of

log = logging.getLogger("a.client.library")


def reads(state: Any) -> Iterator[DataSourcePayload]:
    log.warning("reading")
    yield payload({"n": 1})


def commits(operation: str, destination: FaultyDestination) -> None:
    log.warning(operation)


def fields(caplog: pytest.LogCaptureFixture, message: str) -> list[dict[str, str]]:
    """The fields of the records with this message, without the run's id, which each has."""
    records = [fields_of(record) for record in caplog.records if message in record.getMessage()]
    assert len({record.pop("run") for record in records}) == 1
    return sorted(records, key=str)


def test_each_record_says_what_it_is_about(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """In the threads that read, also of a client library, in the one that writes, and at a stream's start and end."""
    caplog.set_level(logging.INFO)
    lab.fault(commits)
    lab.run(Whole("w", reads), Split("s", {"a": reads, "b": reads}))
    partitions = [
        {"source": "src", "stream": "s", "partition": "a"},
        {"source": "src", "stream": "s", "partition": "b"},
        {"source": "src", "stream": "w", "partition": ""},
    ]
    streams = [{"source": "src", "stream": "s"}, {"source": "src", "stream": "w"}]
    assert fields(caplog, "reading") == sorted([*partitions, *streams], key=str)  # and "reading into …"
    assert fields(caplog, "succeeded,") == streams
    assert fields(caplog, "publish!") == streams


def test_a_retry_names_its_partition(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """And a record after the run has no fields: the next run of the process is another one."""
    failures = [ConnectionFailedError("down")]

    def fails(state: Any) -> Iterator[DataSourcePayload]:
        if failures:
            raise failures.pop()
        yield payload({"n": 1})

    lab.run(Split("s", {"a": fails}))
    assert fields(caplog, "down") == [{"source": "src", "stream": "s", "partition": "a"}]
    log.warning("later")
    assert fields_of(caplog.records[-1]) == {}


def test_extra_of_the_same_name_is_allowed(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """A library that logs ``extra={"stream": …}`` does not fail in a run."""

    def logs(state: Any) -> Iterator[DataSourcePayload]:
        log.warning("sent", extra={"stream": 7, "source": "x", "partition": 1, "run": 2})
        yield payload({"n": 1})

    lab.run(Whole("w", logs))
    assert fields(caplog, "sent") == [{"source": "src", "stream": "w", "partition": ""}]


def test_a_line_of_json_has_the_fields(tmp_path: Path) -> None:
    """A line of text stays as it is."""
    flow = job(tmp_path / "job", {"a.toml": FLOW.format(method="kept", target="log fields", upto=5)}) / "a.toml"
    done = Vdk()("datasource", "run", flow, "--log-format", "json")
    first, last = (json.loads(line) for line in done.stderr.splitlines())
    assert {**first, "run": "", "time": ""} == {
        "time": "", "level": "info", "logger": "vdk.plugin.datasource_base.runtime.report.progress",
        "message": "src.numbers: reading into lake.numbers", "run": "", "source": "src", "stream": "numbers",
    }  # fmt: skip
    assert (last["run"], last["stream"]) == (first["run"], "numbers")
    text = Vdk()("datasource", "run", flow).stderr.splitlines()[0]
    assert text.endswith("INFO    src.numbers: reading into lake.numbers")
