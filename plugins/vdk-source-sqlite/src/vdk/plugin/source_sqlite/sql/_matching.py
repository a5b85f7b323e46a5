"""Whether cursors that were read have the format that all are said to have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ._formats import CursorFormat
from ._kinds import UNFIT


def all_match(found: CursorFormat, values: Sequence[Any]) -> bool:
    """``values`` as the driver's cursor returns them, None left out."""
    if found.numeric:
        return all(isinstance(value, (int, float)) and math.isfinite(value) for value in values)
    if found.pattern is None:
        return all(isinstance(value, str) for value in values)
    try:
        array = pa.array(values)
    except UNFIT:  # types are mixed
        return False
    return is_all(found, array)


def is_all(found: CursorFormat, cursors: pa.Array) -> bool:
    """``cursors`` as an array of one type."""
    if found.numeric:
        is_number = pa.types.is_integer(cursors.type) or pa.types.is_floating(cursors.type)
        return is_number and bool(pc.all(pc.is_finite(cursors)).as_py())
    if not pa.types.is_string(cursors.type):
        return False
    if found.pattern is None:
        return True
    return bool(pc.all(pc.match_substring_regex(cursors, f"^(?:{found.pattern})$")).as_py())
