# SPDX-License-Identifier: Apache-2.0
"""vdk-datasource-base: the contract of data sources, and the runtime that lands their rows.

Names are imported when they are used: VDK imports this package for every command, and importing Arrow
alone takes a tenth of a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import read, run_flows, source_main
    from .contract import (
        AuthenticationError,
        BadRecordError,
        BoundedPartition,
        ConfigurationError,
        ConnectionFailedError,
        DataSource,
        DataSourceConfig,
        DataSourceError,
        DataSourcePayload,
        DataSourceState,
        DataSourceStream,
        Duration,
        FlowFailedError,
        PartitionState,
        RejectedRows,
        Secret,
        SnapshotLostError,
        StateError,
        StreamPartition,
        StreamSchema,
        data_source,
    )

__all__ = [
    "AuthenticationError",
    "BadRecordError",
    "BoundedPartition",
    "ConfigurationError",
    "ConnectionFailedError",
    "DataSource",
    "DataSourceConfig",
    "DataSourceError",
    "DataSourcePayload",
    "DataSourceState",
    "DataSourceStream",
    "Duration",
    "FlowFailedError",
    "PartitionState",
    "RejectedRows",
    "Secret",
    "SnapshotLostError",
    "StateError",
    "StreamPartition",
    "StreamSchema",
    "data_source",
    "read",
    "run_flows",
    "source_main",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = ".api" if name in ("read", "run_flows", "source_main") else ".contract"
    return getattr(import_module(module, __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
