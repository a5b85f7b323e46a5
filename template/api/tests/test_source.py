"""What is particular to this source. TODO: what can go wrong with your API, and what the user reads then."""

from __future__ import annotations

import datetime as dt
from email.utils import format_datetime
from typing import Any

import pytest

from server import TOKEN, HelpDesk, ticket
from vdk.plugin import datasource_base as base
from vdk.plugin.source_acme import source as ours


def config(server: HelpDesk, **options: Any) -> ours.AcmeConfig:
    return ours.AcmeConfig(url=server.url, token=base.Secret(TOKEN), **options)


def read(server: HelpDesk, state: Any = None, **options: Any) -> list[base.DataSourcePayload]:
    return list(ours.Tickets(config(server, **options)).read(state or {}))


def ids(payloads: list[base.DataSourcePayload]) -> list[str]:
    pages: list[Any] = [payload.data for payload in payloads]
    return [row["id"] for rows in pages for row in rows]


def test_all_pages_are_read_oldest_change_first(help_desk: HelpDesk) -> None:
    help_desk.add(ticket("1", 60), ticket("2", 0), ticket("3", 30))
    assert ids(read(help_desk, page_rows=1)) == ["2", "3", "1"]
    assert len(help_desk.queries) == 3


def test_a_second_run_requests_what_changed_since_the_state_less_the_lookback(help_desk: HelpDesk) -> None:
    help_desk.add(ticket("1", 0), ticket("2", 50), ticket("3", 60))
    state = read(help_desk)[-1].state
    assert ids(read(help_desk, state, lookback=base.Duration(seconds=10))) == ["2", "3"]
    assert help_desk.queries[-1]["updated_since"] == "2026-03-01T00:00:50+00:00"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_when_it_says(help_desk: HelpDesk, status: int) -> None:
    """The runtime retries after this error, and waits as long as the server asks for."""
    help_desk.failures.append((status, {"Retry-After": "7"}))
    with pytest.raises(base.ConnectionFailedError, match=f"not available now \\({status}\\)") as raised:
        read(help_desk)
    assert raised.value.retry_after == 7


@pytest.mark.parametrize(
    ("header", "seconds"),
    [({}, None), ({"Retry-After": "soon"}, None), ({"Retry-After": "Sun, 01 Mar 2026 00:00:00 GMT"}, 0)],
)
def test_a_retry_after_header_may_be_missing_wrong_or_a_date(
    help_desk: HelpDesk, header: dict[str, str], seconds: float | None
) -> None:
    help_desk.failures.append((503, header))
    with pytest.raises(base.ConnectionFailedError) as raised:
        read(help_desk)
    assert raised.value.retry_after == seconds


def test_a_date_to_come_is_that_many_seconds_ahead(help_desk: HelpDesk) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    help_desk.failures.append((503, {"Retry-After": format_datetime(later, usegmt=True)}))
    with pytest.raises(base.ConnectionFailedError) as raised:
        read(help_desk)
    assert 50 < (raised.value.retry_after or 0) <= 60


def test_a_wrong_address_is_not_retried(help_desk: HelpDesk) -> None:
    """It is the user who changes something."""
    help_desk.failures.append((404, {}))
    with pytest.raises(base.ConfigurationError, match="answers 404 Not Found, expected 200: check `url`"):
        ours.AcmeSource(config(help_desk)).check()


def test_a_state_of_something_else_is_refused(help_desk: HelpDesk) -> None:
    with pytest.raises(base.StateError, match="state reset"):
        read(help_desk, {"page": 3})
