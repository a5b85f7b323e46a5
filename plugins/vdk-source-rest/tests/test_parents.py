"""Child streams and slices: one partition each, whose states come and go with them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request as Asked
from werkzeug import Response as Reply

from support import read
from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceError

Make = Callable[..., Any]


class Forge:
    """Repositories, their issues, and the comments of those."""

    def __init__(self, server: HTTPServer) -> None:
        self.repos: list[dict[str, Any]] = [{"id": 1, "full_name": "ann/a b"}, {"id": 2, "full_name": "bob/ä?#"}]
        self.asked: list[str] = []
        self.url = server.url_for("/v1")
        server.expect_request("/v1/repos").respond_with_handler(self._repos)
        server.expect_request(_Starting("/v1/repos/")).respond_with_handler(self._below)

    def _repos(self, asked: Asked) -> Reply:
        self.asked.append(asked.path)
        return _json(self.repos)

    def _below(self, asked: Asked) -> Reply:
        self.asked.append(asked.path)
        rest = unquote(asked.path).removeprefix("/v1/repos/")
        if rest.endswith("/comments"):
            return _json([{"text": f"on {rest}"}])
        repo = rest.removesuffix("/issues")
        return _json([{"number": number, "title": f"{repo} {number}", "at": number} for number in (1, 2)])


def _Starting(text: str) -> Any:
    import re

    return re.compile(re.escape(text) + ".*")


def _json(value: Any) -> Reply:
    return Reply(json.dumps(value), content_type="application/json")


@pytest.fixture
def forge(httpserver: HTTPServer) -> Forge:
    return Forge(httpserver)


REPOS: dict[str, Any] = {"name": "repos", "primary_key": "id"}
ISSUES: dict[str, Any] = {
    "name": "issues",
    "path": "repos/{repo}/issues",
    "parent": {"stream": "repos", "bind": {"repo": "full_name"}, "include": ["id", "full_name"]},
}
COMMENTS: dict[str, Any] = {
    "name": "comments",
    "path": "repos/{repo}/issues/{number:segment}/comments",
    "parent": {
        "stream": "issues",
        "bind": {"repo": "repos_full_name", "number": "number"},
        "include": {"issue": "number"},
    },
}


def test_a_child_is_read_for_each_of_its_parents(source: Make, forge: Forge) -> None:
    """Placeholders are filled and percent-encoded, a slash stays one, and the parent's fields land with each record."""
    landed = read(source(forge.url, REPOS, ISSUES), "issues")
    assert landed.partitions == ["repo=ann%2Fa%20b", "repo=bob%2F%C3%A4%3F%23"]
    assert [(row["title"], row["repos_id"]) for row in landed.rows] == [
        ("ann/a b 1", 1),
        ("ann/a b 2", 1),
        ("bob/ä?# 1", 2),
        ("bob/ä?# 2", 2),
    ]


def test_a_grandchild_is_read_for_each_child(source: Make, forge: Forge) -> None:
    """A child's records, with its parent's fields, are parents too."""
    landed = read(source(forge.url, REPOS, ISSUES, COMMENTS), "comments")
    assert [(row["text"], row["issue"]) for row in landed.rows][:2] == [
        ("on ann/a b/issues/1/comments", 1),
        ("on ann/a b/issues/2/comments", 2),
    ]
    assert len(landed.rows) == 4


def test_parents_are_read_lazily(source: Make, forge: Forge) -> None:
    """The first partition is there before all parents are read; a parent that comes twice counts once."""
    forge.repos += forge.repos
    made = source(forge.url, REPOS, ISSUES)
    partitions = iter(made.stream("issues").partitions({}))
    assert next(partitions).id == "repo=ann%2Fa%20b"
    assert len(list(partitions)) == 1


def test_states_are_kept_where_the_parents_answer_is_ignored(source: Make, forge: Forge) -> None:
    """A list of parents that a rule ignores does not show that they are gone: their children would land again."""
    issues = {**ISSUES, "cursor": {"field": "at", "type": "integer"}}
    repos = {**REPOS, "responses": [{"when": "error", "action": "ignore"}]}
    made = source(forge.url, repos, issues)
    first = read(made, "issues")
    forge.repos = {"error": "maintenance"}  # type: ignore[assignment]  # what an API sends instead of a list
    assert list(made.stream("issues").partitions(first.states)) == []


def test_a_parent_whose_cursor_cannot_be_read_has_children(source: Make, forge: Forge) -> None:
    """The record is a bad one for the parent's table, and what hangs on it is not skipped silently."""
    forge.repos = [{"id": 1, "full_name": "ann/a b", "at": "soon"}]
    repos = {**REPOS, "cursor": {"field": "at"}}
    assert len(read(source(forge.url, repos, ISSUES), "issues").rows) == 2


