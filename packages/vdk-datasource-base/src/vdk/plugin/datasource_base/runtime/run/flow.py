"""What one ``[[flows]]`` entry says, checked, with what surrounds it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ...contract import ConfigurationError
from ...parts.flow_file import FlowEntry, LoadedFlow
from ...parts.transform import Transform, load_transform
from ..environment import Environment
from ..options import Options
from ..retry import RETRYABLE_ERRORS, Retry
from ..signals import Interruption
from .counters import Tolerance
from .ownership import Claims
from .plan import check_metadata_columns, check_template

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow that is known to be right as far as that can be known before anything connects.

    :param stop: set when readers are to end, for whatever reason.
    :param claims: what the flows of the file have taken, to refuse two that undo each other's work.
    :param redact: takes secrets out of a text.
    """

    entry: FlowEntry
    where: str
    options: Options
    template: str
    transform: Transform | None
    run_id: str
    stop: threading.Event
    interruption: Interruption
    claims: Claims
    redact: Callable[[str], str]

    @classmethod
    def of(
        cls,
        loaded: LoadedFlow,
        number: int,
        environment: Environment,
        *,
        claims: Claims,
        redact: Callable[[str], str],
        interruption: Interruption | None = None,
    ) -> Flow:
        """The file's flow of that number. Raises ``ConfigurationError`` for what is wrong in its entry."""
        entry, where = loaded.file.flows[number], f"{loaded.location}: flows[{number}]"
        check_metadata_columns(entry.metadata_columns, where)
        _check_tolerance(entry.max_rejected, where)
        said = environment.options.for_flow(entry)
        if entry.max_rejected is not None and said.on_bad_record == "fail":
            log.warning('%s.max_rejected holds for on_bad_record = "reject" only: the first bad row fails', where)
        return cls(
            entry=entry,
            where=where,
            options=said,
            template=check_template(entry.destination_table or "{table}", where),
            transform=load_transform(entry.transform, folder=loaded.folder, location=where),
            run_id=environment.run_id,
            stop=environment.stop,
            interruption=interruption or Interruption(environment.stop, environment.options.stop_seconds),
            claims=claims,
            redact=redact,
        )

    def retry(self) -> Retry:
        return Retry(self.options.retry_attempts, self.options.retry_seconds, self.options.retry_delay)

    def retrying(self, work: Callable[[], T], *, what: str | None = None) -> T:
        """Do work, again where what it needs is away. ``what`` names it in the log; default: the source."""
        retry = self.retry()
        while True:
            try:
                return work()
            except RETRYABLE_ERRORS as error:
                self.pause(retry, error, what=what)

    def pause(self, retry: Retry, error: BaseException, *, what: str | None = None) -> None:
        """Wait until the next attempt, or raise the error where there is none."""
        retry.pause(error, what=what or f"source {self.entry.from_!r}", stop=self.stop, redact=self.redact)


def _check_tolerance(said: int | str | None, where: str) -> None:
    """Refuse a ``max_rejected`` that is none, and 0, which could be taken for either end."""
    try:
        if said is not None and Tolerance.parse(said).count == 0:
            raise ValueError('"100%" allows any number; on_bad_record = "fail" allows none')
    except ValueError as error:
        raise ConfigurationError(f"{where}.max_rejected: {said!r}: {error}") from None
