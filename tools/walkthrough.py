"""A page of the documentation as a program: its blocks, in the order in which a reader follows them.

A block of ``console`` contains commands after ``$`` and their output. Any other block begins with a comment that names
its file: ``# flow.toml``. Two comments of HTML are for the tests alone: ``<!-- run: COMMAND -->`` is a command that the
reader does not see, and ``<!-- not run: REASON -->`` before a block excludes it from running; it must still parse.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"<!-- run: (?P<hidden>.*?) -->\n"
    r"|(?P<skipped><!-- not run: [^>]* -->\n+)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
FILE = re.compile(r"(?:#|--) (?P<path>[\w./-]+\.\w+)(, in place of class (?P<name>\w+))?\n")
OUTPUTS = ("text",)
"""Languages of blocks that are neither commands nor files."""
FAILED = re.compile(r"^Error|: error: ", re.MULTILINE)
START, END = "\x1e", "\x1f"


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
        printed = "\n".join(line.rstrip() for line in printed.strip().splitlines())
        return re.fullmatch("".join(patterns), printed + "\n") is not None

    def ends_well(self, code: int) -> bool:
        """Whether it fails if and only if the page shows an error. What is killed on purpose may be faster."""
        return "--signal KILL" in self.line or (code != 0) is (FAILED.search(self.output) is not None)


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
    for block in BLOCK.finditer(page):
        language, text = block["language"], block["text"]
        if block["hidden"]:
            yield Command(block["hidden"], "")
        elif block["skipped"] or language in OUTPUTS:
            parse(language, text)
        elif language == "console":
            yield from commands(text)
        elif header := FILE.match(text):
            parse(language, text)
            yield File(header["path"], text[header.end() :], header["name"])
        else:
            raise ValueError(
                f"a block of {language} names no file: begin it with a line such as '# src/source.py', or make it a "
                f"console block: {text}"
            )


def commands(text: str) -> Iterator[Command]:
    """The commands of a console block. A line that ends with a backslash continues."""
    for command in re.split(r"(?m)^\$ ", text)[1:]:
        line, _, output = command.partition("\n")
        while line.endswith("\\"):
            more, _, output = output.partition("\n")
            line = f"{line}\n{more}"
        yield Command(line, output)


def parse(language: str, text: str) -> None:
    """Raises ``ValueError`` if the text is not of its language, for those that Python can read."""
    try:
        if language == "toml":
            tomllib.loads(text)
        elif language == "json":
            json.loads(text)
        elif language == "python":
            ast.parse(text)
        elif language == "yaml":
            import yaml

            list(yaml.safe_load_all(text))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"a block of {language} is not valid: {error}: {text}") from None


def follow(page: str, folder: Path, environment: Mapping[str, str], *, seconds: float = 240) -> list[str]:
    """Run all steps of a page in one shell, whose working directory, variables and background jobs last.

    :return: what differs from the page, one text for each command.
    """
    followed = list(steps(page))
    script = ["trap 'kill $(jobs -p) 2>/dev/null' EXIT"]
    for number, step in enumerate(followed):
        if isinstance(step, Command):
            script.append(f"printf '{START}{number}{END}'\n{step.line}\nprintf '{START}= %s{END}' $?")
        else:
            script.append(f"mkdir -p $(dirname {step.path}); cat > {step.path} <<'{END}'\n{step.text}{END}")
    (home := folder / "home").mkdir()
    (work := folder / "work").mkdir()
    path = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        check=False,
        cwd=work,
        env={**environment, "PATH": path, "HOME": str(home), "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=seconds,
    )
    return list(differences(followed, done.stdout))


def differences(followed: list[Command | File], printed: str) -> Iterator[str]:
    """The commands whose exit code or output is not what the page shows."""
    pattern = f"{START}(\\d+){END}(.*?){START}= (\\d+){END}"
    results = {int(match[1]): (match[2], int(match[3])) for match in re.finditer(pattern, printed, re.DOTALL)}
    for number, step in enumerate(followed):
        if isinstance(step, File):
            continue
        if number not in results:
            yield f"$ {step.line}\nwas not run to its end:\n{printed[-2000:]}"
            return
        output, code = results[number]
        if not step.ends_well(code) or not step.fits(output):
            yield f"$ {step.line}\nended with {code}:\n{output}\nThe page shows:\n{step.output}"
