"""Children: of changed or several parents, in batches, with fields of any ancestor, and of parents that are gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from support import Api, read
from vdk.plugin.datasource_base.contract import ConfigurationError

Make = Callable[..., Any]
ORGS = [{"id": 1, "login": "ann", "at": 1}, {"id": 2, "login": "bob", "at": 1}]
STREAMS: dict[str, dict[str, Any]] = {
    "orgs": {"name": "orgs", "primary_key": "id"},
    "repos": {"name": "repos", "path": "orgs/{org}/repos", "parent": {"stream": "orgs", "bind": {"org": "id"}}},
}


class Forge(Api):
    """Two organisations with two repositories each, and what hangs on those."""

    def __init__(self, server: HTTPServer) -> None:
        self.orgs = [dict(org) for org in ORGS]
        super().__init__(server, self._find)

    def _find(self, asked: Request) -> Any:
        parts = asked.path.removeprefix("/v1/").split("/")
        if parts == ["orgs"]:
            return self.orgs
        if parts[-1] == "repos":
            return [{"id": 10 * int(parts[1]) + number, "name": f"r{number}"} for number in (1, 2)]
        return [{"url": asked.path.removeprefix("/v1/"), "ids": asked.args.get("ids")}]


def test_only_changed_parents_are_read(source: Make, httpserver: HTTPServer) -> None:
    """What changed is in the parent's record; a child is requested again as soon as that differs, and not before."""
    forge = Forge(httpserver)
    child = {**STREAMS["repos"], "parent": {**STREAMS["repos"]["parent"], "only_changed": "at"}, "primary_key": "id"}
    made = source(forge.url, STREAMS["orgs"], child)
    assert made.stream("repos").incremental
    states = read(made, "repos").states
    forge.orgs[1]["at"] = 2
    forge.orgs.append({"id": 3, "at": None})
    landed = read(made, "repos", states)
    assert landed.partitions == ["org=2", "org=3"]
    assert "org=3" not in landed.states  # without a value, a parent is read in each run
    assert read(made, "repos", states | landed.states).partitions == ["org=3"]
    del forge.orgs[0]
    assert read(made, "repos", states | landed.states).states == {"org=1": {}}


def test_a_changed_parent_keeps_the_cursor_of_its_children(source: Make, httpserver: HTTPServer) -> None:
    """Two reasons to skip a record work together, and a child that fails is read again."""
    orgs = [{"id": 1, "at": "2026-01-01T00:00:00Z"}]
    status = 200

    def answer(asked: Request) -> Any:
        if asked.path.endswith("orgs"):
            return orgs
        return [{"n": 7}] if status == 200 else Response("{}", status=status)

    api = Api(httpserver, answer)
    child = {
        "name": "events",
        "path": "orgs/{org}/events",
        "cursor": {"field": "n", "type": "integer", "param": "after"},
        "parent": {"stream": "orgs", "bind": {"org": "id"}, "only_changed": True},
    }
    made = source(api.url, {**STREAMS["orgs"], "cursor": {"field": "at"}}, child)
    states = read(made, "events").states
    orgs[0]["at"] = "2026-01-02T00:00:00Z"
    status = 404
    with pytest.raises(ConfigurationError, match="404"):
        read(made, "events", states)
    ignoring = source(
        api.url,
        {**STREAMS["orgs"], "cursor": {"field": "at"}},
        {**child, "responses": [{"status": 404, "action": "ignore"}]},
    )
    assert read(ignoring, "events", states).states.get("org=1", {}).get("parent") != "2026-01-02T00:00:00Z"
    status = 200
    second = read(made, "events", states)
    assert api.urls()[-1] == "orgs/1/events?after=7"
    assert second.states["org=1"]["parent"] == "2026-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("child", "requests"),
    [
        pytest.param(
            {
                "path": "files/{org}/{repo}",
                "parent": {"stream": "repos", "bind": {"repo": "name", "org": "orgs:login"}},
            },
            ["files/ann/r1", "files/ann/r2", "files/bob/r1", "files/bob/r2"],
            id="fields of any ancestor",
        ),
        pytest.param(
            {
                "path": "orgs/{org}/to/{other}",
                "parent": [{"stream": "orgs", "bind": {"org": "id"}}, {"stream": "orgs", "bind": {"other": "login"}}],
            },
            ["orgs/1/to/ann", "orgs/1/to/bob", "orgs/2/to/ann", "orgs/2/to/bob"],
            id="several parents",
        ),
        pytest.param(
            {
                "path": "lookup",
                "params": {"ids": "{ids}"},
                "parent": {"stream": "repos", "bind": {"ids": "id"}, "batch": 3},
            },
            ["lookup?ids=11,12,21", "lookup?ids=22"],
            id="batches",
        ),
        pytest.param(
            {
                "path": "lookup",
                "params": {"id": "{ids}"},
                "parent": {"stream": "orgs", "bind": {"ids": "id"}, "batch": 9, "separator": ""},
            },
            ["lookup?id=1&id=2"],
            id="a batch as a repeated parameter",
        ),
    ],
)
def test_children_take_values_of_their_parents(source: Make, httpserver: HTTPServer, child: Any, requests: Any) -> None:
    """One partition for each combination or batch, and each is a request."""
    forge = Forge(httpserver)
    landed = read(source(forge.url, *STREAMS.values(), {"name": "child", **child}), "child")
    assert [url for url in forge.urls() if url != "orgs" and not url.endswith("repos")] == requests
    assert len(landed.rows) == len(requests)


