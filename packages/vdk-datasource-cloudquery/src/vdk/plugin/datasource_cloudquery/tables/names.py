# SPDX-License-Identifier: Apache-2.0
"""Names of tables and columns as CloudQuery's destinations accept them."""

from __future__ import annotations

import re


def fold_name(name: str) -> str:
    """A name as CloudQuery's destinations accept it: ``[a-z_][a-z0-9_]*``."""
    folded = re.sub(r"[^a-z0-9_]", "_", name.lower())
    return folded if folded and not folded[0].isdigit() else f"_{folded}"
