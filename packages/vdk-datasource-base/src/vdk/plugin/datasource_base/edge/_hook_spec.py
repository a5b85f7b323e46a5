"""The hook by which a plugin offers its sources to VDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vdk.api.plugin.hook_markers import hookspec

if TYPE_CHECKING:
    from ..parts._entries import Entries


class DataSourceHookSpec:
    """``vdk_data_sources_register`` is upstream's, and a second specification of a hook breaks VDK."""

    @staticmethod
    @hookspec
    def vdk_datasource_register(registry: Entries) -> None:
        """Add sources: ``registry.add("name", "module:Class")``. Import nothing: the registry will."""
