"""The database of a practice: patients and visits, which grow, and a price list, which is replaced."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

DATA = Path(__file__).resolve().parent / "data"
DATABASE, SALT = DATA / "practice.db", DATA / "salt.txt"
PATIENTS, VISITS, PRICES = 500, 2_000, 60

TABLES = """
CREATE TABLE patients (id INTEGER PRIMARY KEY, ssn TEXT, email TEXT, notes TEXT, updated_time TEXT NOT NULL);
CREATE TABLE visits (id INTEGER PRIMARY KEY, patient_id INTEGER NOT NULL, price DECIMAL(10, 2), updated_time TEXT);
CREATE TABLE prices (code TEXT PRIMARY KEY, price DECIMAL(10, 2) NOT NULL);
"""


def make() -> None:
    """The database, and a salt if there is none: with another one, equal values would have other hashes."""
    DATA.mkdir(exist_ok=True)
    DATABASE.unlink(missing_ok=True)
    if not SALT.exists():
        SALT.write_text(secrets.token_hex(16), "utf-8")
    with closing(sqlite3.connect(DATABASE)) as practice, practice:
        practice.executescript(TABLES)
        practice.executemany("INSERT INTO patients VALUES (?, ?, ?, ?, ?)", map(patient, range(1, PATIENTS + 1)))
        practice.executemany("INSERT INTO visits VALUES (?, ?, ?, ?)", map(visit, range(1, VISITS + 1)))
        practice.executemany("INSERT INTO prices VALUES (?, ?)", ((f"P{n:03}", f"{n}.50") for n in range(PRICES)))


def patient(number: int) -> tuple[object, ...]:
    ssn = f"{number % 900 + 100}-{number % 89 + 10}-{number:04}"
    return number, ssn, f"patient{number}@example.org", f"seems tired, {number}", time_of(number)


def visit(number: int) -> tuple[object, ...]:
    return number, number % PATIENTS + 1, f"{number % 200}.20", time_of(number)


def time_of(number: int) -> str:
    return f"2026-10-{number % 28 + 1:02} {number % 24:02}:00:00"


def lose_prices() -> None:
    """An import of the price list that ended half way."""
    with closing(sqlite3.connect(DATABASE)) as practice, practice:
        practice.execute("DELETE FROM prices WHERE rowid % 2 = 0")


if __name__ == "__main__":
    make()
