"""That the source is a CloudQuery plugin too. The checks are skipped where they are not installed."""

# mypy: allow-subclassing-any, disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

from collections.abc import Mapping

import pytest

from server import HelpDesk, Row, ticket
from test_conformance import MakeSource, make_source

pytest.importorskip(
    "vdk.plugin.datasource_cloudquery",
    reason="to check it as a CloudQuery plugin: python -m pip install 'vdk-datasource-cloudquery[testing]'",
)

from vdk.plugin.datasource_cloudquery.testing import CloudQueryConformance  # only where it is installed


class TestAcmeForCloudQuery(CloudQueryConformance):
    @pytest.fixture
    def rows(self, help_desk: HelpDesk) -> list[Row]:
        rows = [ticket(str(number), second) for number, second in enumerate([-100, -400, -200, -100])]
        help_desk.add(*rows)
        return rows

    @pytest.fixture
    def source(self, help_desk: HelpDesk, rows: list[Row]) -> MakeSource:
        return lambda: make_source(help_desk.url)

    @pytest.fixture
    def expected(self, rows: list[Row]) -> Mapping[str, list[Row]]:
        return {"tickets": rows}

    @pytest.fixture
    def bad_source(self, help_desk: HelpDesk) -> MakeSource:
        return lambda: make_source(f"{help_desk.url}/nowhere")
