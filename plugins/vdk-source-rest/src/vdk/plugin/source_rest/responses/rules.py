# SPDX-License-Identifier: Apache-2.0
"""Response rules: which action a response leads to, by its status and content; configured ones come first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta

from vdk.plugin.datasource_base.contract import DataSourceConfig

from ..http.rate_limit import retry_wait
from ..http.types import HttpResponse
from .extract import search

Action = Literal["ignore", "retry", "fail", "accept", "delete"]

RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that mean "not now" (RFC 9110, section 15; RFC 6585; RFC 8470)."""
SEARCHED_BYTES = 65536
"""The part of a body that is searched for words, and for the start that an error shows."""
_RATE_LIMIT = re.compile(rb"rate.?limit|too.?many.?requests|throttl|quota.?exceeded|limit.?exceeded", re.IGNORECASE)


class ResponseRule(DataSourceConfig):
    """A rule about responses. It applies if all its conditions do."""

    action: Annotated[
        Action,
        Meta(
            description="ignore (no records, no further pages), retry, fail, accept (treat it as a success), or delete "
            "(the record of the parent is gone: its row is deleted)"
        ),
    ]
    status: Annotated[int | str | None, Meta(description='a status, or "4xx" for all of a class. Default: any')] = None
    empty: Annotated[bool | None, Meta(description="whether the response has no content. Default: either")] = None
    contains: Annotated[str | None, Meta(description="a text in the response")] = None
    when: Annotated[str | None, Meta(description="a JMESPath to a value other than null, false or an empty one")] = None

    @property
    def by_content(self) -> bool:
        return self.contains is not None or self.when is not None or self.empty is not None

    def applies(self, status: int, content: bytes, body: Any) -> bool:
        if self.status is not None:
            pattern = str(self.status).replace("x", r"\d").replace("X", r"\d")
            if not re.fullmatch(pattern, str(status)):
                return False
        if self.empty is not None and self.empty == bool(content.strip()):
            return False
        if self.contains is not None and self.contains.encode() not in content:
            return False
        return self.when is None or bool(search(self.when, body))


def find_rule(rules: Sequence[ResponseRule], status: int, content: bytes, body: Any) -> ResponseRule | None:
    """The first rule that applies to a response."""
    return next((rule for rule in rules if rule.applies(status, content, body)), None)


def is_retryable(response: HttpResponse, now: float) -> bool:
    """Whether a response means "later": by its status, or a 403 by its headers or text (GitHub, Google and AWS)."""
    if response.status != 403:
        return response.status in RETRIED_STATUSES
    if retry_wait(response.headers, now) is not None or "retry-after" in response.headers:
        return True
    return _RATE_LIMIT.search(response.content[:SEARCHED_BYTES]) is not None
