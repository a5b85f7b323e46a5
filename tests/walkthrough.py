"""A page of the docs as a program: its blocks, in order, as a reader would follow them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (?P<path>[\w./-]+\.\w+)(, in place of class (?P<name>\w+))?\n")


@dataclass(frozen=True)
class Command:
    """A line behind ``$``, and what it prints; ``...`` is any text, or any lines. Without a word on it: anything."""

    line: str
    output: str

    def fits(self, printed: str) -> bool:
        lines = self.output.strip().splitlines() or ["..."]
        patterns = [
            r"(?:.*\n)*" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"[ ]*\n" for line in lines
        ]
        return re.fullmatch("".join(patterns), printed.strip() + "\n") is not None


@dataclass(frozen=True)
class File:
    """A block that begins with the name of a file is that file, or a class of it."""

    path: str
    text: str
    class_name: str | None

    def write(self, folder: Path) -> None:
        path = folder / self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text if self.class_name is None else self.replaced(path.read_text("utf-8")), "utf-8")

    def replaced(self, text: str) -> str:
        """``text`` with this in place of the class."""
        (found,) = (
            node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == self.class_name
        )
        lines = text.splitlines(keepends=True)
        return "".join([*lines[: found.lineno - 1], self.text, *lines[found.end_lineno :]])


def steps(page: str) -> Iterator[Command | File]:
    """What to do, in order. Raises ``ValueError`` for a block that nobody could follow."""
    for language, text in BLOCK.findall(page):
        if language == "console":
            for command in re.split(r"(?m)^\$ ", text)[1:]:
                line, _, output = command.partition("\n")
                yield Command(line, output)
        elif found := FILE.match(text):
            yield File(found["path"], text[found.end() :], found["name"])
        else:
            raise ValueError(f"this block is no console and names no file: {text}")
