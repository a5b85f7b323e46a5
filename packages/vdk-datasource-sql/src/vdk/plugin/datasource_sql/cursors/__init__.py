# SPDX-License-Identifier: Apache-2.0
"""Cursor columns: what their values mean, and how bounds are written."""

from .formats import CursorFormat, IsoText, detect_text
from .native import NativeTime, native_format
from .numbers import UNITS, Epoch, JulianDay, Opaque, detect_number, named_format

__all__ = [
    "UNITS",
    "CursorFormat",
    "Epoch",
    "IsoText",
    "JulianDay",
    "NativeTime",
    "Opaque",
    "detect_number",
    "detect_text",
    "named_format",
    "native_format",
]
