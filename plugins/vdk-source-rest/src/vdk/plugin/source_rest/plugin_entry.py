# SPDX-License-Identifier: Apache-2.0
"""The entry point that VDK loads on every command: it registers a name and imports no HTTP client."""

from __future__ import annotations

from typing import Any

from vdk.api.plugin.hook_markers import hookimpl


@hookimpl
def vdk_datasource_register(registry: Any) -> None:
    registry.add("rest", "vdk.plugin.source_rest.source:RestSource")
