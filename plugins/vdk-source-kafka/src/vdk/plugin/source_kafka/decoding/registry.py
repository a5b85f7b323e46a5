"""Schemas of Avro messages: from a schema registry, each fetched once, or from a file."""

from __future__ import annotations

import base64
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import msgspec

from vdk.plugin.datasource_base import AuthenticationError, ConfigurationError, ConnectionFailedError

from ..config import Format, SchemaRegistry
from ..process import PerProcess

MAX_BYTES = 16 * 2**20
"""The largest answer of a registry that is read."""
_ACCEPT = "application/vnd.schemaregistry.v1+json, application/json"


@dataclass(frozen=True)
class Schema:
    """A parsed Avro schema, and its id in the registry; None: from a file."""

    parsed: Any
    id: int | None = None


class _Answer(msgspec.Struct):
    """What a registry answers about a schema; other members of the JSON are left out."""

    schema: str
    id: int | None = None
    schemaType: str = "AVRO"  # the registry's spelling
    references: list[dict[str, Any]] = []


class Schemas(PerProcess):
    """The schemas of a source. Thread-safe; another process fetches each once for all of its partitions.

    :param seconds: how long the registry may not answer.
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
        """The schema that messages with this id were written with; a text: why there is none.

        :raises ConnectionFailedError: the registry does not answer.
        """
        with self._lock:
            if schema_id not in self._writers:
                self._writers[schema_id] = self._fetch_writer(schema_id)
            return self._writers[schema_id]

    def reader(self, part: Format, subject: str, *, newer_than: int | None = None) -> Schema:
        """The schema that messages are read as: the file's, else the newest of the subject.

        :param newer_than: fetch it again where it is the one with this id.
        :raises ConfigurationError: there is none, or it is not an Avro schema.
        """
        with self._lock:
            known = self._readers.get(subject)
            if known is None or (newer_than is not None and known.id == newer_than):
                known = _from_file(part.schema_file) if part.schema_file is not None else self._newest(subject)
                self._readers[subject] = known
            return known

    def _fetch_writer(self, schema_id: int) -> Schema | str:
        answer = self._get(f"schemas/ids/{schema_id}")
        if answer is None:
            return f"the schema registry has no schema with the id {schema_id}"
        try:
            return Schema(self._parsed(answer, f"schema {schema_id}"), schema_id)
        except ConfigurationError as error:
            return str(error)

    def _newest(self, subject: str) -> Schema:
        answer = self._get(f"subjects/{urllib.parse.quote(subject, safe='')}/versions/latest")
        if answer is None:
            raise ConfigurationError(
                f"the schema registry {self._url} has no subject {subject!r}; register its schema, or add "
                'schema_file = "path.avsc" beside format = "avro"'
            )
        return Schema(self._parsed(answer, f"subject {subject!r}"), answer.id)

    def _parsed(self, answer: _Answer, what: str) -> Any:
        if answer.schemaType != "AVRO":
            raise ConfigurationError(f"{what}: expected an Avro schema, the registry has {answer.schemaType}")
        return _parse(answer.schema, what, self._references(answer, what, {}))

    def _references(self, answer: _Answer, what: str, named: dict[str, Any]) -> dict[str, Any]:
        """The named types of the schemas that a schema refers to, by name; each schema once."""
        for reference in answer.references:
            if reference["name"] in named:
                continue
            subject = urllib.parse.quote(str(reference["subject"]), safe="")
            found = self._get(f"subjects/{subject}/versions/{int(reference['version'])}")
            if found is None:
                raise ConfigurationError(f"{what}: the registry lacks {reference['subject']!r}, which it refers to")
            self._references(found, what, named)
            _parse(found.schema, what, named)
        return named

    @property
    def _url(self) -> str:
        assert self._registry is not None
        return self._registry.url.rstrip("/")

    def _get(self, path: str) -> _Answer | None:
        """One answer; None where the registry has nothing there. Credentials go to ``url`` alone."""
        registry = self._registry
        assert registry is not None
        request = urllib.request.Request(f"{self._url}/{path}", headers={"Accept": _ACCEPT})
        if registry.username is not None:
            password = registry.password.reveal() if registry.password is not None else ""
            credentials = base64.b64encode(f"{registry.username}:{password}".encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {credentials}")
        what = f"schema registry {self._url}, {path}"
        try:
            with self._opener.open(request, timeout=self._seconds) as response:
                body = response.read(MAX_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                _check_status(error.code, what)
            return None
        except (OSError, HTTPException) as error:
            raise ConnectionFailedError(f"{what}: {error}") from None
        try:
            return msgspec.json.decode(body, type=_Answer)
        except (msgspec.MsgspecError, UnicodeError):
            raise ConfigurationError(f"{what}: the answer is not a schema; check schema_registry.url") from None


def _check_status(code: int, what: str) -> None:
    """Raise for every status but 404, which is an answer."""
    if code in (401, 403):
        raise AuthenticationError(f"{what}: HTTP {code}; check username and password of schema_registry")
    if 300 <= code < 400:
        raise ConfigurationError(
            f"{what}: redirects to another address, which gets no credentials; set schema_registry.url to it"
        )
    if code != 404:
        raise ConnectionFailedError(f"{what}: HTTP {code}")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """None: a redirect is an error."""


def _from_file(path: Path) -> Schema:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"schema_file {path}: {error}") from None
    return Schema(_parse(text, f"schema_file {path}", {}))


def _parse(text: str, what: str, named: dict[str, Any]) -> Any:
    fastavro = import_fastavro()
    try:
        return fastavro.parse_schema(json.loads(text), named_schemas=named)
    except (
        fastavro.schema.SchemaParseException,
        fastavro.schema.UnknownType,
        ValueError,
        KeyError,
        TypeError,
    ) as error:
        raise ConfigurationError(f"{what}: not a valid Avro schema: {error!r}") from None


def import_fastavro() -> Any:
    """The library, which is an extra of this distribution. Raises ``ConfigurationError`` where it is missing."""
    try:
        import fastavro
    except ModuleNotFoundError:
        raise ConfigurationError("avro needs fastavro: pip install 'vdk-source-kafka[avro]'") from None
    return fastavro


def named_types(schema: Any) -> Mapping[str, Any]:
    """The records, enums and fixed types of a parsed schema by their full names."""
    found = schema.get("__named_schemas", {}) if isinstance(schema, dict) else {}
    return found if isinstance(found, Mapping) else {}
