# SPDX-License-Identifier: Apache-2.0
"""vdk-source-rest: an HTTP API as a data source, declared in configuration or subclassed in Python.

Names are imported when they are used: VDK imports this package for every command.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import RestConfig, StreamConfig
    from .http.types import HttpRequest, HttpResponse, Page
    from .source import RestSource

_MODULES = {
    "HttpRequest": ".http.types",
    "HttpResponse": ".http.types",
    "Page": ".http.types",
    "RestConfig": ".config",
    "RestSource": ".source",
    "StreamConfig": ".config",
}

__all__ = ["HttpRequest", "HttpResponse", "Page", "RestConfig", "RestSource", "StreamConfig"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name], __name__), name)
