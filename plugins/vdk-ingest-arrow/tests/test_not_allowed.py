"""Targets that this user may not write, or that are read-only: an error at once that says so, and no second attempt."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lakes import PostgresqlLake
from landing import APPEND, land, rows, unit
from processes import ENVIRONMENT
from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import Destination
from vdk.plugin.datasource_base.testing.postgresql import PASSWORD
from vdk.plugin.ingest_arrow.targets import arrow_destination

pytestmark = pytest.mark.heavy

LAND = """
import os, sys
from landing import APPEND, connected, rows, unit
from vdk.plugin.datasource_base.contract import DestinationError

warm = connected(sys.argv[4])  # imports what another user may not be able to read
warm.commit(unit(rows(APPEND, {"id": [1]})))
warm.close()
if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
os.chmod(sys.argv[2], 0o555)
try:
    destination = connected(sys.argv[1])
    destination.commit(unit(rows(APPEND, {"id": [2]}), state={"n": 2}, version=int(sys.argv[3])))
    print("landed")
except DestinationError as error:
    print("refused:", error)
"""
FILES = {"duckdb": "lake.duckdb", "sqlite": "lake.db", "parquet": "lake"}


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user can go to; those of pytest are one user's."""
    with tempfile.TemporaryDirectory(prefix="vdk-not-allowed-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(os.name != "posix", reason="needs users")
@pytest.mark.parametrize("there", [False, True], ids=["new", "existing"])
@pytest.mark.parametrize("kind", list(FILES))
def test_a_folder_that_may_not_be_written_is_named_at_once(kind: str, there: bool, shared: Path) -> None:
    """DuckDB opens a file in such a folder, and finds out when it commits."""
    path = shared / "folder" / FILES[kind]
    path.parent.mkdir()
    target = f"{kind}:///{path}?lock_timeout=60s"
    if there:
        destination = arrow_destination(target, folder=shared)
        destination.open()
        destination.commit(unit(rows(APPEND, {"id": [1]}), state={"n": 1}))
        destination.close()
    for folder, _, files in os.walk(path.parent):
        for one in (folder, *(os.path.join(folder, name) for name in files)):
            if os.geteuid() == 0:
                os.chown(one, 65534, 65534)
    closed = path / "_vdk" if kind == "parquet" and there else path.parent
    ended = subprocess.run(
        [sys.executable, "-c", LAND, target, str(closed), str(int(there)), f"{kind}:///{shared}/warm"],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert ended.stdout.startswith("refused: "), (ended.stdout, ended.stderr)
    assert "permission denied" in ended.stdout


def _revoke_connect(lake: PostgresqlLake) -> None:
    lake.query("REVOKE CONNECT ON DATABASE lake FROM PUBLIC")


def _nothing(lake: PostgresqlLake) -> None:
    return


def _read_only(lake: PostgresqlLake) -> None:
    lake.query("GRANT ALL ON SCHEMA public TO weak")
    lake.query("ALTER ROLE weak SET default_transaction_read_only = on")


def _land(destination: Destination) -> None:
    destination.open()
    destination.commit(unit(rows(APPEND, {"id": [2]})))


def _check(destination: Destination) -> None:
    destination.open()
    destination.check()


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (_revoke_connect, "grant the user of the target CONNECT"),
        (_nothing, "lacks a privilege: grant it"),
        (_read_only, "the server is read-only"),
    ],
)
def test_a_postgresql_user_without_rights_is_refused_at_once(
    postgresql: PostgresqlLake, prepare: Callable[[PostgresqlLake], None], said: str
) -> None:
    land(postgresql, rows(APPEND, {"id": [1]}))
    postgresql.query(f"CREATE ROLE weak LOGIN PASSWORD '{PASSWORD}'")
    try:
        prepare(postgresql)
        target = postgresql.target("?lock_timeout=60s").replace("//postgres:", "//weak:")
        destination = arrow_destination(target, folder=Path())
        with pytest.raises(DestinationError, match=said):
            _land(destination)
        destination.close()
        with pytest.raises(DestinationError, match=said):
            _check(destination)
        destination.close()
    finally:
        postgresql.query("GRANT CONNECT ON DATABASE lake TO PUBLIC")
        postgresql.query("DROP OWNED BY weak")
        postgresql.query("DROP ROLE weak")
    assert postgresql.query("SELECT * FROM orders") == [(1,)]
