"""What VDK loads on every command: nothing but a name, so that none waits for a client library."""

from __future__ import annotations

from typing import Any

from vdk.api.plugin.hook_markers import hookimpl


@hookimpl
def vdk_datasource_register(registry: Any) -> None:
    registry.add("acme", "vdk.plugin.source_acme.source:AcmeSource")
