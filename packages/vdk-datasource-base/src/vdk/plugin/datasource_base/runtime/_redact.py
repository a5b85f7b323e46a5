"""Secrets taken out of texts that people read."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PASSWORD_IN_URL = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)")
SHORTEST = 4
"""Shorter values are left: taking out every "1" would destroy the text and protect nothing."""


class Redactor:
    """Replaces known secret values, and passwords in URLs, by ``***``."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        known = sorted({value for value in values if len(value) >= SHORTEST}, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        if self._values is not None:
            text = self._values.sub("***", text)
        return _PASSWORD_IN_URL.sub(r"\g<head>***", text)
