"""What ``mkdocs.yml`` cannot say: the site's pages keep the paths that they have in this repository.

So a link works in the repository and on the site alike. Links to a folder lead to its README, and whatever else a page
links to (a module, an example) becomes a file of the site.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from pymdownx.slugs import slugify

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/**/*.md",
    "packages/*/README.md",
    "plugins/*/README.md",
    "template/README.md",
    "benchmarks/README.md",
    "changes/README.md",
    "examples/*/README.md",
)
LINK = re.compile(r"(?<=\]\()(?P<path>[\w.][^)#:\s]*)(?P<anchor>#[^)\s]*)?(?=\))")
GROUPS = {
    "PACKAGES": ("packages/", "plugins/", "template/", "benchmarks/"),
    "EXAMPLES": ("examples/",),
    "DECISIONS": ("docs/decisions/",),
}
"""A group of the navigation, and the folders whose pages it lists."""


def pages() -> list[Path]:
    paths = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    return sorted(path for path in paths if not path.parent.name.startswith((".", "_")))


def on_config(config: Any) -> None:
    """Anchors are spelled as the repository's host spells them."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")
    names = [path.relative_to(ROOT).as_posix() for path in pages()]
    config.nav = _filled(config.nav, names)


def _filled(entry: Any, names: list[str]) -> Any:
    """The navigation with the pages of ``GROUPS``."""
    if isinstance(entry, list):
        return [_filled(each, names) for each in entry]
    if isinstance(entry, dict):
        return {title: _filled(each, names) for title, each in entry.items()}
    folders = GROUPS.get(entry)
    return entry if folders is None else [name for name in names if name.startswith(folders)]


def on_files(files: Files, config: Any) -> Files:
    """The theme's files, and the pages of this repository with whatever they link to."""
    kept = Files([file for file in files if not Path(file.abs_src_path or "").is_relative_to(config.docs_dir)])
    shown = pages()
    linked = {path for page in shown for path in _linked(page) if path not in shown}
    for path in [*shown, *sorted(linked)]:
        kept.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return kept


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Links to folders lead to their READMEs."""
    folder = (ROOT / page.file.src_uri).parent
    return LINK.sub(lambda link: _with_readme(link, folder), re.sub(r"(?s)<!--.*?-->\n", "", markdown))


def _with_readme(link: re.Match[str], folder: Path) -> str:
    path = folder / link["path"]
    if not path.is_dir():
        return link[0]
    if (path / "README.md").exists():
        return f"{link['path'].rstrip('/')}/README.md{link['anchor'] or ''}"
    first = min(path.glob("*.md"), default=None)
    return f"{link['path'].rstrip('/')}/{first.name}" if first else link[0]


def _linked(page: Path) -> Iterator[Path]:
    """The files that a page links to, those of this repository."""
    for link in LINK.finditer(page.read_text("utf-8")):
        path = (page.parent / link["path"]).resolve()
        if path.is_file() and path.is_relative_to(ROOT):
            yield path
