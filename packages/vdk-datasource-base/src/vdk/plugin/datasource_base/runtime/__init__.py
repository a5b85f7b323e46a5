# SPDX-License-Identifier: Apache-2.0
"""The runtime: reads partitions in parallel and lands them. Plain Python, without vdk-core.

``run`` runs flows, ``inspect`` looks at them without running, ``reading`` reads a stream for a program, ``report`` has
the summary, the progress and the log.
``options`` and ``environment`` are what a run gets; ``states`` copies, shows and resets states.
``retry`` is the retry policy, ``timeouts`` limits calls, ``signals`` ends a run on Ctrl-C and SIGTERM.

Names are imported when they are used: a run needs nothing of ``reading``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .environment import Environment
    from .options import Options
    from .reading.catalog import Catalog, CatalogStream
    from .reading.configured_source import ConfiguredSource, configured_source
    from .reading.handover import HandoverEnvironment, HandoverSink
    from .reading.outbox import Outbox
    from .reading.selected_source import CheckedPartition, Remedies
    from .reading.state_documents import state_document, states_of
    from .report.logs import redacted_errors, redacted_logs
    from .report.summary import RunSummary, StreamReport
    from .retry import Retry
    from .run.batches.batching import RejectedBatch
    from .run.flow_file_run import execute

__all__ = [
    "Catalog",
    "CatalogStream",
    "CheckedPartition",
    "ConfiguredSource",
    "Environment",
    "HandoverEnvironment",
    "HandoverSink",
    "Options",
    "Outbox",
    "RejectedBatch",
    "Remedies",
    "Retry",
    "RunSummary",
    "StreamReport",
    "configured_source",
    "execute",
    "redacted_errors",
    "redacted_logs",
    "state_document",
    "states_of",
]

_MODULES = {
    ".environment": ("Environment",),
    ".options": ("Options",),
    ".reading.catalog": ("Catalog", "CatalogStream"),
    ".reading.configured_source": ("ConfiguredSource", "configured_source"),
    ".reading.handover": ("HandoverEnvironment", "HandoverSink"),
    ".reading.outbox": ("Outbox",),
    ".reading.selected_source": ("CheckedPartition", "Remedies"),
    ".reading.state_documents": ("state_document", "states_of"),
    ".report.logs": ("redacted_errors", "redacted_logs"),
    ".report.summary": ("RunSummary", "StreamReport"),
    ".retry": ("Retry",),
    ".run.batches.batching": ("RejectedBatch",),
    ".run.flow_file_run": ("execute",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name], __name__), name)
