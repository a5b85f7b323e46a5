"""What VDK's plugins offer beside what the installed distributions say. Imports nothing that takes its time."""

from __future__ import annotations

import logging
from typing import Any, TypeVar

from ..parts._entries import Entries

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
            from ..runtime._error_text import told

            entries.add_broken(hook.plugin_name, told(error))
            log.warning("Plugin %s could not register its data sources: %s", hook.plugin_name, told(error))
    return entries
