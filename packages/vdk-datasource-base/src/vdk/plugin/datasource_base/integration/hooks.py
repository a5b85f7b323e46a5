# SPDX-License-Identifier: Apache-2.0
"""The hook with which VDK plugins register data sources. Imports nothing that is slow to import."""

from __future__ import annotations

import logging
from typing import Any, TypeVar

from vdk.api.plugin.hook_markers import hookspec

from ..parts.plugins.entries import Entries

log = logging.getLogger(__name__)
E = TypeVar("E", bound="Entries")


def with_plugins(entries: E, plugin_registry: Any) -> E:
    """The same entries, with those that VDK plugins register.

    A plugin that raises is logged as a warning, and only the flows that use its sources fail.
    """
    for hook in plugin_registry.hook().vdk_datasource_register.get_hookimpls():
        try:
            hook.function(*([entries] if hook.argnames else []))
        except Exception as error:
            from ..runtime.report.logs import format_error

            entries.add_broken(hook.plugin_name, format_error(error))
            log.warning("plugin %s could not register its data sources: %s", hook.plugin_name, format_error(error))
    return entries


class DataSourceHookSpec:
    """The hook of this package. ``vdk_data_sources_register`` is VDK's own, and specifying it twice breaks VDK."""

    @staticmethod
    @hookspec
    def vdk_datasource_register(registry: Entries) -> None:
        """Register sources: ``registry.add("name", "module:Class")``. The registry imports the module when needed."""
