# SPDX-License-Identifier: Apache-2.0
"""VDK loads this module for every command: it registers the source by name and imports nothing heavy."""

from __future__ import annotations

from typing import Any

from vdk.api.plugin.hook_markers import hookimpl


@hookimpl
def vdk_datasource_register(registry: Any) -> None:
    registry.add("acme", "vdk.plugin.source_acme.source:AcmeSource")
