"""What an answer comes to: records, nothing, try again, or an error that shows the request and the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.client import responses as REASONS
from typing import Any

import requests

from vdk.plugin.datasource_base.contract import AuthenticationError, ConfigurationError, DataSourceError

from .config import CsvConfig, StreamConfig
from .decoders import Malformed, csv_rows, json_lines, kind_of
from .http.body import Truncated, Unfit, pieces, whole
from .http.client import EmptyAnswer, Unauthorized, lowered, retry_later
from .http.connections import reader_of
from .http.rate_limit import until_reset
from .http.types import Request, Response, Row
from .http.urls import shown
from .response_rules import RETRIED, ResponseRule, rule_for

START = 300
"""Characters of an answer that an error shows."""
_SEARCHED = 65536
_RATE_LIMIT = re.compile(rb"rate.?limit|too.?many.?requests|throttl|quota.?exceeded|limit.?exceeded", re.IGNORECASE)


@dataclass(slots=True)
class Answer:
    """A good answer.

    :param body: parsed; None where it is read line by line.
    :param lines: its records, a list at a time, where it is read line by line.
    :param ended: there are no records and no further pages.
    :param ignored: it had a content, and a rule says that it has no records.
    :param accepted: a rule says that it is a success, whatever it looks like.
    """

    response: Response
    body: Any = None
    lines: Iterator[Sequence[Row]] | None = None
    ended: bool = False
    ignored: bool = False
    accepted: bool = False
    close: Callable[[], None] = field(default=lambda: None)


class Judge:
    """Judges the answers of one stream.

    :param parse: makes a value of a response.
    :param redact: takes secrets out of a text.
    """

    def __init__(
        self,
        stream: StreamConfig,
        *,
        parse: Callable[[Response], Any],
        redact: Callable[[str], str],
        limit: int,
        now: Callable[[], float],
    ) -> None:
        self._stream = stream
        self._rules = stream.responses or []
        self._parse = parse
        self._redact = redact
        self._limit = limit
        self._now = now

    def __call__(self, request: Request, raw: requests.Response) -> Answer:
        """:raises ConnectionFailedError: where the request may be repeated."""
        response = Response(request, raw.url, raw.status_code, lowered(raw.headers))
        handed_over = False
        try:
            if self._streamed(response):
                answer = Answer(response, lines=self._lines(raw, response), close=raw.close)
                handed_over = True
                return answer
            response.content = whole(raw, self._limit)
            return self._of_whole(response)
        except Truncated as error:
            raise Truncated(f"{self.named(response)}: {error}") from None
        except Unfit as error:
            raise ConfigurationError(f"{self.named(response)}: {error}") from None
        finally:
            if not handed_over and not response.content:
                raw.close()

    def kind(self, response: Response) -> str:
        said = self._stream.format or "auto"
        return kind_of(response.headers.get("content-type", "")) if said == "auto" else said

    def error(self, response: Response, problem: str) -> DataSourceError:
        """An error that shows the request and the start of the answer."""
        return DataSourceError(f"{self.named(response)}: {self._redact(problem)}{self._start(response)}")

    def named(self, response: Response) -> str:
        return self._redact(f"stream {self._stream.name!r}: {response.request.method} {shown(response.url)}")

    def _streamed(self, response: Response) -> bool:
        """Whether records are read as they come: a body whose content a rule looks at is read whole."""
        lines = self.kind(response) != "json" and not self._stream.cache
        return lines and response.status == 200 and not any(rule.by_content for rule in self._rules)

    def _lines(self, raw: requests.Response, response: Response) -> Iterator[Sequence[Row]]:
        try:
            for rows in self.rows(response, pieces(raw, pauses=True)):
                if rows:
                    reader_of(raw).allow_again()
                yield rows
        except Truncated as error:
            raise Truncated(f"{self.named(response)}: {error}") from None
        except Unfit as error:
            raise ConfigurationError(f"{self.named(response)}: {error}") from None
        finally:
            raw.close()

    def rows(self, response: Response, content: Iterator[bytes]) -> Iterator[Sequence[Row]]:
        """The records of a body that has one a line."""
        numbers, type_ = self._stream.numbers or "exact", response.headers.get("content-type", "")
        try:
            if self.kind(response) == "csv":
                yield from csv_rows(content, type_, self._stream.csv or CsvConfig(), self._limit)
            else:
                yield from json_lines(content, numbers, self._limit)
        except Malformed as error:
            if error.cut:
                raise Truncated(str(error)) from None
            raise self.error(response, str(error)) from None

    def _of_whole(self, response: Response) -> Answer:
        if response.status in (204, 205):
            return Answer(response, ended=True)
        body, malformed = self._parsed(response)
        try:
            rule = rule_for(self._rules, response.status, response.content, body)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.named(response)}: {error}") from None
        if rule is not None:
            if rule.action == "ignore":
                return Answer(response, body, ended=True, ignored=True)
            self._apply(rule, response)
        else:
            self._check_status(response)
        if malformed is None:
            return Answer(response, body, accepted=rule is not None)
        if malformed.cut and not response.content.strip() and response.headers:  # without any, those are cut off, too
            raise self._empty(response)
        if malformed.cut:
            raise Truncated(f"{malformed}{self._start(response)}")
        raise self.error(response, str(malformed))

    def _empty(self, response: Response) -> DataSourceError:
        """The error for an answer without content, which may be cut off where it does not say how long it is."""
        error = self.error(
            response,
            f"a list of records was expected, and the server answered {response.status} without any content. If this "
            'means that there are none, add responses = [{ empty = true, action = "ignore" }]',
        )
        return error if _is_whole(response) else EmptyAnswer(str(error))

    def _parsed(self, response: Response) -> tuple[Any, Malformed | None]:
        """The body, or why it is none; an error's body need not be of the kind that is read."""
        try:
            return self._parse(response), None
        except Malformed as error:
            return None, error

    def _apply(self, rule: ResponseRule, response: Response) -> None:
        if rule.action == "retry":
            error = retry_later(response.status, response.headers, self._now())
            error.args = (f"{self.named(response)}: {error} and a rule says to retry{self._start(response)}",)
            raise error
        if rule.action == "fail":
            raise self.error(response, f"the server answered {response.status}, and a rule says that this is an error")

    def _check_status(self, response: Response) -> None:
        status = response.status
        if 200 <= status < 300:
            return
        if status in RETRIED or (status == 403 and self._is_rate_limit(response)):
            error = retry_later(status, response.headers, self._now())
            error.args = (f"{self.named(response)}: {error}{self._start(response)}",)
            raise error
        if status == 401:
            raise Unauthorized
        told = f"{self.named(response)}: the server answered {status} {REASONS.get(status, '')}".rstrip()
        if status == 403:
            raise AuthenticationError(
                f"{told}: these credentials may not read this{self._start(response)}. If it is a rate limit, add "
                'responses = [{ status = 403, action = "retry" }]'
            )
        raise ConfigurationError(
            f"{told}{self._start(response)}. If such answers are to be expected, say what they mean with responses"
        )

    def _is_rate_limit(self, response: Response) -> bool:
        """Whether a 403 means "later" (GitHub, Google and AWS answer so): by its headers, or by its text."""
        if "retry-after" in response.headers or until_reset(response.headers, self._now()) is not None:
            return True
        return _RATE_LIMIT.search(response.content[:_SEARCHED]) is not None

    def _start(self, response: Response) -> str:
        """The beginning of a body, for a person; secrets are taken out before it is cut."""
        text = self._redact(response.content[:_SEARCHED].decode("utf-8", "replace"))
        return f"; the answer begins: {' '.join(text.split())[:START]!r}" if text.strip() else "; the answer is empty"


def _is_whole(response: Response) -> bool:
    """Whether the answer says where its end is (RFC 9112, section 6.3); else it may be cut off."""
    return "content-length" in response.headers or "transfer-encoding" in response.headers
