"""Several accounts in one table: several sources, a shared table, and the account in the key."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from support import Lab, Whole
from vdk.plugin.datasource_base import ConfigurationError, DataSourcePayload, FlowFailedError, StreamSchema
from vdk.plugin.datasource_base.runtime import execute


class Ticket(msgspec.Struct):
    id: int
    title: str


def tickets(account: str, *ids: int) -> Whole:
    def of_account(ticket: Ticket) -> str:
        return account

    schema = StreamSchema.of(Ticket, primary_key=("account", "id"), resolve={"account": of_account})
    return Whole("tickets", lambda state: [DataSourcePayload([Ticket(number, account) for number in ids])], schema)


def run(lab: Lab, **entry: Any) -> list[tuple[str, int]]:
    """Run the streams of both sources into one table. Returns the keys of its rows."""
    flows = [lab.flow(source=source, **entry) for source in ("eu", "us")]
    sources = {name: source for flow in flows for name, source in flow["sources"].items()}
    execute({**flows[0], "sources": sources, "flows": [flow["flows"][0] for flow in flows]}, lab.environment())
    return sorted((row["account"], row["id"]) for row in lab.tables["tickets"])


def test_equal_ids_of_two_accounts_are_two_rows(lab: Lab) -> None:
    """In each run: the rows of one account replace those of the same account."""
    lab.script(tickets("eu", 1, 2), source="eu")
    lab.script(tickets("us", 2, 3), source="us")
    for _ in range(2):
        rows = run(lab, shared_table=True, write_mode="upsert")
        assert rows == [("eu", 1), ("eu", 2), ("us", 2), ("us", 3)]


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        ({"write_mode": "upsert"}, "'tickets' of source 'eu' and .* destination_table = \"us_{stream}\", or"),
        ({"shared_table": True, "write_mode": "replace"}, "streams 'eu.tickets' and 'us.tickets' would replace"),
        ({"shared_table": True}, "streams 'eu.tickets' and 'us.tickets' would replace"),
    ],
)
def test_a_table_is_shared_only_on_request_and_never_replaced(lab: Lab, entry: dict[str, Any], names: str) -> None:
    """Nothing is read, and the error names both with their sources."""
    lab.script(tickets("eu", 1), source="eu")
    lab.script(tickets("us", 1), source="us")
    with pytest.raises((ConfigurationError, FlowFailedError), match=names):
        run(lab, **entry)
    assert lab.tables.get("tickets", []) == []
