# SPDX-License-Identifier: Apache-2.0
"""Schemas of Avro messages, from a schema registry or from a file; each is fetched once."""

from __future__ import annotations

import base64
import threading
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import msgspec

from vdk.plugin.datasource_base import AuthenticationError, ConfigurationError, ConnectionFailedError

from ..config import Format, SchemaRegistry
from ..process import PerProcess
from .avro_schema import parse_schema

MAX_BYTES = 16 * 2**20
"""The largest response of a registry that is read."""
_ACCEPT = "application/vnd.schemaregistry.v1+json, application/json"


@dataclass(frozen=True)
class Schema:
    """A parsed Avro schema, and its id in the registry; None for the schema of a file."""

    parsed: Any
    id: int | None = None


class _Response(msgspec.Struct):
    """The response of a registry about a schema; other members of the JSON are ignored."""

    schema: str
    id: int | None = None
    schemaType: str = "AVRO"  # the registry's spelling
    references: list[dict[str, Any]] = []


class Schemas(PerProcess):
    """The schemas of a source. Thread-safe; another process fetches each schema once for all its partitions.

    :param seconds: the longest wait for the registry.
    """

    def __init__(self, registry: SchemaRegistry | None, seconds: float) -> None:
        super().__init__(registry, seconds)
        self._registry, self._seconds = registry, seconds
        self._writers: dict[int, Schema | str] = {}
        self._readers: dict[str, Schema] = {}
        self._lock = threading.Lock()
        if registry is not None:
            self._opener = urllib.request.build_opener(_NoRedirects())

    @property
    def has_registry(self) -> bool:
        return self._registry is not None

    def writer(self, schema_id: int) -> Schema | str:
        """The schema that messages with this id were written with; a text is the reason why it is not available.

        :raises ConnectionFailedError: the registry is unreachable.
        """
        with self._lock:
            if schema_id not in self._writers:
                self._writers[schema_id] = self._fetch_writer(schema_id)
            return self._writers[schema_id]

    def reader(self, part: Format, subject: str, *, newer_than: int | None = None) -> Schema:
        """The schema that messages are read with: the schema of the file, otherwise the newest of the subject.

        :param newer_than: fetch the schema again if the known one has this id.
        :raises ConfigurationError: the schema does not exist, or is not an Avro schema.
        """
        with self._lock:
            known = self._readers.get(subject)
            if known is None or (newer_than is not None and known.id == newer_than):
                known = _from_file(part.schema_file) if part.schema_file is not None else self._newest(subject)
                self._readers[subject] = known
            return known

    def _fetch_writer(self, schema_id: int) -> Schema | str:
        response = self._get(f"schemas/ids/{schema_id}")
        if response is None:
            return f"the schema registry lacks a schema with the id {schema_id}"
        try:
            return Schema(self._parsed(response, f"schema {schema_id}"), schema_id)
        except ConfigurationError as error:
            return str(error)

    def _newest(self, subject: str) -> Schema:
        response = self._get(f"subjects/{urllib.parse.quote(subject, safe='')}/versions/latest")
        if response is None:
            raise ConfigurationError(
                f"the schema registry {self._url} lacks the subject {subject!r}; register its schema, or write "
                '{ format = "avro", schema_file = "path.avsc" }'
            )
        return Schema(self._parsed(response, f"subject {subject!r}"), response.id)

    def _parsed(self, response: _Response, what: str) -> Any:
        if response.schemaType != "AVRO":
            raise ConfigurationError(f"{what}: expected an Avro schema, and the registry has {response.schemaType}")
        return parse_schema(response.schema, what, self._references(response, what, {}))

    def _references(self, response: _Response, what: str, named: dict[str, Any]) -> dict[str, Any]:
        """The named types of all schemas that a schema refers to, by name; each schema is fetched once."""
        for reference in response.references:
            if reference["name"] in named:
                continue
            subject = urllib.parse.quote(str(reference["subject"]), safe="")
            referenced = self._get(f"subjects/{subject}/versions/{int(reference['version'])}")
            if referenced is None:
                raise ConfigurationError(
                    f"{what}: refers to {reference['subject']!r}, which the registry lacks; register it"
                )
            self._references(referenced, what, named)
            parse_schema(referenced.schema, what, named)
        return named

    @property
    def _url(self) -> str:
        assert self._registry is not None
        return self._registry.url.rstrip("/")

    def _get(self, path: str) -> _Response | None:
        """The response to a GET request; None for a 404. Credentials are sent to ``url`` only."""
        registry = self._registry
        assert registry is not None
        request = urllib.request.Request(f"{self._url}/{path}", headers={"Accept": _ACCEPT})
        if registry.username is not None:
            password = registry.password.reveal() if registry.password is not None else ""
            credentials = base64.b64encode(f"{registry.username}:{password}".encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {credentials}")
        what = f"schema registry {self._url}, {path}"
        try:
            with self._opener.open(request, timeout=self._seconds) as stream:
                body = stream.read(MAX_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                _check_status(error.code, what)
            return None
        except (OSError, HTTPException) as error:
            raise ConnectionFailedError(f"{what}: {error}") from None
        try:
            return msgspec.json.decode(body, type=_Response)
        except (msgspec.MsgspecError, UnicodeError):
            raise ConfigurationError(f"{what}: the response is not a schema; check schema_registry.url") from None


def _check_status(code: int, what: str) -> None:
    """Raise for every status except 404."""
    if code in (401, 403):
        raise AuthenticationError(f"{what}: HTTP {code}; check username and password of schema_registry")
    if 300 <= code < 400:
        raise ConfigurationError(
            f"{what}: redirects to another address, and credentials are not sent there; set schema_registry.url to it"
        )
    if code != 404:
        raise ConnectionFailedError(f"{what}: HTTP {code}")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Return None, which makes a redirect an error."""


def _from_file(path: Path) -> Schema:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(
            f"schema_file {path} cannot be read: {error}; expected an .avsc file in UTF-8"
        ) from None
    return Schema(parse_schema(text, f"schema_file {path}", {}))
