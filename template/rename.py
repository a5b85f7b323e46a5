"""Makes a copy of the template a plugin with a name of its own. It runs once, and removes itself.

    cp -r template plugins/vdk-source-my-crm
    python plugins/vdk-source-my-crm/rename.py my-crm

It needs the standard library alone, and checks everything before it changes anything.
"""

from __future__ import annotations

import argparse
import fnmatch
import keyword
import re
import sys
from pathlib import Path

# What only the template has, and what tools leave behind in a folder they worked in.
OWN = ("rename.py", "cookiecutter.json", "hooks")
LEFTOVERS = ("__pycache__", "*.egg-info", "build", "dist", ".*_cache", ".tox", ".venv", ".coverage*")
# What tests and environments are called here besides the sources, and the template's own name.
RESERVED = ("acme", "base", "benchmarks", "dist", "examples", "faults", "format", "lint", "template", "types")
ACME = re.compile(r"(_?)(acme|Acme|ACME)(_?)")


def main() -> int:
    parser = argparse.ArgumentParser(description="Make this copy of the template a plugin with a name of its own.")
    parser.add_argument("name", help="what flow files will call the source: lower-case words and digits, like my-crm")
    folder = Path(__file__).resolve().parent
    try:
        rename(folder, parser.parse_args().name)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{folder.name} is ready; its README.md says what to do next")
    return 0


def rename(folder: Path, said: str) -> None:
    """Respells contents and paths in ``folder``. Raises ``ValueError``, before any change, where that cannot be."""
    name = checked(said)
    if folder.name != f"vdk-source-{name}":
        raise ValueError(
            f"this folder is called {folder.name!r}: copy the template to a folder called like the plugin, "
            f"'vdk-source-{name}', and start rename.py in there"
        )
    files = [path for path in folder.rglob("*") if path.is_file() and is_the_plugins(path.relative_to(folder))]
    texts = {path: text_of(path) for path in files}
    for path, text in texts.items():
        new = folder / respelled(path.relative_to(folder).as_posix(), name)
        new.parent.mkdir(parents=True, exist_ok=True)
        path.rename(new)
        new.write_bytes(respelled(text, name).encode("utf-8"))
    remove_the_rest(folder)


def checked(said: str) -> str:
    """The name, in the form that PEP 503 gives it. Raises ``ValueError`` for what cannot be one."""
    name = said.replace("_", "-")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ValueError(f"{said!r} cannot be a name: say lower-case words and digits with hyphens, like my-crm")
    if keyword.iskeyword(name) or name in RESERVED:
        why = "a word of Python" if keyword.iskeyword(name) else "taken"
        raise ValueError(f"{said!r} cannot be a name, because it is {why}: say more, like {name}-api")
    return name


def is_left_behind(path: Path) -> bool:
    """Whether tools made this file; the path starts in the template."""
    return any(fnmatch.fnmatch(part, pattern) for part in path.parts for pattern in LEFTOVERS)


def is_the_plugins(path: Path) -> bool:
    """Whether this file becomes a part of the plugin."""
    return not is_left_behind(path) and path.parts[0] not in OWN


def text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text, and so none of the template's files: delete it") from None


def respelled(text: str, name: str) -> str:
    """``text`` with the name in each spelling. In one pass, since the new name may have the old one in it."""

    def spelling(found: re.Match[str]) -> str:
        before, old, after = found.groups()
        if old == "Acme":
            new = "".join(word.capitalize() for word in name.split("-"))
        elif old == "ACME":
            new = name.upper().replace("-", "_")
        else:
            new = name.replace("-", "_") if before or after else name
        return f"{before}{new}{after}"

    return ACME.sub(spelling, text)


def remove_the_rest(folder: Path) -> None:
    """This file and its like, leftovers, and the folders that are empty now."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_symlink() or not path.is_dir():
            if not is_the_plugins(path.relative_to(folder)):
                path.unlink()
        elif not any(path.iterdir()):
            path.rmdir()


if __name__ == "__main__":
    sys.exit(main())