def test_states_of_parents_that_are_gone_are_forgotten(source: Make, forge: Forge) -> None:
    """Else the states of all parents that ever existed would be kept."""
    issues = {**ISSUES, "cursor": {"field": "at", "type": "integer"}}
    made = source(forge.url, REPOS, issues)
    first = read(made, "issues")
    assert set(first.states) == {"repo=ann%2Fa%20b", "repo=bob%2F%C3%A4%3F%23"}
    del forge.repos[0]
    second = read(made, "issues", first.states)
    assert second.states == {"repo=ann%2Fa%20b": {}, "repo=bob%2F%C3%A4%3F%23": first.states["repo=bob%2F%C3%A4%3F%23"]}
    assert second.rows == []


def test_states_stay_when_the_parents_cannot_be_read(source: Make, forge: Forge, httpserver: HTTPServer) -> None:
    """A list of parents that breaks off does not say that the others are gone."""
    forge.repos.append({"id": 3, "full_name": None})
    made = source(forge.url, REPOS, ISSUES)
    got: list[str] = []
    with pytest.raises(DataSourceError, match=r"'full_name', which is not a value for .*\[\?full_name\]"):
        got.extend(partition.id for partition in made.stream("issues").partitions({"old": {"v": 1}}))
    assert "old" not in got


@pytest.mark.parametrize("name", ["..", ".", "a/../b", "", "/x", "a//b"])
def test_a_value_that_leads_to_another_path_is_refused(source: Make, forge: Forge, name: str) -> None:
    """A record of the parent is data, and cannot choose which path the credentials go to."""
    forge.repos = [{"id": 1, "full_name": name}]
    with pytest.raises(DataSourceError, match="another path"):
        read(source(forge.url, REPOS, ISSUES), "issues")


def test_a_segment_keeps_its_slash_encoded(source: Make, forge: Forge, httpserver: HTTPServer) -> None:
    """{name:segment} is one segment, as GitLab wants its project names."""
    raw: list[str] = []

    def note(asked: Asked) -> Reply:
        raw.append(asked.environ["RAW_URI"] if "RAW_URI" in asked.environ else asked.environ["REQUEST_URI"])
        return _json([])

    httpserver.expect_request(_Starting("/v1/projects/")).respond_with_handler(note)
    child = {**ISSUES, "path": "projects/{repo:segment}/issues"}
    read(source(forge.url, REPOS, child), "issues")
    assert raw[0] == "/v1/projects/ann%2Fa%20b/issues"


def test_slices_are_partitions(source: Make, forge: Forge, httpserver: HTTPServer) -> None:
    """Declared values fill placeholders in paths, parameters and bodies, with their types."""
    bodies: list[Any] = []

    def note(asked: Asked) -> Reply:
        bodies.append((asked.path, dict(asked.args), asked.get_json()))
        return _json([{"id": len(bodies)}])

    httpserver.expect_request(_Starting("/v1/region/")).respond_with_handler(note)
    stream = {
        "name": "sales",
        "method": "POST",
        "path": "region/{region}",
        "params": {"q": "year:{year}", "y": "{year}"},
        "body": {"year": "{year}", "query": "{ sales {id} }"},
        "slices": [{"region": "eu", "year": 2025}, {"region": "us", "year": 2026}],
    }
    landed = read(source(forge.url, stream), "sales")
    assert landed.partitions == ["region=eu&year=2025", "region=us&year=2026"]
    assert bodies[1] == ("/v1/region/us", {"q": "year:2026", "y": "2026"}, {"year": 2026, "query": "{ sales {id} }"})


def test_a_column_of_the_parent_does_not_hide_a_field(source: Make, forge: Forge) -> None:
    """Two values for one column would be one lost."""
    child = {**ISSUES, "parent": {**ISSUES["parent"], "include": {"title": "full_name"}}}
    with pytest.raises(ConfigurationError, match="a field 'title' of their own"):
        read(source(forge.url, REPOS, child), "issues")


@pytest.mark.parametrize(("cache", "times"), [(True, 1), (False, 3)])
def test_parents_may_be_asked_for_once(source: Make, forge: Forge, cache: bool, times: int) -> None:
    """With cache, two children and the parent itself share its answers until the run ends."""
    made = source(forge.url, {**REPOS, "cache": cache}, ISSUES, {**ISSUES, "name": "more"})
    for _ in range(2):
        forge.asked.clear()
        read(made, "repos")
        read(made, "issues")
        read(made, "more")
        assert forge.asked.count("/v1/repos") == times
        made.disconnect()


def test_partitions_travel(source: Make, forge: Forge) -> None:
    """A partition can be read in another process: it carries its configuration and no connection."""
    made = source(forge.url, REPOS, ISSUES)
    for partition in made.stream("issues").partitions({}):
        copy = pickle.loads(pickle.dumps(partition))
        rows = [row for payload in copy.read({}) for row in payload.data or ()]
        copy.context.disconnect()
        assert len(rows) == 2
        assert copy.id == partition.id
