"""setuptools' build backend, which also packs the template for ``vdk datasource new`` (PEP 517, in-tree).

The template is a folder of the repository, tested as it is. An installed package has it as one archive: as files
they would be compiled, type-checked and imported along with the package. An editable installation reads the folder.
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
    """The archive is there meanwhile. An sdist brings it along."""
    if (PROJECT / "PKG-INFO").is_file():
        yield
        return
    if not (TEMPLATE / "rename.py").is_file():
        raise FileNotFoundError(
            f"there is no template in {TEMPLATE}: build in a clone of vdk-sources, or from its sdist"
        )
    try:
        pack()
        yield
    finally:
        ARCHIVE.unlink(missing_ok=True)


def pack() -> None:
    """The same files give the same bytes: no times, no order of a file system, nothing that tools left behind."""
    is_left_behind = runpy.run_path(str(TEMPLATE / "rename.py"))["is_left_behind"]
    with zipfile.ZipFile(ARCHIVE, "w") as archive:
        for path in sorted(TEMPLATE.rglob("*")):
            inside = path.relative_to(TEMPLATE)
            if path.is_file() and not is_left_behind(inside):
                entry = zipfile.ZipInfo(inside.as_posix())
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
