# SPDX-License-Identifier: Apache-2.0
"""For the tests of a plugin: a destination that keeps rows in memory, the conformance suite, and faults.

::

    class TestAcme(SourceConformance):
        capabilities = ("missing_data", "incremental")

        @pytest.fixture
        def source(self, tmp_path):
            return lambda: AcmeSource(AcmeConfig(folder=tmp_path))

``python -m pydoc vdk.plugin.datasource_base.testing.SourceConformance`` lists the checks with their reasons. The suite
needs pytest (``vdk-datasource-base[testing]``), the destination does not.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conformance import (
        CAPABILITIES,
        BadRow,
        DataSourceConformance,
        DeletesConformance,
        DeletingEditor,
        IncrementalConformance,
        Landing,
        LargeDataConformance,
        LogConformance,
        LogEditor,
        OtherPartitionsConformance,
        PartitionConformance,
        RemoteConformance,
        SourceConformance,
        Split,
        StreamEditor,
        proxied,
    )
    from .memory import MemoryDestination

__all__ = [
    "CAPABILITIES",
    "BadRow",
    "DataSourceConformance",
    "DeletesConformance",
    "DeletingEditor",
    "IncrementalConformance",
    "Landing",
    "LargeDataConformance",
    "LogConformance",
    "LogEditor",
    "MemoryDestination",
    "OtherPartitionsConformance",
    "PartitionConformance",
    "RemoteConformance",
    "SourceConformance",
    "Split",
    "StreamEditor",
    "proxied",
]

_ELSEWHERE = {"MemoryDestination": ".memory"}
_SUITE = f"{__name__}.conformance"


def _rewrite_asserts() -> None:
    """Let pytest show the values in the suite's asserts; by default it does so only in the files of the tests."""
    try:
        import pytest
    except ModuleNotFoundError as error:
        raise ImportError(
            "the conformance suite needs pytest, which is not installed: pip install 'vdk-datasource-base[testing]'"
        ) from error
    pytest.register_assert_rewrite(_SUITE)


if sys.modules.get("pytest") is not None and _SUITE not in sys.modules:
    _rewrite_asserts()  # before any module of the suite is imported


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _ELSEWHERE.get(name, ".conformance")
    if module == ".conformance" and _SUITE not in sys.modules:
        _rewrite_asserts()
    return getattr(import_module(module, __name__), name)