def test_a_child_that_is_gone_is_a_delete(source: Make, httpserver: HTTPServer) -> None:
    """The key of the parent is the key of the row; a state says that it was read."""
    api = Api(
        httpserver,
        lambda asked: (
            ORGS
            if asked.path.endswith("orgs")
            else Response("gone", status=404)
            if asked.path.endswith("2")
            else {"id": 1}
        ),
    )
    child = {
        "name": "detail",
        "path": "orgs/{id}",
        "primary_key": "id",
        "parent": {"stream": "orgs", "bind": {"id": "id"}, "only_changed": "at"},
        "responses": [{"status": 404, "action": "delete"}],
    }
    landed = read(source(api.url, STREAMS["orgs"], child), "detail")
    assert landed.deleted == [{"id": 2}]
    assert set(landed.states) == {"id=1", "id=2"}


def test_requests_of_a_stream_at_once_are_limited(source: Make, httpserver: HTTPServer) -> None:
    """Some APIs allow one request at a time for some of their endpoints."""
    running, most, both = 0, 0, threading.Lock()
    second_waits = threading.Event()

    def answer(asked: Request) -> Any:
        nonlocal running, most
        with both:
            running += 1
            most = max(most, running)
        second_waits.wait(0.1)
        with both:
            running -= 1
        return [{"id": asked.args["x"]}]

    api = Api(httpserver, answer)
    stream = {"name": "items", "params": {"x": "{x}"}, "slices": [{"x": n} for n in range(4)]}
    made = source(api.url, {**stream, "max_parallel_requests": 1})
    threads = [threading.Thread(target=lambda p=p: list(p.read({}))) for p in made.stream("items").partitions({})]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(api.asked), most) == (4, 1)


@pytest.mark.parametrize(
    ("parent", "more", "problem"),
    [
        ({"stream": "repos", "bind": {"x": "org:login"}}, {}, "'org', which is not an ancestor .* ancestors are orgs"),
        ({"stream": "orgs", "bind": {"x": "id"}, "only_changed": True}, {}, "'orgs' has no cursor; name the field"),
        ({"stream": "orgs", "bind": {"x": "id"}, "batch": 2, "include": ["id"]}, {}, "a batch has several parents"),
        ([{"stream": "orgs", "bind": {"x": "id"}}] * 2, {}, "two parents bind 'x'"),
        ({"stream": "orgs", "bind": {"x": "orgs:id["}}, {}, "not an ancestor"),
        (
            {"stream": "orgs", "bind": {"x": "id"}},
            {"responses": [{"status": 404, "action": "delete"}]},
            "deletes need a primary_key",
        ),
        (
            {"stream": "orgs", "bind": {"x": "id"}},
            {"responses": [{"status": 404, "action": "delete"}], "primary_key": "id"},
            r'take \'id\' from the parent, as in parent = \{ stream = "...", bind = \{ id = "id" \} \}',
        ),
    ],
)
def test_parents_that_do_not_fit(source: Make, parent: Any, more: Any, problem: str) -> None:
    """Before any request."""
    with pytest.raises(ConfigurationError, match=problem):
        source(
            "http://127.0.0.1:9", *STREAMS.values(), {"name": "child", "path": "child/{x}", "parent": parent, **more}
        )
