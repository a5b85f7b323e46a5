"""Turn a copy of the template into a plugin with a name of its own. It runs once and removes itself.

    cp -r template plugins/vdk-source-my-crm
    python plugins/vdk-source-my-crm/rename.py my-crm

With ``--kind api`` the source reads an HTTP API instead of files: each part of the folder ``api`` takes the place of
the part that has the same name. The script needs the standard library only. It checks everything before it changes
anything.
"""

from __future__ import annotations

import argparse
import fnmatch
import keyword
import re
import shutil
import sys
from pathlib import Path

# The template itself is the kind "files"; another kind is a folder with the parts that differ.
KINDS = ("files", "api")
TEMPLATE_ONLY = ("rename.py", "cookiecutter.json", "hooks")
# What tools and people leave in a folder that they work in.
LEFTOVERS = ("__pycache__", "*.egg-info", "build", "dist", ".*_cache", ".tox", ".venv", ".env", ".coverage*")
# Names that mean something else in a repository of plugins, and the template's own.
RESERVED = ("acme", "base", "benchmarks", "dist", "examples", "faults", "format", "lint", "template", "types")
PREFIX = "vdk-source-"
ACME = re.compile(r"(_?)(acme|Acme|ACME)(_?)")


def main() -> int:
    parser = argparse.ArgumentParser(description="Turn this copy of the template into a plugin with a name of its own.")
    parser.add_argument("name", help="the name of the source in flow files: lower-case words and digits, like my-crm")
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0], help="what the source reads (default: %(default)s)")
    arguments = parser.parse_args()
    folder = Path(__file__).resolve().parent
    try:
        rename(folder, arguments.name, arguments.kind)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{folder.name} is ready; README.md lists the next steps")
    return 0


def rename(folder: Path, name: str, kind: str) -> None:
    """Replace the template in ``folder`` by the plugin. Raises ``ValueError``, before any change, if it cannot."""
    name = valid_name(name)
    plugin = f"{PREFIX}{name}"
    if folder.name != plugin:
        raise ValueError(
            f"the folder is called {folder.name!r}, expected {plugin!r}; copy the template first: "
            f"cp -r {folder} {plugin} && python {plugin}/rename.py {name} --kind {kind}"
        )
    files = {
        with_name(path, name): with_name(read_text(file), name) for path, file in plugin_files(folder, kind).items()
    }
    for part in folder.iterdir():
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink()
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text.encode("utf-8"))


def valid_name(text: str) -> str:
    """The name as PEP 503 normalizes it, without the prefix. Raises ``ValueError`` if it is not a valid name."""
    name = text.replace("_", "-").removeprefix(PREFIX)
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ValueError(f"{text!r} is not a valid name: use lower-case words and digits with hyphens, like my-crm")
    if keyword.iskeyword(name) or name in RESERVED:
        reason = "a keyword of Python" if keyword.iskeyword(name) else "reserved"
        raise ValueError(f"{text!r} is not a valid name, because it is {reason}: use a longer one, like {name}-api")
    return name


def plugin_files(folder: Path, kind: str) -> dict[str, Path]:
    """The files that become a plugin of this kind, by their paths in the plugin."""
    parts = folder / kind
    replaced = [path.name for path in parts.iterdir()] if parts.is_dir() else []
    files = {}
    for root, excluded in ((folder, (*TEMPLATE_ONLY, *KINDS, *replaced)), (parts, ())):
        for file in sorted(root.rglob("*")):
            path = file.relative_to(root)
            if file.is_file() and not is_leftover(path) and path.parts[0] not in excluded:
                files[path.as_posix()] = file
    return files


def is_leftover(path: Path) -> bool:
    """Whether a file, given by its path inside the template, is not part of the template."""
    return any(fnmatch.fnmatch(part, pattern) for part in path.parts for pattern in LEFTOVERS)


def read_text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not a text file, so it is not part of the template: rm {file}") from None


def with_name(text: str, name: str) -> str:
    """``text`` with the name for acme, in each spelling. In one pass, since the name may contain "acme" itself."""

    def spell(match: re.Match[str]) -> str:
        before, acme, after = match.groups()
        if acme == "Acme":
            spelled = "".join(word.capitalize() for word in name.split("-"))
        elif acme == "ACME":
            spelled = name.upper().replace("-", "_")
        else:
            spelled = name.replace("-", "_") if before or after else name
        return f"{before}{spelled}{after}"

    return ACME.sub(spell, text)


if __name__ == "__main__":
    sys.exit(main())
