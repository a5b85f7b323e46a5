# SPDX-License-Identifier: Apache-2.0
"""What VDK loads on every command: nothing but a name, so that no command waits for SQLAlchemy."""

from __future__ import annotations

from typing import Any

from vdk.api.plugin.hook_markers import hookimpl


@hookimpl
def vdk_datasource_register(registry: Any) -> None:
    registry.add("mysql", "vdk.plugin.source_mysql.source:MysqlSource")
