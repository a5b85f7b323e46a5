# SPDX-License-Identifier: Apache-2.0
"""A summary as a notebook shows it: a small table in HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

MAX_STREAMS = 100
_NUMBERS = {"read": "rows_read", "landed": "rows_landed", "deleted": "rows_deleted", "rejected": "rows_rejected"}
_OPTIONAL = ("deleted", "rejected")


def summary_html(summary: Mapping[str, Any]) -> str:
    """The table. Every text is escaped.

    :param summary: as ``RunSummary.as_dict`` returns it, without secrets.
    """
    streams = summary["streams"]
    numbers = {
        header: name
        for header, name in _NUMBERS.items()
        if header not in _OPTIONAL or any(stream[name] for stream in streams)
    }
    headers = ["stream", "table", "status", *numbers, "s"]
    rows = [_row(stream, list(numbers.values())) for stream in streams[:MAX_STREAMS]]
    if len(streams) > MAX_STREAMS:
        rows.append(f'<tr><td colspan="{len(headers)}">and {len(streams) - MAX_STREAMS:,} more streams</td></tr>')
    errors = [f"{stream['source']}.{stream['stream']}: {stream['error']}" for stream in streams if stream["error"]]
    errors += summary.get("errors", [])
    head = "".join(f"<th>{header}</th>" for header in headers)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>" if streams else ""
    title = f"<p><b>{html.escape(summary['status'])}</b> in {summary['seconds']:.1f} s</p>"
    return title + table + "".join(f"<pre>{html.escape(error)}</pre>" for error in errors[:MAX_STREAMS])


def _row(stream: Mapping[str, Any], numbers: list[str]) -> str:
    texts = [f"{stream['source']}.{stream['stream']}", f"{stream['destination']}.{stream['table']}", stream["status"]]
    cells = [f'<td style="text-align:left">{html.escape(text)}</td>' for text in texts]
    cells += [f"<td>{stream[name]:,}</td>" for name in numbers]
    return f"<tr>{''.join(cells)}<td>{stream['seconds']:.1f}</td></tr>"
