"""Correct sources pass the whole suite: no check asks for more than the contract says."""

from __future__ import annotations

from conformance_cases import LinesCase, ShopCase


class TestShop(ShopCase):
    """A local, incremental, partitioned source."""


class TestLines(LinesCase):
    """A remote one."""
