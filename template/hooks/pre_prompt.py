"""Give cookiecutter the folder that it looks for, in its temporary copy of the template (cookiecutter 2.4 or newer)."""

from __future__ import annotations

from pathlib import Path


def main() -> None:
    parts = [part for part in Path().iterdir() if part.name not in ("cookiecutter.json", "hooks")]
    project = Path("{{cookiecutter.__distribution}}")
    project.mkdir()
    for part in parts:
        part.rename(project / part.name)


if __name__ == "__main__":
    main()
