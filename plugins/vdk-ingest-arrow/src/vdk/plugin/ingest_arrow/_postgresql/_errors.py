"""PostgreSQL's errors in words, and as what the runtime acts on, by their SQLSTATE.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import re

from adbc_driver_manager import Error

from vdk.plugin.datasource_base.contract import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
    DestinationError,
)

from .._sql._errors import constrained

OVERTAKEN = frozenset({"40001", "40P01", "55P03", "42P06", "42P07", "42701"})
"""Serialization, deadlock, lock timeout, and tables, columns or schemas that another made at the same moment."""
_AWAY = re.compile(r"08|57P0[123]|53300")
"""Connections, shutdown, crash and start-up, too many connections. Before one is made there is no SQLSTATE at all."""
_LOST = re.compile(
    r"server closed the connection|no connection to the server|connection (?:not open|to .* failed)|"
    r"could not (?:receive|send|connect|translate)|SSL (?:SYSCALL|connection)|terminating connection",
    re.IGNORECASE,
)
_LOOKED_AT = 10_000
"""Characters of an error: it may quote a value of megabytes."""
_CREDENTIALS = re.compile(
    r"(?:password|authentication|certificate) .*(?:failed|required)|no password supplied|no pg_hba\.conf entry|"
    r"role .* (?:does not exist|is not permitted to log in)",
    re.IGNORECASE,
)
_NO_SUCH_DATABASE = re.compile(r"database .* does not exist|definition of service .* not found", re.IGNORECASE)
_WRONG = re.compile(
    r"invalid (?:URI|percent|port|integer|sslmode|\w+ value|connection option)|unsupported|not support SSL|"
    r"in URI|forbidden value|unexpected spaces|key/value separator",
    re.IGNORECASE,
)
_REMEDIES = {
    "53100": "the server's disk is full: make room there, and run again",
    "42501": "the user of the target may not do this: grant it, or name another user",
    "25006": "the server takes no writes now (it is a standby, or set to be read-only): name the primary",
    "22021": "a text has a character that the database's encoding does not have; PostgreSQL keeps no NUL characters at "
    "all. Take them out with a transform",
    "22P05": "a text has a character that the database's encoding does not have; PostgreSQL keeps no NUL characters at "
    "all. Take them out with a transform",
    "54011": "PostgreSQL keeps 1600 columns in a table at the most, dropped ones included: split the table with a "
    "transform",
    "54000": "PostgreSQL's limits are exceeded: a row without its long texts has to fit 8 kB, a key 2.7 kB",
    "0A000": "PostgreSQL cannot change a column that a view or a foreign key needs: drop that, and make it again after "
    "the run",
    "2BP01": "another object needs what has to change: drop that, and make it again after the run",
    "22008": "a date or time is outside of PostgreSQL's range (4713 BC to 294276): convert it with a transform",
}


def is_lost(error: Error) -> bool:
    """Whether the connection is of no use any more."""
    state = error.sqlstate
    return (state is None and _LOST.search(str(error)[:_LOOKED_AT]) is not None) or re.match(
        r"08|57P0[123]", state or ""
    ) is not None


def translated(error: Error, where: str) -> DataSourceError:
    """An error of an open connection as the runtime understands it: try again, or not."""
    state, text = error.sqlstate or "", message(error)
    if is_lost(error) or _AWAY.match(state):
        return ConnectionFailedError(f"{where}: {text}")
    if state in OVERTAKEN:
        return ConnectionFailedError(
            f"{where}: another writer has what this one needs for longer than the target's option 'lock_timeout' "
            f"allows: {text}"
        )
    if state.startswith("23"):
        return constrained(where, text)
    if remedy := _REMEDIES.get(state):
        return DestinationError(f"{where}: {remedy}. PostgreSQL says: {text}")
    return DestinationError(f"{where}: {text}")


def refused(error: Error, where: str) -> DataSourceError:
    """An error of connecting. libpq gives it no SQLSTATE, so it is told by its words."""
    text = message(error)
    if _CREDENTIALS.search(text):
        return AuthenticationError(f"{where} refuses the user or password of the target: {text}")
    if _NO_SUCH_DATABASE.search(text):
        return ConfigurationError(f"{where}: there is no such database: create it, or correct the target: {text}")
    if _WRONG.search(text):
        return ConfigurationError(f"{where}: the target's options do not hold: {text}")
    return ConnectionFailedError(f"{where} is away: {text}")


def message(error: Error) -> str:
    """What PostgreSQL says, without the statement and the driver's own words around it."""
    text = str(error).partition("\n\nQuery was")[0]
    text = re.sub(r"\.? ?SQLSTATE: \w+\s*$", "", text)
    text = re.sub(r"^.*?(?:ERROR|FATAL|PANIC):\s+|^\w+: (?:\[libpq\] )?Failed to connect: ", "", text, flags=re.DOTALL)
    text = " ".join(text.split())
    return text if len(text) <= 600 else f"{text[:600]}…"
