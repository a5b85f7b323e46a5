# SPDX-License-Identifier: Apache-2.0
"""The report of a run as one HTML page: no script, no network, and every text in it escaped and without secrets.

What failed comes first, then what landed. All lists are bounded, and say how much they leave out.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ....parts.run_records import RunRecord, with_killed
from ..observer import RunContext
from ..summary import RunSummary, StreamReport
from .charts import MARKS, Bar, columns, rows_over_time, sparkline
from .style import STYLE

MAX_STREAMS = 200
MAX_STATES = 50
MAX_REJECTED = 50
SHOWN_REJECTED = 5
"""Examples of rejected rows that are shown at once; the others unfold."""
MAX_RUNS = 30
MAX_STATE_TEXT = 4_000
MAX_ERROR = 2_000


@dataclass(frozen=True, slots=True)
class Page:
    """The page of one run."""

    summary: RunSummary
    context: RunContext

    def html(self) -> str:
        name = self.text(self.context.name)
        sections = [
            self._header(),
            self._failures(),
            self._warnings(),
            self._streams(),
            self._guarantees(),
            self._over_time(),
            self._rejected(),
            self._schema_changes(),
            self._runs(),
            self._states(),
        ]
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="color-scheme" content="light dark">'
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
            f"<title>{MARKS.get(self.summary.status, '')} {name}: {self.text(self.summary.status)}</title>"
            f"<style>{STYLE}</style></head><body><main>\n{''.join(filter(None, sections))}</main></body></html>\n"
        )

    def text(self, value: object, most: int = MAX_ERROR) -> str:
        """A text without secrets, escaped; control characters and lone surrogates are spelled out."""
        redacted = self.context.redact(str(value))
        shown = redacted if len(redacted) <= most else f"{redacted[:most]}… ({len(redacted):,} characters)"
        printable = "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in shown)
        return escape(printable)

    def _header(self) -> str:
        summary, streams = self.summary, self.summary.streams
        total = {name: sum(getattr(stream, name) for stream in streams) for name in _TOTALS}
        failed = sum(stream.status == "failed" for stream in streams)
        tiles = [("streams", f"{len(streams):,}" + (f" <small>{failed:,} failed</small>" if failed else ""))]
        tiles += [
            (label, f"{total[name]:,}") for name, label in _TOTALS.items() if total[name] or name in _ALWAYS_SHOWN
        ]
        tiles += [("size", size(sum(stream.bytes for stream in streams))), ("time", duration(summary.seconds))]
        shown = "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in tiles)
        return (
            f"<header><h1>{self.text(self.context.name)} {status_badge(summary.status)}</h1>"
            f'<p class="muted">{utc(self.context.started_at)} · run <code>{self.text(summary.run_id)}</code></p>'
            f'<dl class="tiles">{shown}</dl></header>'
        )

    def _failures(self) -> str:
        failed = [stream for stream in self.summary.streams if stream.error]
        items = [(f"{stream.source}.{stream.stream}", stream.status, stream.error or "") for stream in failed]
        items += [("", "failed", error) for error in self.summary.errors]
        if not items:
            return ""
        shown = "".join(
            f"<li>{status_badge(status)} {f'<b>{self.text(name)}</b> ' if name else ''}"
            f'<span class="error">{self.text(error)}</span></li>'
            for name, status, error in items[:MAX_STREAMS]
        )
        return section("What failed", f'<ul class="failures">{shown}</ul>{left_out(len(items), MAX_STREAMS)}')

    def _warnings(self) -> str:
        warnings = [text for text in self.context.warnings if not text.startswith("failed; what landed")]
        shown = "".join(f"<li>{self.text(text)}</li>" for text in warnings)
        return section("Warnings", f'<ul class="warnings">{shown}</ul>') if warnings else ""

    def _streams(self) -> str:
        order = {"failed": 0, "stopped": 1, "running": 2}
        streams = sorted(self.summary.streams, key=lambda stream: (order.get(stream.status, 3), -stream.rows_read))
        if not streams:
            return section("Streams", "<p>No stream was read.</p>")
        optional = [name for name in _OPTIONAL if any(getattr(stream, name) for stream in streams)]
        most = max((stream.bytes for stream in streams), default=0)
        rows = [self._stream(stream, optional, most) for stream in streams[:MAX_STREAMS]]
        headers = [
            ("stream", ""), ("table", ""), ("status", ""), ("read", "n"), ("landed", "n"),
            *((_OPTIONAL[name], "n") for name in optional),
            ("size", "n"), ("time", "n"), ("rows/s", "n"), ("rows over time", ""),
        ]  # fmt: skip
        return section("Streams", table(headers, rows) + left_out(len(streams), MAX_STREAMS))

    def _stream(self, stream: StreamReport, optional: Sequence[str], most: int) -> Sequence[str]:
        share = f"{100 * stream.bytes / most:.0f}%" if most else "0"
        counters = ", ".join(f"{self.text(name)} {count:,}" for name, count in stream.counters.items())
        return (
            f"<b>{self.text(f'{stream.source}.{stream.stream}')}</b>"
            + (f"<br><small>{counters}</small>" if counters else ""),
            self.text(f"{stream.destination}.{stream.table}"),
            status_badge(stream.status),
            f"{stream.rows_read:,}",
            f"{stream.rows_landed:,}",
            *(f"{getattr(stream, name):,}" for name in optional),
            f'{size(stream.bytes)}<span class="share"><i style="width:{share}"></i></span>',
            duration(stream.seconds),
            f"{stream.rate:,.0f}",
            sparkline(stream.details.timeline.points),
        )

    def _guarantees(self) -> str:
        lines = "".join(f"<li>{self.text(line)}</li>" for line in self.summary.guarantees())
        return section("Guarantee", f"<ul>{lines}</ul>") if lines else ""

    def _over_time(self) -> str:
        chart = rows_over_time(*totals_over_time(self.summary.streams))
        return section("Rows over time", chart) if chart else ""

    def _rejected(self) -> str:
        rejects = [
            (stream, stream.details.rejects) for stream in self.summary.streams if stream.details.rejects.columns
        ]
        if not rejects:
            return ""
        counts = [
            (self.text(f"{stream.source}.{stream.stream}"), self.text(column or "(whole row)"), f"{count:,}")
            for stream, rejected in rejects
            for column, count in rejected.columns.most_common()
        ]
        examples = [
            (
                self.text(f"{stream.source}.{stream.stream}"),
                self.text(row.column or ""),
                self.text(short_reason(row.reason)),
                f"<code>{self.text(row.row)}</code>",
            )
            for stream, rejected in rejects
            for row in rejected.examples
        ]
        names = ", ".join(f"<code>{self.text(stream.table)}__rejected</code>" for stream, _ in rejects[:5])
        headers = [("stream", ""), ("column", ""), ("reason", "wide"), ("row", "wide")]
        more = examples[SHOWN_REJECTED:MAX_REJECTED]
        return section(
            "Rejected rows",
            f'<p class="muted">All of them, whole, are in {names}{" …" if len(rejects) > 5 else ""}.</p>'
            + table([("stream", ""), ("column", ""), ("rows", "n")], counts[:MAX_REJECTED])
            + "<h3>Examples</h3>"
            + table(headers, examples[:SHOWN_REJECTED])
            + (f"<details><summary>{len(more)} more</summary>{table(headers, more)}</details>" if more else ""),
        )

    def _schema_changes(self) -> str:
        changes = [
            (
                self.text(f"{stream.source}.{stream.stream}"),
                self.text(f"{change.table}.{change.column}"),
                f"<code>{self.text(change.before)}</code> → <code>{self.text(change.after or 'gone')}</code>",
            )
            for stream in self.summary.streams
            for change in stream.schema_changes
        ]
        if not changes:
            return ""
        headers = [("stream", ""), ("column", ""), ("type", "")]
        return section("Schema changes", table(headers, changes[:MAX_REJECTED]) + left_out(len(changes), MAX_REJECTED))

    def _runs(self) -> str:
        runs = grouped(self.context.records, self.summary.run_id, self.summary.status)[:MAX_RUNS]
        if not runs:
            return ""
        bars = [
            Bar(run.rows_landed, run.status, f"{utc(run.started_at)}: {run.status}, {run.rows_landed:,} rows landed")
            for run in reversed(runs)
        ]
        rows = [
            (
                utc(run.started_at),
                status_badge(run.status),
                f"{run.rows_landed:,}",
                f"{run.rows_rejected:,}",
                duration(run.seconds) if run.seconds is not None else "",
                self.text(run.error, 300),
            )
            for run in runs
        ]
        headers = [
            ("started", ""),
            ("status", ""),
            ("landed", "n"),
            ("rejected", "n"),
            ("time", "n"),
            ("error", "wide"),
        ]
        return section(
            f"The last {len(runs)} runs" if len(runs) > 1 else "The first run",
            f'<p class="muted">Rows landed by each run, the newest on the right.</p>'
            f"{columns(bars, label='rows landed by the last runs')}"
            f"<details><summary>As a table</summary>{table(headers, rows)}</details>",
        )

    def _states(self) -> str:
        streams = [stream for stream in self.summary.streams if stream.state_before or stream.state_after]
        if not streams:
            return ""
        shown = "".join(
            f"<details><summary>{self.text(f'{stream.source}.{stream.stream}')}"
            f"{'' if stream.state_before != stream.state_after else ' <small>unchanged</small>'}</summary>"
            f'<div class="states"><div><h3>before</h3><pre>{self._json(stream.state_before)}</pre></div>'
            f"<div><h3>after</h3><pre>{self._json(stream.state_after)}</pre></div></div></details>"
            for stream in streams[:MAX_STATES]
        )
        return section("States", shown + left_out(len(streams), MAX_STATES))

    def _json(self, value: Any) -> str:
        text = json.dumps(self.context.redact.deep(value), indent=2, default=str, ensure_ascii=False)
        return self.text(text if value else "none", MAX_STATE_TEXT)


_TOTALS = {
    "rows_read": "rows read",
    "rows_landed": "landed",
    "rows_deleted": "deleted",
    "rows_rejected": "rejected",
    "retries": "retries",
}
_ALWAYS_SHOWN = ("rows_read", "rows_landed")
_OPTIONAL = {
    "rows_dropped": "dropped",
    "rows_deleted": "deleted",
    "rows_rejected": "rejected",
    "retries": "retries",
}


@dataclass(slots=True)
class PastRun:
    """The records of one run, of all its streams."""

    started_at: dt.datetime
    status: str
    rows_landed: int = 0
    rows_rejected: int = 0
    seconds: float | None = None
    error: str = ""


def grouped(records: Iterable[RunRecord], run_id: str, status: str) -> list[PastRun]:
    """The runs that records are of, newest first. A run failed if one of its streams did.

    :param run_id: of the present run, whose status is ``status``.
    """
    by_run: dict[str, list[RunRecord]] = {}
    for record in with_killed(records):
        by_run.setdefault(record.run_id, []).append(record)
    runs = []
    for name, streams in by_run.items():
        statuses = {stream.status for stream in streams}
        worst = next((each for each in ("failed", "killed", "stopped", "running") if each in statuses), "succeeded")
        began = min(stream.started_at for stream in streams)
        ends = [stream.ended_at for stream in streams if stream.ended_at is not None]
        runs.append(
            PastRun(
                began,
                status if name == run_id else worst,
                sum(stream.rows_landed for stream in streams),
                sum(stream.rows_rejected for stream in streams),
                max(0.0, (max(ends) - began).total_seconds()) if len(ends) == len(streams) else None,
                next((stream.error for stream in streams if stream.error), ""),
            )
        )
    return sorted(runs, key=lambda run: run.started_at, reverse=True)


def totals_over_time(
    streams: Sequence[StreamReport],
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """The rows of all streams over the time since the first began: (seconds, rows) read, and landed."""
    begin = min((stream.started for stream in streams), default=0.0)
    events: list[tuple[float, int, int]] = []
    for stream in streams:
        read = landed = 0
        points = [(point.seconds, point.read, point.landed) for point in stream.details.timeline.points]
        last = stream.seconds or (points[-1][0] if points else 0.0)
        for seconds, rows_read, rows_landed in [*points, (last, stream.rows_read, stream.rows_landed)]:
            events.append((stream.started - begin + seconds, rows_read - read, rows_landed - landed))
            read, landed = rows_read, rows_landed
    total_read = total_landed = 0
    lines: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    for time, read, landed in sorted(events):
        total_read, total_landed = total_read + read, total_landed + landed
        lines[0].append((time, total_read))
        lines[1].append((time, total_landed))
    return lines


def short_reason(reason: str) -> str:
    """The reason without what the other columns of the table show."""
    return re.sub(r"\A(?:stream '[^']*', )?(?:column '[^']*', )?", "", reason)


def status_badge(status: str) -> str:
    return f'<span class="status {escape(status)}">{MARKS.get(status, "")} {escape(status)}</span>'


def section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>\n"


def table(headers: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> str:
    """:param headers: title and class of each column. :param rows: cells, as HTML."""
    head = "".join(f'<th class="{kind}">{escape(title)}</th>' for title, kind in headers)
    body = "".join(f"<tr>{_cells(headers, row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cells(headers: Sequence[tuple[str, str]], row: Sequence[str]) -> str:
    return "".join(f'<td class="{kind}">{cell}</td>' for (_, kind), cell in zip(headers, row, strict=True))


def left_out(count: int, most: int) -> str:
    return f'<p class="muted">and {count - most:,} more</p>' if count > most else ""


def size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= 1000
    return f"{count:.3g} TB"


def duration(seconds: float) -> str:
    """``2.5 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def utc(time: dt.datetime) -> str:
    return f"{time.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
