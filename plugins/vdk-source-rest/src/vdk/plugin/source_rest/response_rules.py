"""What an answer means: by its status, and by what it says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta

from vdk.plugin.datasource_base.contract import DataSourceConfig

from .extract import find

Action = Literal["ignore", "retry", "fail", "accept"]

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that say "not now" (RFC 9110, section 15; RFC 6585; RFC 8470)."""


class ResponseRule(DataSourceConfig):
    """A rule about answers. What it names must all fit."""

    action: Annotated[
        Action,
        Meta(description="ignore (no records, no further pages), retry, fail, or accept (take it for a success)"),
    ]
    status: Annotated[int | str | None, Meta(description='a status, or "4xx" for all of a class. Default: any')] = None
    empty: Annotated[bool | None, Meta(description="whether the answer has no content. Default: either")] = None
    contains: Annotated[str | None, Meta(description="a text in the answer")] = None
    when: Annotated[
        str | None, Meta(description="a JMESPath that finds something other than null, false or nothing")
    ] = None

    def fits_status(self, status: int) -> bool:
        if self.status is None:
            return True
        return bool(re.fullmatch(str(self.status).replace("x", r"\d").replace("X", r"\d"), str(status)))

    @property
    def by_content(self) -> bool:
        return self.contains is not None or self.when is not None or self.empty is not None

    def fits_content(self, content: bytes, body: Any) -> bool:
        if self.empty is not None and self.empty == bool(content.strip()):
            return False
        if self.contains is not None and self.contains.encode() not in content:
            return False
        return self.when is None or bool(find(self.when, body))


def rule_for(rules: Sequence[ResponseRule], status: int, content: bytes, body: Any) -> ResponseRule | None:
    """The first rule that fits an answer."""
    return next((rule for rule in rules if rule.fits_status(status) and rule.fits_content(content, body)), None)
