# SPDX-License-Identifier: Apache-2.0
"""A flow file for an API that an OpenAPI document describes."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from ...contract import ConfigurationError, DataSource
from ...contract.toml import toml_value
from ..plugins.registry import Registry
from ..plugins.urls import method_of_target

_SOURCE_ID = "api"


def read_document(path: Path) -> Mapping[str, Any]:
    """The document in a file of JSON, or of YAML if PyYAML is installed.

    :raises ConfigurationError: for a file that is neither.
    """
    try:
        text = path.read_text("utf-8")
        document = json.loads(text) if text.lstrip().startswith("{") else _yaml(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"--openapi: {path} cannot be read ({error}); it is a file of JSON or YAML") from None
    if not isinstance(document, Mapping):
        raise ConfigurationError(f"--openapi: {path} is not an OpenAPI document; its JSON or YAML is not an object")
    return document


def _yaml(text: str) -> Any:
    try:
        yaml = importlib.import_module("yaml")  # of PyYAML, which JSON does without
    except ImportError:
        raise ConfigurationError(
            "--openapi: the document is YAML, which needs PyYAML; pip install pyyaml, or give the JSON of it"
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def openapi_flow_text(
    source: type[DataSource[Any]], document: Mapping[str, Any], target: str, registry: Registry, path: Path
) -> str:
    """The text of a flow file that lands what the document describes.

    :raises ConfigurationError: for a document that describes no list, and for a target that no destination has.
    """
    method = method_of_target(target, registry)
    file = quote(str(path))
    config = source.config_of_openapi(document, _SOURCE_ID)
    return (
        f"# Check it: vdk datasource check {file}\n# Run it:   vdk datasource run {file}\n\n"
        f"[sources.{_SOURCE_ID}]\nname = {toml_value(source.source_name)}\n\n{config}\n"
        f"[destinations.lake]\nmethod = {toml_value(method)}\ntarget = {toml_value(target)}\n\n"
        f'[[flows]]\nfrom = "{_SOURCE_ID}"\nto = "lake"\n'
    )
