"""The package as a whole: what it offers, and what it costs to load."""

from __future__ import annotations

import subprocess
import sys

import vdk.plugin.datasource_sql as package


def test_every_public_name_exists() -> None:
    """And the list is short enough to read."""
    assert len(package.__all__) <= 24
    for name in package.__all__:
        assert getattr(package, name) is not None


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    """VDK imports it for every command."""
    code = (
        "import sys, vdk.plugin.datasource_sql.plugin_entry\n"
        "print(sorted({'sqlalchemy', 'pyarrow', 'msgspec'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
