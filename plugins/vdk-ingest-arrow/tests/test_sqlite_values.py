"""Values of a SQLite column that changes its type: huge numbers in texts cost nothing, and stay texts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
from vdk.plugin.ingest_arrow.sqlite.values import cast
print([cast(sys.argv[1], "TEXT", target) for target in ("INTEGER", "REAL", "DECIMAL_TEXT(38,2)", "BOOLEAN", "INT")])
"""


@pytest.mark.parametrize("text", ["1e999999999", "1e-999999999", "1e99999999999999999999", "9" * 5000])
def test_a_huge_number_in_a_text_is_none(text: str) -> None:
    """In a process of its own, since it froze the interpreter. A person's own column keeps it as it is."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, text], env=dict(os.environ), cwd=Path(__file__).parent, capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == repr([None, None, None, None, text])
