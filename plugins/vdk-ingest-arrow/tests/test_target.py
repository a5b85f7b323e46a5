"""Which database a target names, and what is said about one that names none."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pytest

from landing import APPEND, land, opened, query, rows, tables, unit
from vdk.plugin.datasource_base.contract import ConfigurationError, DestinationError
from vdk.plugin.ingest_arrow.targets import arrow_destination


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A DuckDB file; what other databases do is in their own tests."""
    return tmp_path / "lake.duckdb"


def test_three_slashes_start_from_the_flow_files_folder(tmp_path: Path) -> None:
    made = arrow_destination("duckdb:///lake.duckdb", folder=tmp_path)
    assert made.identity() == f"arrow duckdb:///{tmp_path}/lake.duckdb"
    made.open()
    made.close()
    assert (tmp_path / "lake.duckdb").exists()


def test_four_slashes_are_absolute(tmp_path: Path) -> None:
    made = arrow_destination(f"duckdb:///{tmp_path}/lake.duckdb", folder=Path("/elsewhere"))
    assert made.identity() == f"arrow duckdb:///{tmp_path}/lake.duckdb"


def test_percent_signs_are_decoded(tmp_path: Path) -> None:
    made = arrow_destination("duckdb:///my%20lake%3F%25.duckdb", folder=tmp_path)
    made.open()
    made.close()
    assert (tmp_path / "my lake?%.duckdb").exists()
    assert made.identity() == f"arrow duckdb:///{tmp_path}/my lake%3F%25.duckdb"


def test_a_link_to_a_database_is_that_database(tmp_path: Path) -> None:
    (tmp_path / "link.duckdb").symlink_to(tmp_path / "lake.duckdb")
    through_link = arrow_destination("duckdb:///link.duckdb", folder=tmp_path)
    assert through_link.identity() == f"arrow duckdb:///{tmp_path}/lake.duckdb"


def test_making_a_destination_touches_nothing(tmp_path: Path) -> None:
    arrow_destination("duckdb:///missing/lake.duckdb", folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (None, "needs a target"),
        ("", "needs a target"),
        ("lake.duckdb", "is not a URL: write it as in"),
        ("oracle://scott:tiger@host/db", "does not know oracle:// URLs: use one of duckdb://"),
        ("duckdb://", "in memory"),
        ("duckdb:///", "in memory"),
        ("duckdb:///:memory:", "in memory"),
        ("duckdb://lake.duckdb", "three slashes"),
        ("duckdb:///lake.duckdb?shema=raw", "unknown option 'shema'; the options of duckdb are schema,"),
        ("duckdb:///lake.duckdb?schema=a&schema=b", "twice"),
        ("duckdb:///lake.duckdb?schema=", "not a schema name"),
        ("duckdb:///lake.duckdb?lock_timeout=soon", "'lock_timeout': 'soon' is not a duration"),
        ("duckdb:///a%00b", "NUL"),
    ],
)
def test_a_target_that_names_no_database_is_refused_before_anything_opens(target: str | None, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        arrow_destination(target, folder=Path())
    assert said in str(caught.value)
    assert "tiger" not in str(caught.value)


def test_a_memory_limit_that_duckdb_cannot_read_is_refused(lake: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"DuckDB rejects the settings of .*"):
        opened(lake, "?memory_limit=plenty")


def test_a_schema_is_made_and_holds_rows_and_states(lake: Path) -> None:
    made = opened(lake, "?schema=raw%20data")
    made.commit(unit(rows(APPEND, {"id": [1]}), state={"n": 1}))
    assert [state.version for state in made.load_states("shop")] == [1]
    assert made.identity().endswith("lake.duckdb?schema=raw data")
    made.close()
    assert query(lake, 'SELECT id FROM "raw data".orders') == [(1,)]
    other = opened(lake)
    assert other.load_states("shop") == []
    other.close()


@pytest.mark.parametrize("name", ["main.duckdb", "temp.duckdb", "system.duckdb", 'a"b.duckdb', "2026.db", "Ж.duckdb"])
def test_a_file_may_be_called_what_it_likes(tmp_path: Path, name: str) -> None:
    land(tmp_path / name, rows(APPEND, {"id": [1]}))
    assert tables(tmp_path / name) == ["orders"]


def test_a_missing_folder_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the folder of .*missing/lake\.duckdb does not exist"):
        opened(tmp_path / "missing" / "lake.duckdb")
    assert not (tmp_path / "missing").exists()


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a folder"):
        opened(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"SQLite format 3\0" + b"\0" * 4096, b"x" * 20_000])
def test_a_file_that_is_something_else_is_left_as_it_is(lake: Path, content: bytes) -> None:
    lake.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"lake\.duckdb is (not a DuckDB database|empty)"):
        opened(lake)
    assert lake.read_bytes() == content


def test_a_damaged_database_is_an_error(lake: Path) -> None:
    land(lake, rows(APPEND, {"id": [1]}))
    content = bytearray(lake.read_bytes())
    content[12:8192] = b"\xff" * (8192 - 12)
    lake.write_bytes(bytes(content))
    with pytest.raises((ConfigurationError, DestinationError)):
        opened(lake)
    assert lake.read_bytes() == bytes(content)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written_is_an_error(lake: Path) -> None:
    land(lake, rows(APPEND, {"id": [1]}))
    lake.chmod(0o444)
    with pytest.raises(DestinationError, match="permission denied"):
        opened(lake)


@pytest.mark.parametrize("said", ["Permission denied", "Operation not permitted", "Read-only file system"])
def test_what_the_system_refuses_is_not_tried_again(lake: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """Also where it refuses the lock, which looks like another process at work."""
    land(lake, rows(APPEND, {"id": [1]}))
    for text in (f'Cannot open file "{lake}": {said}', f'Could not set lock on file "{lake}": {said}'):

        def refuse(path: str, text: str = text) -> None:
            raise duckdb.IOException(f"IO Error: {text}")

        monkeypatch.setattr(duckdb, "connect", refuse)
        with pytest.raises(DestinationError, match=f"permission denied: this user must be able to write .*{said}"):
            opened(lake)


def test_closing_twice_and_closing_unopened_is_nothing(lake: Path) -> None:
    arrow_destination(f"duckdb:///{lake}", folder=lake.parent).close()
    made = opened(lake)
    made.close()
    made.close()


def test_after_closing_the_file_is_whole(lake: Path) -> None:
    """Everything is in the file, and nothing is left beside it."""
    land(lake, rows(APPEND, {"id": list(range(1000))}))
    assert [path.name for path in lake.parent.iterdir()] == ["lake.duckdb"]
    moved = lake.rename(lake.with_name("copy.duckdb"))
    assert query(moved, "SELECT count(*) FROM orders") == [(1000,)]
