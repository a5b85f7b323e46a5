"""What a plugin gives to the suite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ...contract import DataSource

MakeSource: TypeAlias = Callable[[], DataSource[Any]]
"""Gives a new, configured source each time; not connected."""
