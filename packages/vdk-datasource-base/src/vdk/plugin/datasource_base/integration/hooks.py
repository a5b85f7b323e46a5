"""What VDK's plugins offer beside what the installed distributions say. Imports nothing that takes its time."""

from __future__ import annotations

import logging
from typing import Any, TypeVar

from vdk.api.plugin.hook_markers import hookspec

from ..parts.entries import Entries

log = logging.getLogger(__name__)
E = TypeVar("E", bound=Entries)


def with_plugins(entries: E, plugin_registry: Any) -> E:
    """The same entries, with those that plugins add.

    Each plugin is asked for itself: one that fails is told, and harms only the flows that use it.
    """
    for hook in plugin_registry.hook().vdk_datasource_register.get_hookimpls():
        try:
            hook.function(*([entries] if hook.argnames else []))
        except Exception as error:
            from ..runtime.report.logs import told

            entries.add_broken(hook.plugin_name, told(error))
            log.warning("Plugin %s could not register its data sources: %s", hook.plugin_name, told(error))
    return entries


class DataSourceHookSpec:
    """``vdk_data_sources_register`` is upstream's, and a second specification of a hook breaks VDK."""

    @staticmethod
    @hookspec
    def vdk_datasource_register(registry: Entries) -> None:
        """Add sources: ``registry.add("name", "module:Class")``. Import nothing: the registry will."""
