# SPDX-License-Identifier: Apache-2.0
"""A flow as it may be printed: references stay, and secrets that stand in it are replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...contract import decode_config
from ..plugins.registry import Registry
from ..redact import Redactor, is_secret_name, secrets_in
from ..references import environment, file_content, resolve, with_dotenv

HIDDEN = "***"
_REFERENCES = re.compile(r"(\$\{[^{}]*\})")


def without_secrets(flow: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    """The flow with ``***`` for the passwords of URLs, for options that their source declares as ``Secret``, and for
    those whose names are those of secrets.

    The values of a configuration that its source does not accept are all replaced: which are secrets is unknown.
    """
    shown: dict[str, Any] = _hidden(flow, Redactor())
    for name, entry in flow["sources"].items():
        config = entry.get("config", {})
        try:
            secrets = _secrets(entry["name"], config, registry)
        except Exception:  # it is unset, wrong or of a source that is not installed, which a run reports
            shown["sources"][name]["config"] = _without_values(config)
        else:
            shown["sources"][name] = _hidden(shown["sources"][name], Redactor(secrets=secrets))
    return shown


def _secrets(source: str, config: Mapping[str, Any], registry: Registry) -> set[str]:
    folder = Path.cwd()
    lookups = {"file": file_content(folder), **with_dotenv({"env": environment}, folder)}
    resolved = resolve(config, lookups, location=source)
    decoded = decode_config(
        resolved.data, registry.source(source).config_type, location=source, folder=folder, lenient=resolved.whole
    )
    return set(secrets_in(decoded))


def _hidden(value: Any, redact: Redactor) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _without_values(item) if is_secret_name(str(key)) else _hidden(item, redact)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_hidden(item, redact) for item in value]
    return _hidden_in_text(value, redact) if isinstance(value, str) else value


def _hidden_in_text(text: str, redact: Redactor) -> str:
    """The text without secrets. The password of a URL that is a reference stays, as any other reference does."""
    secrets = list(secrets_in(text))
    if not secrets or not all(map(_is_reference, secrets)):
        return redact(text)
    return "".join(part if _is_reference(part) else redact(part) for part in _REFERENCES.split(text))


def _without_values(value: Any) -> Any:
    """The same shape, with references and booleans alone: a password may be a number, too."""
    if isinstance(value, Mapping):
        return {key: _without_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_values(item) for item in value]
    return value if isinstance(value, bool) or (isinstance(value, str) and _is_reference(value)) else HIDDEN


def _is_reference(text: str) -> bool:
    return text.startswith("${") and text.find("}") == len(text) - 1
