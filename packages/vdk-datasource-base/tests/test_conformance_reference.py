"""Correct sources pass the whole suite: no check asks for more than the contract says."""

from __future__ import annotations

from conformance_cases import JournalCase, LinesCase, ShopCase, SweptCase


class TestShop(ShopCase):
    """A local, incremental, partitioned source."""


class TestLines(LinesCase):
    """A remote one."""


class TestJournal(JournalCase):
    """An append-only log."""


class TestSwept(SweptCase):
    """A source that says which rows are there."""
