"""Correct sources pass the whole suite: no check requires more than the contract."""

from __future__ import annotations

from conformance_cases import JournalCase, LinesCase, ShopCase, SplitCase, SweptCase


class TestShop(ShopCase):
    """A local, incremental, partitioned source."""


class TestLines(LinesCase):
    """A remote one."""


class TestJournal(JournalCase):
    """An append-only log."""


class TestSwept(SweptCase):
    """A source that yields all existing keys."""


class TestSplit(SplitCase):
    """A source whose number of partitions is an option."""
