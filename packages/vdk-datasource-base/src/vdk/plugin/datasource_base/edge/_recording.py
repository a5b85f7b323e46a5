"""Stand-ins for VDK's registries that remember what was registered, and change nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class RecordingIngester:
    """VDK's ingester, with the factories of ingestion plugins kept by method."""

    def __init__(self, ingester: Any) -> None:
        self._ingester = ingester
        self.factories: dict[str, Callable[[], Any]] = {}

    def add_ingester_factory_method(self, method: str, ingester_plugin: Callable[[], Any]) -> None:
        self.factories[method.lower()] = ingester_plugin
        self._ingester.add_ingester_factory_method(method=method, ingester_plugin=ingester_plugin)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ingester, name)


class RecordingProperties:
    """VDK's properties, with the types of the backends that were registered."""

    def __init__(self, properties: Any) -> None:
        self._properties = properties
        self.types: list[str] = []

    def set_properties_factory_method(self, properties_type: str, properties_factory: Any) -> None:
        self.types.append(properties_type)
        self._properties.set_properties_factory_method(properties_type, properties_factory)

    def persistent(self, default_type: str | None) -> bool:
        """Whether what is stored outlives the run: VDK's own "memory" backend does not."""
        if default_type:
            return default_type != "memory" and default_type in self.types
        return any(one != "memory" for one in self.types)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._properties, name)
