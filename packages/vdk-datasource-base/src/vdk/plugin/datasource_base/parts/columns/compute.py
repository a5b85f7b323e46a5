# SPDX-License-Identifier: Apache-2.0
"""``pyarrow.compute``, imported when a function of it is first called.

It takes 0.1 s, because it makes its functions when it is imported, and a run that finds no new row calls none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class _Compute:
    """The attributes of ``pyarrow.compute``."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module("pyarrow.compute"), name)
        setattr(self, name, value)
        return value


pc: Any = _Compute()
