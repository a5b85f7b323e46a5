# SPDX-License-Identifier: Apache-2.0
"""A flow as it may be printed: references stay, and secrets that stand in it are replaced."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..contract import decode_config
from .redact import Redactor, is_secret_name, secrets_in
from .references import environment, file_content, resolve, with_dotenv
from .registry import Registry

HIDDEN = "***"


def without_secrets(flow: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    """The flow with ``***`` for the passwords of URLs, for options that their source declares as ``Secret``, and for
    those whose names are those of secrets.

    The texts of a configuration that its source does not accept are all replaced: which of them are secrets is unknown.
    """
    shown: dict[str, Any] = _hidden(flow, Redactor())
    for name, entry in flow["sources"].items():
        config = entry.get("config", {})
        try:
            secrets = _secrets(entry["name"], config, registry)
        except Exception:  # it is unset, wrong or of a source that is not installed, which a run reports
            shown["sources"][name]["config"] = _without_texts(config)
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


def _hidden(value: Any, redact: Redactor, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _hidden(item, redact, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_hidden(item, redact, name) for item in value]
    if isinstance(value, str):
        return HIDDEN if is_secret_name(name) and not _is_reference(value) else redact(value)
    return value


def _without_texts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_texts(item) for item in value]
    return HIDDEN if isinstance(value, str) and not _is_reference(value) else value


def _is_reference(text: str) -> bool:
    return text.startswith("${") and text.find("}") == len(text) - 1
