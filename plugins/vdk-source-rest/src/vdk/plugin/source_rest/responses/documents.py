# SPDX-License-Identifier: Apache-2.0
"""Bodies that are one document: XML as values like those of JSON, and tables of Parquet and Arrow as records."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import rows_of

from ..http.types import Row
from .decoders import DecodeError


def decode_xml(content: bytes) -> dict[str, Any]:
    """An element as the object of its attributes (``@name``), its children by name, and its text (``#text``).

    Equal names are a list; an element with only a text is that text, an empty one is None. Namespaces are left out.

    :raises DecodeError: for what is not XML, and for entities and external references, which could read files.
    """
    try:
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import ParseError, fromstring
    except ImportError:
        raise ConfigurationError(
            "the response is XML, which needs defusedxml; pip install 'vdk-source-rest[xml]'"
        ) from None
    try:
        root = fromstring(content)
        return {_local(root.tag): _value(root)}
    except ParseError as error:
        is_cut = "no element found" in str(error) or "unclosed" in str(error)
        raise DecodeError(f"it is not valid XML: {error}", cut=is_cut) from None
    except DefusedXmlException as error:
        raise DecodeError(f"it has XML that is not read: {error}") from None
    except RecursionError:
        raise DecodeError("it is nested too deeply") from None


def _value(element: Any) -> Any:
    fields: dict[str, Any] = {f"@{_local(name)}": value for name, value in element.attrib.items()}
    for child in element:
        name, value = _local(child.tag), _value(child)
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], _Repeated):
            fields[name].append(value)
        else:
            fields[name] = _Repeated([fields[name], value])
    text = (element.text or "").strip()
    if not fields:
        return text or None
    return {**fields, "#text": text} if text else fields


class _Repeated(list[Any]):
    """The values of equal names."""


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def decode_table(content: bytes, format_: str) -> list[Row]:
    """The records of a file of Parquet, or of Arrow's stream or file format."""
    try:
        if format_ == "parquet":
            import pyarrow.parquet as pq

            table = pq.read_table(pa.BufferReader(content))
        elif content.startswith(b"ARROW1"):
            table = pa.ipc.open_file(pa.BufferReader(content)).read_all()
        else:
            table = pa.ipc.open_stream(pa.BufferReader(content)).read_all()
    except (pa.ArrowException, OSError) as error:
        raise DecodeError(f"it is not valid {format_}: {error}", cut=True) from None
    return list(rows_of(table, text=True))  # a time that is finer than Python's is a text, with all its digits
