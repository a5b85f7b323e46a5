"""Runs `cloudquery sync` of plugins, ours and one on CloudQuery's SDK for Python, as whole commands."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from bench import CLOUDQUERY, Bench
from measure import Contender, MeasuringError
from report import Comparison, Target
from rivals import DRIVERS

ENVIRONMENT = {"CQ_TELEMETRY_LEVEL": "none"}
SDK = ("cloudquery-plugin-sdk==0.1.57", "requests", "SQLAlchemy", *DRIVERS)


ORDERS = {
    **{"id": "integer", "customer_id": "integer", "status": "text", "amount": "number", "quantity": "integer"},
    **{"email": "text", "note": "text", "is_gift": "integer", "created_at": "text", "updated_at": "text"},
}
"""The columns of the table ``orders``, as ``peers/cloudquery_sdk.py`` takes them."""


def compare(bench: Bench, environment: Path, sdk: Path, databases: dict[Path, int]) -> Comparison:
    """Run the command in turns. The plugins run already: the SDK's may need longer to start than the command waits.

    :param environment: the bin folder that has the command and our plugin. :param sdk: that of the SDK.
    :param databases: the large and the small one, with their rows. The SDK reads the small one: it sends one row in a
        message, and the large one would take it minutes.
    """
    python, space = environment / "python", bench.space("serving-command")
    (large, many), (small, few) = databases.items()
    with (
        _plugin(space / "ours.sock", python, "-m", "vdk.plugin.datasource_cloudquery", "sqlite") as ours,
        _plugin(space / "sdk.sock", sdk / "python", bench.peers / "cloudquery_sdk.py") as peer,
        _destination(python) as target,
    ):
        specs: list[Mapping[str, object]] = [
            {"database": str(large)},
            {"database": str(small)},
            {"url": f"sqlite:///{small}", "columns": ORDERS},
        ]
        commands = [
            _sync(python, space / str(number), plugin, spec, target, rows)
            for number, (plugin, spec, rows) in enumerate(zip((ours, ours, peer), specs, (many, few, few), strict=True))
        ]
        names = [
            f"our plugin, {many:,} rows",
            f"our plugin, {few:,} rows",
            f"CloudQuery's SDK for Python, {few:,} rows",
        ]
        measured = bench.measure(*(replace(each, name=name) for name, each in zip(names, commands, strict=True)))
    of_whole, of_base, of_other = (each.rows / each.wall for each in measured)
    text = "rows a second, our plugin / CloudQuery's SDK"
    targets = [
        Target(f"{text}, {few:,} rows and the command's start each", of_base / of_other, 1, least=True),
        Target(f"{text}, {many:,} rows of ours", of_whole / of_other, 10, least=True),
    ]
    title = "The same through `cloudquery sync`, into a destination that keeps nothing (cpu: of the command alone)"
    return Comparison(title, measured, names[1], targets)


@contextmanager
def cloudquery(
    bench: Bench, name: str, urls: Mapping[int, str], rows: int, columns: Mapping[str, str] = ORDERS
) -> Iterator[Contender]:
    """CloudQuery's command and a plugin on its SDK for Python: its own plugins for sources and DuckDB are downloaded.

    :param urls: for the numbers of rows, of which the smallest but one is read, the URL that has so many.
    :param rows: of the large job.
    """
    title = "CloudQuery's command, into nothing"
    few = sorted(urls)[1]
    space = bench.space(f"cloudquery-{name}".lower())
    sdk = bench.environments.peer("cloudquery-sdk", *SDK) / "python"
    python = bench.cloudquery / "python"
    with ExitStack() as running:
        try:
            plugin = running.enter_context(_plugin(space / "sdk.sock", sdk, bench.peers / "cloudquery_sdk.py"))
            target = running.enter_context(_destination(python))
            most, least = (
                _sync(python, space / str(count), plugin, {"url": urls[count], "columns": dict(columns)}, target, count)
                for count in (few, 1)
            )
        except (MeasuringError, OSError) as error:
            yield Contender(title, [sdk], prepare=_raising(error), rows=rows)
            return
        start = ["sh", "-c", f"cd {least.cwd} && {shlex.join(map(str, least.command))}"]
        note = f"extrapolated from {few:,} rows; cpu and MB without those of its plugin"
        yield replace(most, name=title, runs=1, rows=rows, scale=rows / few, start=start, note=note)


def _raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise MeasuringError(str(error))

    return fail


def _sync(python: Path, folder: Path, plugin: str, spec: Mapping[str, object], target: str, rows: int) -> Contender:
    """One `cloudquery sync` of a running plugin into a running destination."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(_configuration(plugin, spec, target), "utf-8")
    summary = folder / "summary.json"
    return Contender(
        folder.name,
        [_command(python), "sync", "config.yaml", "--no-log-file", "--summary-location", summary],
        cwd=folder,
        environment=ENVIRONMENT,
        prepare=lambda: summary.unlink(missing_ok=True),
        check=_arrived(summary, rows),
        rows=rows,
    )


@contextmanager
def _plugin(address: Path, *command: str | Path) -> Iterator[str]:
    """A plugin in a process of its own, as `registry: grpc` names it."""
    address.unlink(missing_ok=True)
    with address.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "serve", "--network", "unix", "--address", address], stdout=log, stderr=log
        )
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
        raise MeasuringError(
            f"CloudQuery's command is not in {python.parent}: {CLOUDQUERY} is for Linux on x86-64 only"
        )
    return found[0]


def _configuration(plugin: str, spec: Mapping[str, object], address: str) -> str:
    """The documents of a configuration; YAML is a superset of JSON."""
    source = {"name": "table", "registry": "grpc", "path": plugin, "tables": ["*"], "destinations": ["nowhere"]}
    destination = {"name": "nowhere", "registry": "grpc", "path": address, "write_mode": "append"}
    documents = [
        {"kind": "source", "spec": {**source, "spec": spec}},
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
