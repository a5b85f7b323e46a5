"""A page of the documentation as a program: its blocks, in the order in which a reader follows them."""

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
    """A line after ``$``, and its output; ``...`` is any text, or any lines. Without an output: anything."""

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
    """A block that begins with the name of a file contains that file, or a class of it."""

    path: str
    text: str
    class_name: str | None

    def write(self, folder: Path) -> None:
        path = folder / self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text if self.class_name is None else self.replace_class(path.read_text("utf-8")), "utf-8")

    def replace_class(self, text: str) -> str:
        """``text`` with this block in place of the class."""
        (existing,) = (
            node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == self.class_name
        )
        first = min([existing.lineno, *(decorator.lineno for decorator in existing.decorator_list)])
        lines = text.splitlines(keepends=True)
        return "".join([*lines[: first - 1], self.text, *lines[existing.end_lineno :]])


def steps(page: str) -> Iterator[Command | File]:
    """The steps of a page, in order. Raises ``ValueError`` for a block that a reader cannot follow."""
    for language, text in BLOCK.findall(page):
        if language == "console":
            for command in re.split(r"(?m)^\$ ", text)[1:]:
                line, _, output = command.partition("\n")
                yield Command(line, output)
        elif header := FILE.match(text):
            yield File(header["path"], text[header.end() :], header["name"])
        else:
            raise ValueError(
                f"a block of {language} names no file: begin it with a line such as '# src/source.py', or make it a "
                f"console block: {text}"
            )
