# SPDX-License-Identifier: Apache-2.0
"""The options that messages say to write, such as ``write paginator = { type = "page" }``, found in their text."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_KEY = r"""[\w-]+|"(?:[^"\\]|\\.)*\""""
_STEP = rf"(?:\.(?:{_KEY})|\[\d+\])"
_REMEDY = re.compile(
    rf"""\b(write|set|add|as in|or|with) (?:([A-Za-z_][\w-]*{_STEP}*) = (?=[\[{{"'\w-])"""
    rf"""|([A-Za-z_][\w-]*\.(?:{_KEY}){_STEP}*)(?=[\s.,;)(]|$))"""
)
"""``write paginator = { type = "page" }``, up to the value; or a path of several steps alone."""
_ENDS = re.compile(r"[\]}\"'\w]")
_MAX_VALUE = 300


@dataclass(frozen=True, slots=True)
class Remedy:
    """An option to write.

    :param verb: the word before it. :param option: its path, as TOML writes it. :param value: its value, as TOML
        writes it; None: the message leaves it open.
    """

    verb: str
    option: str
    value: str | None

    @property
    def steps(self) -> list[str]:
        """The steps of the path, each as TOML writes it."""
        return re.findall(_KEY, self.option)


def with_remedies(message: str, written: Callable[[Remedy, str], str | None]) -> str:
    """The message with other texts in place of its remedies.

    :param written: the text for a remedy, given what is before it; None: it stays.
    """
    parts: list[str] = []
    done = 0
    for start, end, remedy in _remedies(message):
        if start >= done and (text := written(remedy, message[:start])) is not None:
            parts += (message[done:start], text)
            done = end
    return "".join((*parts, message[done:]))


def _remedies(message: str) -> Iterator[tuple[int, int, Remedy]]:
    for match in _REMEDY.finditer(message):
        if match[3] is not None:
            yield match.start(), match.end(), Remedy(match[1], match[3], None)
        elif (value := _value_at(message, match.end())) is not None:
            yield match.start(), match.end() + len(value), Remedy(match[1], match[2], value)


def _value_at(text: str, start: int) -> str | None:
    """The TOML value that begins at a place of a text: the shortest that is one; None: there is none."""
    plain = re.compile(r"[\w.+-]*\w").match(text, start)
    if plain is not None:
        return plain[0] if _is_toml(plain[0]) else None
    for end in _ENDS.finditer(text, start + 1, start + _MAX_VALUE):
        if _is_toml(value := text[start : end.end()]):
            return value
    return None


def _is_toml(value: str) -> bool:
    try:
        return tomllib.loads(f"value = {value}").keys() == {"value"}
    except ValueError:
        return False
