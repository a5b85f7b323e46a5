"""The peers that copy a table of a database, each as a whole process in an environment of its own."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench import Bench, emptied, lands, removing
from landing import Landing
from measure import Command, Contender

OFFLINE = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "INGESTR_DISABLE_TELEMETRY": "true",
    "SLING_DISABLE_TELEMETRY": "true",
    "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
    "PYTHONWARNINGS": "ignore",
}
SLOW, SLOWEST = 10, 200
"""By how much the table is smaller that is given to peers that take minutes, or hours, for the whole of it."""
INGESTR = "ingestr==0.14.155"
"""A release before 1.0: later ones download a program. What it loads by is an older dlt."""
DRIVERS = ("psycopg[binary]", "psycopg2-binary", "PyMySQL[rsa]")


@dataclass(frozen=True)
class Road:
    """A database from which tables ``orders`` of the same shape are copied.

    :param name: what it is called in titles.
    :param urls: for a number of rows, the URL of the database that has a table of so many: ``rows``, the large job, a
        tenth, a two-hundredth of it, and one.
    :param rows: of the large job.
    """

    name: str
    urls: Mapping[int, str]
    rows: int

    @property
    def url(self) -> str:
        return self.urls[self.rows]

    def fewer(self, factor: int) -> int:
        return max(self.rows // factor, 1)


def sizes(rows: int) -> list[int]:
    """The tables that a road has, the largest first."""
    return [rows, max(rows // SLOW, 1), max(rows // SLOWEST, 1), 1]


def rivals(bench: Bench, road: Road) -> list[Contender]:
    """All that can read such a database and write DuckDB here."""
    return [
        connectorx(bench, road),
        dlt(bench, road, "connectorx"),
        dlt(bench, road, "pyarrow"),
        ingestr(bench, road),
        sling_into_sqlite(bench, road),
        singer(bench, road),
    ]


def connectorx(bench: Bench, road: Road) -> Contender:
    python = bench.environments.peer("connectorx", "connectorx", "pyarrow", "duckdb") / "python"
    lake = _space(bench, road, "connectorx") / "lake.duckdb"
    check = lands(bench, lake, f"count(*) = {road.rows}")
    command: Command = [python, bench.peers / "connectorx_to_duckdb.py", _in_two(road.url), lake]
    return Contender("connectorx → DuckDB (limit)", command, prepare=removing(lake), check=check, rows=road.rows)


def dlt(bench: Bench, road: Road, backend: str, landing: Landing | None = None) -> Contender:
    """dlt with one of its backends.

    :param landing: where to; without it, a DuckDB file.
    """
    requirements = ("dlt[duckdb,filesystem,parquet,postgres,sql_database,sqlalchemy]", "connectorx", *DRIVERS)
    python = bench.environments.peer("dlt", *requirements) / "python"
    space = _space(bench, road, f"dlt-{backend}")
    lake = space / "lake.duckdb"

    def prepare() -> None:
        emptied(space)()  # dlt's state is there
        if landing:
            landing.empty()

    arguments = [_with_driver(road.url), landing.url if landing else lake, backend, space / "dlt"]
    return Contender(
        f"dlt, {backend} backend",
        [python, bench.peers / "dlt_copy.py", *arguments],
        environment=OFFLINE,
        prepare=prepare,
        check=lands(bench, lake, f"count(*) = {road.rows}", "bench_dataset.orders"),
        runs=None if backend == "connectorx" else 2,
        rows=road.rows,
    )


def ingestr(bench: Bench, road: Road) -> Contender:
    """With the fastest backend that reads all three databases."""
    program = bench.environments.peer("ingestr", INGESTR) / "ingestr"
    space = _space(bench, road, "ingestr")
    lake = space / "lake.duckdb"
    source = ["--source-uri", _with_driver(road.url), "--source-table", _schema(road) + "orders"]
    target = ["--dest-uri", f"duckdb:///{lake}", "--dest-table", "main.orders"]
    how = ["--sql-backend", "pyarrow", "--loader-file-format", "parquet", "--progress", "log", "--yes"]
    return Contender(
        "ingestr, pyarrow backend",
        [program, "ingest", *source, *target, *how],
        cwd=space,
        environment={**OFFLINE, "HOME": str(space)},
        prepare=emptied(space),
        check=lands(bench, lake, f"count(*) = {road.rows}"),
        runs=1,
        rows=road.rows,
    )


def singer(bench: Bench, road: Road) -> Contender:
    rows = road.fewer(SLOW)
    space = _space(bench, road, "singer")
    lake, config = space / "lake.duckdb", space / "target.json"
    config.write_text(json.dumps({"path": str(lake), "default_target_schema": "main"}), "utf-8")
    tap = bench.environments.peer("singer-tap", "singer-sdk", *DRIVERS) / "python"
    return piped(
        bench,
        [tap, bench.peers / "singer_tap.py"],
        config,
        {each: {"url": _with_driver(road.urls[each])} for each in (rows, 1)},
        rows=rows,
        scale=road.rows / rows,
        lake=lake,
    )


def target_duckdb(bench: Bench) -> Path:
    """Its program. Release 0.8 loses a row here and there."""
    return bench.environments.peer("singer-target", "target-duckdb") / "target-duckdb"


def piped(
    bench: Bench, tap: Command, config: Path, sources: Mapping[int, object], *, rows: int, scale: float, lake: Path
) -> Contender:
    """A Singer tap, piped into target-duckdb.

    :param sources: the tap's configuration for ``rows`` rows, and for one, which tells how long the start takes.
    """
    target = target_duckdb(bench)

    def command(count: int) -> list[str]:
        source = config.with_name(f"source-{count}.json")
        source.write_text(json.dumps(sources[count]), "utf-8")
        read = shlex.join([*map(str, tap), "--config", str(source)])
        return ["bash", "-o", "pipefail", "-c", f"{read} | {shlex.join([str(target), '--config', str(config)])}"]

    return Contender(
        "singer-sdk tap, into target-duckdb",
        command(rows),
        environment=OFFLINE,
        prepare=removing(lake),
        check=lands(bench, lake, f"count(*) > {rows} * 0.999"),
        runs=1,
        rows=round(rows * scale),
        scale=scale,
        start=command(1) if scale > 1 else None,
        note=f"extrapolated from {rows:,} rows" if scale > 1 else "",
    )


def sling(bench: Bench, road: Road, target: str) -> Contender:
    """Sling into a database: its target for DuckDB downloads a program, which those for SQLite and PostgreSQL do not.

    :param target: the URL of the database.
    """
    home = bench.environments.peer("sling", "sling-linux-amd64==1.4.11").parent
    programs = list(home.glob("lib/*/site-packages/sling_linux_amd64/bin/sling-linux-amd64"))
    space = _space(bench, road, f"sling-{target.partition(':')[0]}")
    read = ["--src-conn", _for_sling(road.url), "--src-stream", (_schema(road) or "main.") + "orders"]
    schema = "public" if target.startswith("postgresql:") else "main"
    write = ["--tgt-conn", _for_sling(target), "--tgt-object", f"{schema}.orders", "--mode", "full-refresh"]
    return Contender(
        "sling",
        [programs[0] if programs else home / "sling", "run", *read, *write],
        environment={**OFFLINE, "SLING_HOME_DIR": str(space)},
        runs=2,
        rows=road.rows,
    )


def sling_into_sqlite(bench: Bench, road: Road) -> Contender:
    """What sling can do of a road into DuckDB."""
    lake = _space(bench, road, "sling") / "lake.sqlite"
    landed = lands(bench, lake, f"count(*) = {road.rows}")
    made = sling(bench, road, f"sqlite://{lake}")
    return replace(made, name="sling, into SQLite: its DuckDB needs a download", prepare=removing(lake), check=landed)


def _for_sling(url: str) -> str:
    return _in_two(url) + "?sslmode=disable" * url.startswith("postgresql:")


def _space(bench: Bench, road: Road, name: str) -> Path:
    return bench.space(f"{road.name}-{name}".lower())


def _with_driver(url: str) -> str:
    """The URL for SQLAlchemy, whose default driver of MySQL is one that has to be compiled."""
    return url.replace("mysql://", "mysql+pymysql://")


def _in_two(url: str) -> str:
    """The path of an SQLite file after two slashes, where SQLAlchemy has three."""
    return url.replace("sqlite:////", "sqlite:///")


def _schema(road: Road) -> str:
    return {"SQLite": "", "PostgreSQL": "public."}.get(road.name, f"{road.url.rpartition('/')[2]}.")
