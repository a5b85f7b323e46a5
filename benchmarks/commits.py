"""What commits cost: many states, rows and deletes that alternate, many small partitions."""

from __future__ import annotations

from bench import QUIET, Bench, removing
from measure import Contender
from report import Comparison, Target

ENGINES = {"duckdb": "lake.duckdb", "sqlite": "lake.db", "parquet": "lake"}
FEW, MANY = 10, 10_000
COMMITS = 200
MESSAGES = 100_000
PARTITIONS = 300
"""Each at most: a smaller large job makes them fewer."""

STATES = """
import sys
from pathlib import Path
import pyarrow as pa
from vdk.plugin.datasource_base.parts import CommitUnit, TableBatch, StateKey, TableSpec
from vdk.plugin.ingest_arrow.targets import arrow_destination
target, states, commits = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
keys = [StateKey("shop", "shop.db", "orders", str(number), "orders") for number in range(states)]
destination = arrow_destination(target, folder=Path())
destination.open()
for start in range(0, states, 500):
    some = keys[start : start + 500]
    destination.commit_group([CommitUnit(key, (), {"n": 0}, 0, "run") for key in some], [])
for turn in range(commits):
    rows = TableBatch(TableSpec(f"orders{turn // 100}", "append"), "rows", pa.table({"id": [turn]}))
    destination.commit(CommitUnit(keys[turn % 10], [rows], {"n": turn}, 1 + turn // 10, "run"))
destination.close()
"""

FLOW = """
import sys
import pyarrow as pa
from vdk.plugin.datasource_base import (
    DataSource, DataSourceConfig, DataSourcePayload, DataSourceStream, StreamPartition, StreamSchema, data_source,
)
from vdk.plugin.datasource_base.runtime import Environment, execute
target, shape, count, mode = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
STATES = mode != "replace"


class Config(DataSourceConfig):
    pass


class Part(StreamPartition):
    def __init__(self, number):
        self.id, self.number = f"p{number}", number

    def read(self, state):
        rows = [{"id": self.number * 3 + n, "v": "x"} for n in range(3)]
        yield DataSourcePayload(rows, state={"done": True} if STATES else None)


class Keyed:
    def __init__(self, name):
        self.name = name

    def schema(self, table=None):
        return StreamSchema(pa.schema([("id", pa.int64()), ("v", pa.string())]), ("id",), "id" if STATES else None)


class Split(Keyed, DataSourceStream):
    def partitions(self, state):
        return (Part(number) for number in range(count))


class Alternating(Keyed, DataSourceStream):
    def read(self, state):
        for n in range(count):
            row, kind = ({"id": n * 7 % 9973}, "deletes") if n % 5 == 4 else ({"id": n * 7 % 9973, "v": "x"}, "rows")
            yield DataSourcePayload(row, kind=kind, state={"n": n})


@data_source(name="shaped", config=Config)
class Source(DataSource[Config]):
    def streams(self):
        return [{"partitions": Split, "alternating": Alternating}[shape]("items")]


environment = Environment()
environment.registry.add("shaped", "__main__:Source")
execute({
    "sources": {"s": {"name": "shaped"}},
    "destinations": {"lake": {"method": "arrow", "target": target}},
    "flows": [{"from": "s", "to": "lake", "write_mode": mode}],
}, environment)
"""


def measure(bench: Bench) -> list[Comparison]:
    """Each is compared with less of the same, beyond what both have in common."""
    return [*(_states(bench, engine) for engine in ENGINES), _alternating(bench), *_partitions(bench)]


def _contender(bench: Bench, name: str, engine: str, program: str, *arguments: object, rows: int = 0) -> Contender:
    space = bench.space("commits-" + "-".join(str(one) for one in (engine, *arguments)))
    lake = space / ENGINES[engine]
    return Contender(
        name,
        [bench.ours / "python", "-c", program, f"{engine}:///{lake}", *map(str, arguments)],
        environment=QUIET,
        prepare=removing(lake),
        rows=rows,
    )


def _states(bench: Bench, engine: str) -> Comparison:
    """The cost of a commit is the difference between many commits and none."""
    most, writes = min(MANY, bench.rows // 100), min(COMMITS, bench.rows // 1_000)
    few, few_idle, many, many_idle = measured = bench.measure(
        *(
            _contender(bench, f"{commits} commits among {states:,} states", engine, STATES, states, commits)
            for states in (FEW, most)
            for commits in (writes, 0)
        )
    )
    ratio = (many.wall - many_idle.wall) / (few.wall - few_idle.wall)
    target = Target(f"{engine}: a commit among {most:,} states / among {FEW}", ratio, 1.5)
    return Comparison(f"Commits among many states, {engine}", measured, few.name, [target])


def _alternating(bench: Bench) -> Comparison:
    one, many = measured = bench.measure(
        *(
            _contender(bench, f"{count:,} messages", "duckdb", FLOW, "alternating", count, "upsert", rows=count)
            for count in (1, min(MESSAGES, bench.rows // 10))
        )
    )
    speed = (many.rows - one.rows) / (many.wall - one.wall)
    target = Target("messages/s, of which each fifth is a delete", speed, 20_000, least=True)
    return Comparison("Rows and deletes that alternate", measured, one.name, [target])


def _partitions(bench: Bench) -> list[Comparison]:
    found, most = [], min(PARTITIONS, bench.rows // 500)
    for mode in ("upsert", "replace"):
        measured = bench.measure(
            *(
                _contender(bench, f"{count} partitions, {mode}", "duckdb", FLOW, "partitions", count, mode)
                for count in (1, most)
            )
        )
        one, many = measured
        target = Target(f"{mode}: {most} partitions of 3 rows / one, with start-up", many.wall / one.wall, 3)
        found.append(Comparison(f"Small partitions, {mode}", measured, one.name, [target]))
    return found
