# SPDX-License-Identifier: Apache-2.0
"""Log records as the CLI reads them from a plugin's standard output: one JSON object per line."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import sys
from typing import Any, TextIO

from ..tables.names import fold_name

LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_NAMES = {logging.WARNING: "warn", logging.CRITICAL: "error"}


class JsonLines(logging.Formatter):
    """``level``, ``time``, ``message``, ``module`` (the plugin), and ``table`` if the record is about one stream."""

    def __init__(self, module: str) -> None:
        super().__init__()
        self._module = module

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "level": _NAMES.get(record.levelno, record.levelname.lower()),
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat().replace("+00:00", "Z"),
            "message": record.getMessage(),
            "module": self._module,
        }
        for name, field in (("table", "stream"), ("partition", "partition")):
            # the runtime's name of the field, then that of the sink, whose thread serves every stream
            if value := getattr(record, f"vdk_{field}", None) or getattr(record, field, None):
                line[name] = fold_name(str(value)) if field == "stream" else str(value)
        if record.exc_info:
            line["error"] = record.exc_text or self.formatException(record.exc_info)
        return json.dumps(line)


def take_standard_output() -> TextIO:
    """The standard output for log lines alone: what else is printed there, by any library, goes to standard error."""
    sys.stdout.flush()
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return lines


def log_json(module: str, level: str, stream: TextIO) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(module))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS.get(level.lower(), logging.INFO))
