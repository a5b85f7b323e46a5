"""The build backend of setuptools, which also packs the template for ``vdk datasource new`` (PEP 517, in-tree).

The template is a folder of the repository. The wheel contains it as one archive, since loose files would be compiled
and type-checked with the package. An editable installation reads the folder.
"""

from __future__ import annotations

import runpy
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

PROJECT = Path(__file__).resolve().parents[1]
TEMPLATE = PROJECT.parents[1] / "template"
ARCHIVE = PROJECT / "src" / "vdk" / "plugin" / "datasource_base" / "integration" / "_template.zip"


def build_wheel(directory: str, settings: Any = None, metadata: str | None = None) -> str:
    with packed():
        return str(build_meta.build_wheel(directory, settings, metadata))


def build_sdist(directory: str, settings: Any = None) -> str:
    with packed():
        return str(build_meta.build_sdist(directory, settings))


@contextmanager
def packed() -> Iterator[None]:
    """The archive exists inside this context. An sdist already contains it."""
    if (PROJECT / "PKG-INFO").is_file():
        yield
        return
    if not (TEMPLATE / "rename.py").is_file():
        raise FileNotFoundError(
            f"the template {TEMPLATE} does not exist: build in a clone of vdk-sources, or build from the sdist"
        )
    try:
        pack()
        yield
    finally:
        ARCHIVE.unlink(missing_ok=True)


def pack() -> None:
    """Write the archive. The same files give the same bytes: it contains no times and no leftovers, and is sorted."""
    is_leftover = runpy.run_path(str(TEMPLATE / "rename.py"))["is_leftover"]
    with zipfile.ZipFile(ARCHIVE, "w") as archive:
        for path in sorted(TEMPLATE.rglob("*")):
            name = path.relative_to(TEMPLATE)
            if path.is_file() and not is_leftover(name):
                entry = zipfile.ZipInfo(name.as_posix())
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
