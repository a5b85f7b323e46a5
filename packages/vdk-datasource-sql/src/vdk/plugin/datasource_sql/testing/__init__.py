# SPDX-License-Identifier: Apache-2.0
"""For the tests of a database's plugin: the conformance suite that runs against its real server.

::

    class TestAcme(SqlServerConformance, LateCommitConformance):
        types = (TypeCase("integer", "1", pa.int32(), 1), ...)

        @pytest.fixture
        def database(self, server):
            return AcmeDatabase(server)  # an SqlServer

A database without a server has an ``SqlDatabase`` and inherits ``SqlConformance`` alone. ``docs/conformance.md`` lists
the checks. It needs pytest: ``vdk-datasource-sql[testing]``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .database import SqlDatabase, SqlServer, TypeCase
    from .landed import Landed, run
    from .late_commits import LateCommitConformance
    from .server_suite import SqlServerConformance
    from .suite import SqlConformance

__all__ = [
    "Landed",
    "LateCommitConformance",
    "SqlConformance",
    "SqlDatabase",
    "SqlServer",
    "SqlServerConformance",
    "TypeCase",
    "run",
]

_MODULES = {
    "database": ("SqlDatabase", "SqlServer", "TypeCase"),
    "landed": ("Landed", "run"),
    "late_commits": ("LateCommitConformance",),
    "server_suite": ("SqlServerConformance",),
    "suite": ("SqlConformance",),
}

if (pytest := sys.modules.get("pytest")) is not None:  # so that it shows the values in the suite's asserts
    pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in _MODULES))


def __getattr__(name: str) -> Any:
    module = next((module for module, names in _MODULES.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{module}", __name__), name)
