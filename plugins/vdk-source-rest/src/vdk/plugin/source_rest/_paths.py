"""JMESPath: where something is in a body."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult

from vdk.plugin.datasource_base.contract import ConfigurationError


def find(path: str, body: Any) -> Any:
    """What is at ``path``; None where nothing is.

    :raises ConfigurationError: for a path that does not fit what is there, such as a function of the wrong type.
    """
    try:
        return compiled(path).search(body)
    except JMESPathError as error:
        raise ConfigurationError(f"the path {path!r} does not fit the answer: {error}") from None


@lru_cache(maxsize=256)
def compiled(path: str) -> ParsedResult:
    """Raises ``ConfigurationError`` for what is no JMESPath."""
    try:
        return jmespath.compile(path)
    except JMESPathError as error:
        raise ConfigurationError(f"{path!r} is no JMESPath: {' '.join(str(error).split())}") from None
