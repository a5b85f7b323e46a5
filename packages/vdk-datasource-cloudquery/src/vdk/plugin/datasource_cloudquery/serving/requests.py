# SPDX-License-Identifier: Apache-2.0
"""What the requests of CloudQuery's plugin protocol, version 3, do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Any, NoReturn
from urllib.parse import quote

import grpc
from cloudquery.plugin_v3 import plugin_pb2 as pb

from vdk.plugin.datasource_base.contract import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DataSource,
    DataSourceError,
)
from vdk.plugin.datasource_base.parts import Redactor, Registry
from vdk.plugin.datasource_base.runtime import redacted_logs

from ..source.json_schema import json_schema
from ..source.session import Session, disconnect
from ..source.spec import MakeSource, Spec
from ..sync.sync import Sync, failed_alone
from ..tables.record_batches import schema_message

log = logging.getLogger(__name__)

MAX_DETAILS = 4000
"""Bytes of an error, as HTTP/2 encodes it: clients refuse headers of more than 8 KiB."""
CLOSE_SECONDS = 10.0
"""How long a request waits until a former configuration's source is disconnected."""


class Requests:
    """Answers the requests for one source. Each method is the request of this name.

    :param made: makes the source, instead of the options of a spec: for tests.
    """

    def __init__(self, name: str, made: MakeSource | None = None) -> None:
        self._name = name
        self._made = made
        self._session: Session | None = None
        self._running: Sync | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the sync that runs, and disconnect the source. Idempotent."""
        sync, session = self._running, self._session
        if sync is not None:
            sync.stop()
        elif session is not None:
            session.close()

    def version(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _Errors(context):
            return pb.GetVersion.Response(version=_version_of(self._source_class()))

    def spec_schema(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _Errors(context):
            return pb.GetSpecSchema.Response(json_schema=json_schema(self._source_class().config_type))

    def init(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Validate the spec. It never connects: GetTables does, since a database alone knows its tables."""
        with _Errors(context):
            if request.no_connection and request.spec.strip() in (b"", b"null", b"{}"):
                self._replace(None)  # asked for its documentation, without a configuration
            else:
                self._replace(Session(self._parsed(request.spec)))
            return pb.Init.Response()

    def tables(self, request: Any, context: grpc.ServicerContext) -> Any:
        session = self._configured(context)
        with _Errors(context, session.spec.redact), redacted_logs(session.spec.redact):
            selected = session.catalog().select(
                list(request.tables), list(request.skip_tables), skip_dependent=request.skip_dependent_tables
            )
            for each in selected:
                if each.error is not None:
                    raise each.error
            return pb.GetTables.Response(tables=[schema_message(each.table.schema()) for each in selected])

    def sync(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        session = self._configured(context)
        if not session.syncing.acquire(blocking=False):
            _abort(context, grpc.StatusCode.FAILED_PRECONDITION, _BUSY)
        try:
            self._running = sync = Sync(session, request)
            context.add_callback(sync.stop)
            yield from sync.messages()
            if sync.error is not None:
                _report(context, sync.error, session.spec.redact)
        finally:
            self._running = None
            session.syncing.release()

    def test_connection(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _Errors(context):
            self._source_class()
        try:
            spec = self._parsed(request.spec)
        except ConfigurationError as error:
            return _failure("INVALID_SPEC", str(error))
        except DataSourceError as error:
            return _failure("OTHER", str(error))
        with redacted_logs(spec.redact):
            source = spec.make()
            try:
                source.check()
            except Exception as error:
                log.error("%s", spec.redact(_text(error)))
                return _failure(_failure_code(error), spec.redact(_text(error)))
            finally:
                disconnect(source, spec.redact)
        return pb.TestConnection.Response(success=True)

    def end(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _Errors(context):
            self._replace(None)
            return pb.Close.Response()

    def _parsed(self, content: bytes) -> Spec:
        return Spec.parse(self._source_class(), content, self._made)

    def _source_class(self) -> type[DataSource[Any]]:
        return type(self._made()) if self._made is not None else Registry().source(self._name)

    def _configured(self, context: grpc.ServicerContext) -> Session:
        session = self._session
        if session is None:
            _abort(context, grpc.StatusCode.FAILED_PRECONDITION, "the source is not configured: send Init with a spec")
        return session

    def _replace(self, session: Session | None) -> None:
        """Use another configuration from now on. Raises ``DataSourceError`` while a sync runs.

        A source that hangs while it connects, for a client that is gone, is disconnected once it has connected.
        """
        with self._lock:
            if self._running is not None:
                raise DataSourceError(_BUSY)
            former, self._session = self._session, session
            if former is not None:
                closing = threading.Thread(target=former.close, name="close", daemon=True)
                closing.start()
                closing.join(CLOSE_SECONDS)


_BUSY = "a sync runs on this server; start another server for another source"


def _version_of(source_class: type) -> str:
    """The version of the distribution that has the source."""
    package = source_class.__module__.split(".")
    if package[:2] == ["vdk", "plugin"]:  # a namespace of many distributions
        names = [f"vdk-{package[2].replace('_', '-')}"]
    else:
        names = list(packages_distributions().get(package[0], ()))
    for name in names:
        with suppress(PackageNotFoundError):
            return f"v{version(name)}"
    return "development"


def _failure(code: str, description: str) -> Any:
    return pb.TestConnection.Response(success=False, failure_code=code, failure_description=description)


def _failure_code(error: Exception) -> str:
    if isinstance(error, AuthenticationError):
        return "UNAUTHORIZED"
    if isinstance(error, ConfigurationError):
        return "INVALID_SPEC"
    return "UNREACHABLE" if isinstance(error, (ConnectionFailedError, ConnectionError, TimeoutError)) else "OTHER"


def _text(error: BaseException) -> str:
    """The error's message; with its type, unless it is one of the contract's."""
    return str(error) if isinstance(error, DataSourceError) else f"{type(error).__name__}: {error}"


def _status(error: BaseException) -> grpc.StatusCode:
    error = failed_alone(error)
    if isinstance(error, AuthenticationError):
        return grpc.StatusCode.UNAUTHENTICATED
    if isinstance(error, ConfigurationError):
        return grpc.StatusCode.INVALID_ARGUMENT
    return grpc.StatusCode.INTERNAL


class _Errors:
    """Ends the request with an error's own text, without secrets, rather than with a traceback."""

    def __init__(self, context: grpc.ServicerContext, redact: Redactor | None = None) -> None:
        self._context = context
        self._redact = redact or Redactor()

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            _report(self._context, error, self._redact)


def _report(context: grpc.ServicerContext, error: BaseException, redact: Redactor) -> NoReturn:
    text = redact(_text(error))
    log.error("%s", text)
    _abort(context, _status(error), text)


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, text: str) -> NoReturn:
    while len(quote(text)) > MAX_DETAILS:
        text = f"{text[: len(text) * 9 // 10 - 1]}…"
    context.abort(code, text)
    raise AssertionError("abort raises")
