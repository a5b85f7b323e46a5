"""The data of the tests: files as the help desk exports them. TODO: your data, without the network."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

BEGIN = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
Row = dict[str, object]


def ticket(id: str, seconds: int | None) -> Row:
    """A ticket that was changed so many seconds after the beginning; None: without a time."""
    time = None if seconds is None else BEGIN + dt.timedelta(seconds=seconds)
    return {"id": id, "title": f"Ticket {id}", "status": "open", "updated_time": time}


def export(folder: Path, team: str, *tickets: Row) -> None:
    """Write a team's file, in place of an existing one."""
    folder.mkdir(exist_ok=True)
    lines = [json.dumps(ticket, default=dt.datetime.isoformat) + "\n" for ticket in tickets]
    (folder / f"{team}.jsonl").write_text("".join(lines), "utf-8")
