# SPDX-License-Identifier: Apache-2.0
"""The plugin that VDK loads for every command: it registers a name, so no command imports more than that."""

from __future__ import annotations

from typing import Any

from vdk.api.plugin.hook_markers import hookimpl


@hookimpl
def vdk_datasource_register(registry: Any) -> None:
    registry.add("singer", "vdk.plugin.source_singer.source:SingerSource")
