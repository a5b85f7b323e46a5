"""OpenLineage events: built into the classes of its client, and in pairs of a start and an end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support import Lab, Whole, counting, payload
from vdk.plugin.datasource_base import DataSourcePayload, FlowFailedError, StreamSchema
from vdk.plugin.datasource_base.contract import State
from vdk.plugin.datasource_base.runtime import execute

NUMBERS = StreamSchema(pa.schema([("n", pa.int64())]))


def failing(state: State) -> Iterator[DataSourcePayload]:
    yield payload({"n": 1}, state={"next": 1})
    raise ValueError("no more")


def events_of(lab: Lab, path: Path) -> list[dict[str, Any]]:
    lab.script(Whole("numbers", counting(3), NUMBERS), Whole("failing", failing, NUMBERS))
    with pytest.raises(FlowFailedError):
        execute(lab.flow(), lab.environment(openlineage=path))
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_every_stream_has_a_start_and_an_end_with_its_datasets(lab: Lab, tmp_path: Path) -> None:
    """Within the run of the flow; another run appends its own."""
    path = tmp_path / "events.ndjson"
    events = events_of(lab, path)
    assert sorted((event["job"]["name"], event["eventType"]) for event in events) == [
        ("flow", "FAIL"), ("flow", "START"),
        ("flow.src.failing", "FAIL"), ("flow.src.failing", "START"),
        ("flow.src.numbers", "COMPLETE"), ("flow.src.numbers", "START"),
    ]  # fmt: skip
    whole = next(event for event in events if event["job"]["name"] == "flow")
    complete = next(event for event in events if event["eventType"] == "COMPLETE")
    assert complete["run"]["facets"]["parent"]["run"] == {"runId": whole["run"]["runId"]}
    (read,), (landed,) = complete["inputs"], complete["outputs"]
    assert (read["namespace"], read["name"]) == ("the data", "numbers")
    assert landed["facets"]["schema"]["fields"] == [{"name": "n", "type": "int64"}]
    assert landed["outputFacets"]["outputStatistics"]["rowCount"] == 3
    failed = [event for event in events if event["eventType"] == "FAIL"]
    assert all("no more" in event["run"]["facets"]["errorMessage"]["message"] for event in failed)
    first_ids = {event["run"]["runId"] for event in events}
    again = events_of(lab, path)
    assert again[: len(events)] == events
    assert len({event["run"]["runId"] for event in again}) == 2 * len(first_ids) == 6


def test_events_fit_the_classes_of_openlineages_client(lab: Lab, tmp_path: Path) -> None:
    """Which check ids, times and URLs, and have no other fields than the specification."""
    client = pytest.importorskip("openlineage.client.event_v2")
    from openlineage.client import facet_v2

    kinds = {
        "parent": (
            facet_v2.parent_run.ParentRunFacet,
            {"run": facet_v2.parent_run.Run, "job": facet_v2.parent_run.Job},
        ),
        "errorMessage": (facet_v2.error_message_run.ErrorMessageRunFacet, {}),
        "jobType": (facet_v2.job_type_job.JobTypeJobFacet, {}),
        "schema": (facet_v2.schema_dataset.SchemaDatasetFacet, {}),
        "outputStatistics": (facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet, {}),
    }

    def built(facets: dict[str, Any]) -> dict[str, Any]:
        result = {}
        for name, facet in facets.items():
            kind, parts = kinds[name]
            values = {key: value for key, value in facet.items() if not key.startswith("_")}
            for part, part_kind in parts.items():
                values[part] = part_kind(**values[part])
            result[name] = kind(**values)
            specified = result[name]._get_schema()
            assert facet["_schemaURL"].rpartition("/")[2] == specified.rpartition("/")[2]
        return result

    for event in events_of(lab, tmp_path / "events.ndjson"):
        run, job = event["run"], event["job"]
        client.RunEvent(
            eventType=client.RunState(event["eventType"]),
            eventTime=event["eventTime"],
            run=client.Run(runId=run["runId"], facets=built(run["facets"])),
            job=client.Job(namespace=job["namespace"], name=job["name"], facets=built(job["facets"])),
            producer=event["producer"],
            inputs=[
                client.InputDataset(each["namespace"], each["name"], facets=built(each["facets"]))
                for each in event["inputs"]
            ],
            outputs=[
                client.OutputDataset(
                    each["namespace"],
                    each["name"],
                    facets=built(each["facets"]),
                    outputFacets=built(each.get("outputFacets", {})),
                )
                for each in event["outputs"]
            ],
        )
