# SPDX-License-Identifier: Apache-2.0
"""A source as another system configures it: its options with their references resolved, and what must not be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...contract import ConfigurationError, DataSource, DataSourceError, decode_config
from ...parts.redact import Redactor, secrets_in
from ...parts.references import file_content, resolve, with_dotenv
from ..environment import Environment


@dataclass(frozen=True, slots=True)
class ConfiguredSource:
    """A source that is not connected.

    :param redact: replaces its secrets in a text. :param secrets: the secrets of its options, and what references of
        the kinds ``secret`` and ``file`` stand for.
    """

    source: DataSource[Any]
    redact: Redactor
    secrets: frozenset[str]


def configured_source(
    name: str, options: Mapping[str, Any], environment: Environment, *, location: str, folder: Path
) -> ConfiguredSource:
    """Create the source of a registered name.

    :param options: as in ``[sources.<id>.config]`` of a flow file. :param location: their place, for errors.
    :param folder: the base of relative paths.
    :raises ConfigurationError: naming the option, its value and what was expected.
    """
    cls = environment.registry.source(name)
    lookups = {"file": file_content(folder), **with_dotenv(environment.lookups, folder)}
    resolved = resolve(dict(options), lookups, location=location)
    redact = Redactor.of(resolved)
    try:
        config = decode_config(
            resolved.data,
            cls.config_type,
            location=location,
            folder=folder,
            lenient=resolved.whole,
            sensitive=frozenset(resolved.paths),
        )
        redact = Redactor.of(resolved, config)
        source = cls(config)
    except ConfigurationError as error:
        text = redact(str(error))
        raise type(error)(text if text.startswith(location) else f"{location}: {text}") from None
    except Exception as error:
        raise DataSourceError(redact(f"{location}: {type(error).__name__}: {error}")) from None
    return ConfiguredSource(source, redact, frozenset(resolved.secrets) | (frozenset(secrets_in(config)) - {""}))
