"""What the tests of a plugin need: a destination that keeps rows in memory."""

from ._memory import MemoryDestination

__all__ = ["MemoryDestination"]
