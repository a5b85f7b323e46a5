# SPDX-License-Identifier: Apache-2.0
"""One ``[[flows]]`` entry, validated, with what its run shares: retries, redaction, the stop event."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ....contract import ConfigurationError
from ....parts.columns.policy import ColumnPolicy
from ....parts.columns.transform import Transform, load_transform
from ....parts.flow.file import FlowEntry, LoadedFlow, StreamSelection
from ....parts.redact import Redactor
from ...environment import Environment
from ...options import Options
from ...retry import Retry
from ...scope import RunScope
from ...signals import Interruption
from .ownership import TableOwners
from .reject_limit import RejectLimit
from .stream_plan import check_metadata_columns, check_template

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow that is valid as far as that can be known before any connection is opened.

    :param location: its place in the file, which begins an error.
    :param stop: set when readers must end, for whatever reason.
    :param owners: the tables that the flows of the file have claimed.
    :param redact: replaces the secrets in a text.
    :param reads_all_streams: whether ``entry.streams`` are all streams of the flow in the file.
    :param selection: the streams of the flow that this run reads. :param scope: what it reads of them.
    """

    entry: FlowEntry
    location: str
    options: Options
    template: str
    transform: Transform | None
    policy: ColumnPolicy | None
    run_id: str
    stop: threading.Event
    interruption: Interruption
    owners: TableOwners
    redact: Redactor
    selection: StreamSelection = field(default_factory=StreamSelection)
    scope: RunScope = field(default_factory=RunScope)
    reads_all_streams: bool = True

    @classmethod
    def from_file(
        cls,
        loaded: LoadedFlow,
        number: int,
        environment: Environment,
        *,
        owners: TableOwners,
        redact: Redactor,
        interruption: Interruption | None = None,
        selection: StreamSelection | None = None,
    ) -> Flow:
        """The file's flow of that number. Raises ``ConfigurationError`` if its entry is wrong."""
        entry, location = loaded.file.flows[number], f"{loaded.location}: flows[{number}]"
        check_metadata_columns(entry.metadata_columns, location)
        _check_max_rejected(entry.max_rejected, location)
        options = environment.options.for_flow(entry)
        if entry.max_rejected is not None and options.on_bad_record == "fail":
            log.warning(
                '%s.max_rejected has no effect: the first bad row fails its stream; write on_bad_record = "reject"',
                location,
            )
        return cls(
            entry=entry,
            location=location,
            options=options,
            template=check_template(entry.destination_table or "{table}", location),
            transform=load_transform(entry.transform, folder=loaded.folder, location=location),
            policy=_policy(loaded, number, location),
            run_id=environment.run_id,
            stop=environment.stop,
            interruption=interruption or Interruption(environment.stop, environment.options.stop_seconds),
            owners=owners,
            redact=redact,
            selection=selection or StreamSelection(),
            scope=environment.scope,
            reads_all_streams=not environment.one_stream,
        )

    def retry(self) -> Retry:
        return Retry.of(self.options)

    def with_retries(self, work: Callable[[], T], *, what: str | None = None) -> T:
        """Return what the work returns, calling it again after each retryable error.

        :param what: names what fails in the log; default: the source.
        """
        return self.retry().call(work, what=what or self._source, stop=self.stop, redact=self.redact)

    def pause(self, retry: Retry, error: BaseException) -> None:
        """Wait until the next attempt to reach the source; raise the error if there is none."""
        retry.pause(error, what=self._source, stop=self.stop, redact=self.redact)

    @property
    def _source(self) -> str:
        return f"source {self.entry.from_!r}"


def _policy(loaded: LoadedFlow, number: int, location: str) -> ColumnPolicy | None:
    """The flow's column policy. Raises ``ConfigurationError``, also for a salt that is written into the file."""
    entry = loaded.file.flows[number]
    if entry.salt is not None and entry.salt.reveal() not in loaded.resolved.values:
        raise ConfigurationError(
            f'{location}.salt: it is a secret, and is not written into a file; write salt = "${{env:SALT}}", '
            '"${file:salt.txt}" or "${secret:salt}"'
        )
    salt = entry.salt.reveal() if entry.salt is not None else None
    return ColumnPolicy.parse(entry.columns, salt, location)


def _check_max_rejected(value: int | str | None, location: str) -> None:
    """Refuse a ``max_rejected`` that is not a limit, and 0, which could mean none or any number."""
    try:
        if value is not None and RejectLimit.parse(value).count == 0:
            raise ValueError('write max_rejected = "100%" to allow any number, or on_bad_record = "fail" to allow none')
    except ValueError as error:
        raise ConfigurationError(f"{location}.max_rejected: {value!r}: {error}") from None
