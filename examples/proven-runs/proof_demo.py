"""Runs the job, damages what landed, repairs it, and lets the source lose rows: each time, what the tools say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import practice

JOB = Path(__file__).resolve().parent
FLOW = JOB / "10_practice.ingest.toml"
LAKE = practice.DATA / "lake.duckdb"
DAMAGE = "DELETE FROM visits WHERE id IN (7, 1234); UPDATE visits SET updated_time = '2020-01-01' WHERE id = 99"


def main() -> None:
    for old in [LAKE, *practice.DATA.glob("lake.duckdb.*")]:
        old.unlink(missing_ok=True)
    practice.make()

    headline("The run proves itself")
    show(vdk("run", FLOW), "verified")

    headline("What landed of two patients")
    for row in query("SELECT id, ssn[:12] || '…', email FROM patients ORDER BY id LIMIT 2"):
        print(*row)
    columns = [name for name, *_ in query("DESCRIBE patients")]
    check("notes" not in columns, f"the notes landed: {columns}")

    headline("Somebody deletes two visits by hand, and changes one")
    with duckdb.connect(str(LAKE)) as lake:
        lake.execute(DAMAGE)
    show(vdk("verify", FLOW, fails=True), "visits", "repair")

    headline("Only these rows are read again")
    show(vdk("repair", FLOW), "visits")

    headline("The source loses half of its price list: the table stays as it was")
    practice.lose_prices()
    show(vdk("run", FLOW, fails=True), "shrink_max")
    ((prices,),) = query("SELECT count(*) FROM prices")
    check(prices == practice.PRICES, f"the table of prices has {prices} rows")
    print(f"\nThe lake still has all {prices} prices.")


def vdk(command: str, *arguments: object, fails: bool = False) -> str:
    """One ``vdk datasource`` command, and what it printed."""
    line = [sys.executable, "-m", "vdk.internal.cli_entry", "datasource", command, *map(str, arguments)]
    done = subprocess.run(line, check=False, capture_output=True, text=True, encoding="utf-8")
    check(
        (done.returncode != 0) == fails, f"{' '.join(line)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    )
    return done.stdout + done.stderr


def show(printed: str, *words: str) -> None:
    """The lines with one of the words; there must be some."""
    lines = [line for line in printed.splitlines() if any(word in line for word in words)]
    check(bool(lines), f"no line has {words}:\n{printed}")
    print("\n".join(dict.fromkeys(lines)))


def query(sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(LAKE), read_only=True) as lake:
        return lake.execute(sql).fetchall()


def headline(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def check(holds: bool, problem: str) -> None:
    if not holds:
        sys.exit(problem)


if __name__ == "__main__":
    main()
