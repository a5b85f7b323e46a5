"""That the source is a CloudQuery plugin too. The checks are skipped where they are not installed."""

# mypy: allow-subclassing-any, disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tickets import Row, export, ticket
from vdk.plugin.source_acme import source as ours

pytest.importorskip(
    "vdk.plugin.datasource_cloudquery",
    reason="to check it as a CloudQuery plugin: python -m pip install 'vdk-datasource-cloudquery[testing]'",
)

from vdk.plugin.datasource_cloudquery.testing import CloudQueryConformance  # only where it is installed


class TestAcmeForCloudQuery(CloudQueryConformance):
    @pytest.fixture
    def rows(self, tmp_path: Path) -> list[Row]:
        berlin, sofia = [ticket("1", -100), ticket("2", -50)], [ticket("3", None)]
        export(tmp_path, "berlin", *berlin)
        export(tmp_path, "sofia", *sofia)
        return [*berlin, *sofia]

    @pytest.fixture
    def source(self, tmp_path: Path, rows: list[Row]) -> Callable[[], ours.AcmeSource]:
        config = ours.AcmeConfig(folder=tmp_path, page_rows=1)
        return lambda: ours.AcmeSource(config)

    @pytest.fixture
    def expected(self, rows: list[Row]) -> Mapping[str, list[Row]]:
        return {"tickets": rows}

    @pytest.fixture
    def bad_source(self, tmp_path: Path) -> Callable[[], ours.AcmeSource]:
        config = ours.AcmeConfig(folder=tmp_path / "nowhere")
        return lambda: ours.AcmeSource(config)
