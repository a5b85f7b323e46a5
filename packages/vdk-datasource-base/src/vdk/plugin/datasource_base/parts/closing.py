# SPDX-License-Identifier: Apache-2.0
"""Ends iterators that are not read to their end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def closing_early(payloads: Iterator[Any]) -> Iterator[None]:
    """Close a generator on exit, so that it frees its connection now. Other iterators need no close."""
    try:
        yield
    finally:
        close = getattr(payloads, "close", None)
        if close is not None:
            close()
