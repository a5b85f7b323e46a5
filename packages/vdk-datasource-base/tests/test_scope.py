"""Full refreshes and backfills: what they read, what they replace, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jobs import FLOW, Vdk, job
from support import QUICK, AppendOnly, FailEvery, Lab, Split, Whole, counting, numbers, payload
from vdk.plugin.datasource_base import (
    ConfigurationError,
    DataSourcePayload,
    DataSourceStream,
    FlowFailedError,
    StreamSchema,
)
from vdk.plugin.datasource_base.contract import DestinationError, State
from vdk.plugin.datasource_base.runtime import Environment, RunSummary, execute
from vdk.plugin.datasource_base.runtime.inspect.dry_run import dry_run
from vdk.plugin.datasource_base.runtime.scope import RunScope

KEYED = StreamSchema(pa.schema([pa.field("n", pa.int64())]), ("n",))
FULL = RunScope(full_refresh=True)
RANGE = RunScope(since="2", until="4")


def scoped(lab: Lab, scope: RunScope, *streams: str, **entry: Any) -> RunSummary:
    environment: Environment = lab.environment(QUICK)
    environment.scope, environment.streams = scope, streams
    return execute(lab.flow(**entry), environment)


class Ranged(Whole):
    """The numbers up to ten, by page; a range of them has no state, unless ``leaks``."""

    leaks = sweeps = False

    def between(self, begin: str | None, end: str | None) -> DataSourceStream:
        try:
            rows = numbers(int(begin or 0), int(end or 10))
        except ValueError:
            raise ConfigurationError(f"{begin!r} is not a number; write --since 1") from None
        state = {"next": 1} if self.leaks else None

        def read(given: State) -> Iterator[DataSourcePayload]:
            assert given == {}
            yield payload(*rows, state=state)
            if self.sweeps:
                yield payload(*rows, kind="keys")

        return Whole(self.name, read, self._schema, incremental=True)


class TestFullRefresh:
    def test_it_replaces_rows_and_states_and_the_next_run_goes_on(self, lab: Lab) -> None:
        """In the flow's own write mode: of each key the last operation, and of deletes the rows that are left."""

        def read(state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
            begin = state.get("next", 0)
            for page in range(begin, 30, 10):  # each page is staged by itself, as batch_rows is 10
                yield payload(*numbers(page, page + 10), {"n": 0}, state={"next": page + 10})
            if not state:
                yield payload({"n": 25}, kind="deletes", state={"next": 30})

        lab.script(stream := Whole("t", counting(35), KEYED))
        lab.run(stream)
        lab.script(Whole("t", read, KEYED))
        assert lab.states == {("t", ""): {"next": 35}}
        summary = scoped(lab, RunScope(full_refresh=True, confirmed=True))
        assert lab.numbers("t") == [n for n in range(30) if n != 25]
        assert lab.states == {("t", ""): {"next": 30}}
        assert (summary.streams[0].state_before, summary.streams[0].state_after) == (
            {"": {"next": 35}},
            {"": {"next": 30}},
        )
        lab.run(Whole("t", counting(33), KEYED))
        assert lab.numbers("t") == [n for n in range(33) if n != 25]

    def test_states_of_partitions_that_are_gone_go_too(self, lab: Lab) -> None:
        """Else a partition that comes again would go on after rows that were replaced."""
        lab.run(Split("t", {"a": counting(3), "b": counting(2)}), write_mode="append")
        lab.script(Split("t", {"a": counting(6)}))
        scoped(lab, FULL, write_mode="append")
        assert (lab.states, lab.numbers("t")) == ({("t", "a"): {"next": 6}}, [0, 1, 2, 3, 4, 5])

    def test_a_partition_that_another_run_lands_meanwhile_is_not_lost(self, lab: Lab) -> None:
        """Its rows would be replaced, and its state would stay."""
        lab.run(Split("t", {"a": counting(3)}), write_mode="append")

        def meanwhile(number: int) -> None:
            if number == 2:
                lab.run(Split("t", {"new": counting(2)}), write_mode="append")

        lab.script(Split("t", {"a": counting(9, fail_at=meanwhile)}))
        with pytest.raises(FlowFailedError, match="landed partition 'new' while this run was at work"):
            scoped(lab, FULL, write_mode="append")
        assert lab.numbers("t") == [0, 0, 1, 1, 2]

    def test_only_the_chosen_streams_are_replaced(self, lab: Lab) -> None:
        lab.run(Whole("a", counting(3), KEYED), Whole("b", counting(3), KEYED))
        lab.script(Whole("a", counting(5), KEYED), Whole("b", counting(5), KEYED))
        scoped(lab, FULL, "!b")
        assert (lab.numbers("a"), lab.numbers("b")) == ([0, 1, 2, 3, 4], [0, 1, 2])
        assert lab.states == {("a", ""): {"next": 5}, ("b", ""): {"next": 3}}

    def test_one_that_fails_leaves_table_and_state(self, lab: Lab) -> None:
        lab.run(Whole("t", counting(3), KEYED))
        lab.script(Whole("t", counting(20, page=5), KEYED))
        lab.fault(FailEvery("publish", DestinationError("no")))
        with pytest.raises(FlowFailedError):
            scoped(lab, FULL)
        lab.fault(None)
        assert (lab.numbers("t"), lab.states) == ([0, 1, 2], {("t", ""): {"next": 3}})
        lab.run()
        assert lab.numbers("t") == list(range(20))

    @pytest.mark.parametrize(("of_t", "of_u", "table"), [(9, 1, "u"), (1, 9, "t")])
    def test_lost_history_of_each_table_wants_yes(self, lab: Lab, of_t: int, of_u: int, table: str) -> None:
        """Rows of one table do not make up for those of another one of the stream."""

        def rows(of_t: int, of_u: int) -> DataSourceStream:
            sent = [
                payload(*numbers(0, of_t)),
                payload(*numbers(0, of_u), destination_table="u", state={"next": 1}),
            ]
            return Whole("t", lambda state: sent, KEYED, incremental=True)

        lab.run(rows(5, 5))
        lab.script(rows(of_t, of_u))
        with pytest.raises(FlowFailedError, match=f"table '{table}' has 5 rows now, and 1 were read"):
            scoped(lab, FULL)
        assert (lab.numbers("t"), lab.numbers("u")) == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
        scoped(lab, RunScope(full_refresh=True, confirmed=True))
        assert (len(lab.numbers("t")), len(lab.numbers("u"))) == (of_t, of_u)

    @pytest.mark.parametrize("known", [True, False])
    def test_lost_history_wants_yes(self, lab: Lab, known: bool) -> None:
        """Before anything is read if the source can count, else before the table is replaced."""

        class Short(Whole):
            def count_rows(self) -> int | None:
                return 4 if known else None

        lab.run(Whole("t", counting(10), KEYED))
        lab.script(Short("t", lambda _: [payload(*numbers(6, 10), state={"next": 10})], KEYED))
        reason = "the source has 4 at most" if known else "4 were read"
        with pytest.raises(
            (ConfigurationError, FlowFailedError), match=rf"has 10 rows now, and {reason}.* 6 rows.*--yes"
        ):
            scoped(lab, FULL)
        assert lab.numbers("t") == list(range(10))
        scoped(lab, RunScope(full_refresh=True, confirmed=True))
        assert lab.numbers("t") == [6, 7, 8, 9]

    @pytest.mark.parametrize(
        ("entry", "problem"),
        [
            ({"method": "AppendOnly"}, "can only append.*vdk datasource state reset FLOW"),
            ({"shared_table": True}, "shared_table = true.*state reset FLOW --stream t"),
            ({"follow": "5s"}, "leave out --follow"),
        ],
    )
    def test_refused(self, lab: Lab, entry: dict[str, Any], problem: str) -> None:
        lab.script(Whole("t", counting(3), KEYED))
        assert AppendOnly.write_modes == {"append"}
        with pytest.raises(ConfigurationError, match=f"--full-refresh: .*{problem}"):
            scoped(lab, FULL, **entry)
        assert lab.tables == {}


class TestBackfill:
    def test_rows_land_and_the_state_stays(self, lab: Lab) -> None:
        """Half-open; by the flow's own write mode."""
        lab.run(Whole("t", counting(1), KEYED))
        lab.script(Ranged("t", counting(5), KEYED))
        summary = scoped(lab, RANGE)
        assert (lab.numbers("t"), lab.states) == ([0, 2, 3], {("t", ""): {"next": 1}})
        assert summary.streams[0].state_after == {"": {"next": 1}}
        scoped(lab, RunScope(since="3"))
        assert lab.numbers("t") == [0, *range(2, 10)]
        lab.run()
        assert lab.numbers("t") == list(range(10))

    def test_appended_rows_may_be_there_twice(self, lab: Lab) -> None:
        lab.script(Ranged("t", counting(5)))
        scoped(lab, RANGE)  # there is no table yet
        with pytest.raises(ConfigurationError, match=r"--since 2 --until 4: table 't' has 2 rows now.*twice.*--yes"):
            scoped(lab, RANGE)
        scoped(lab, RunScope(since="2", until="4", confirmed=True))
        assert lab.numbers("t") == [2, 2, 3, 3]

    @pytest.mark.parametrize(
        ("what", "problem"), [("leaks", "yields a state in a backfill"), ("sweeps", "yields all its keys in a backf")]
    )
    def test_a_range_yields_no_state_and_no_sweep(self, lab: Lab, what: str, problem: str) -> None:
        """The next run would go on from one, and the other would delete the rows outside the range."""
        lab.run(stream := Ranged("t", counting(5), KEYED))
        setattr(stream, what, True)
        lab.script(stream)
        with pytest.raises(FlowFailedError, match=problem):
            scoped(lab, RANGE)
        assert (lab.states, lab.numbers("t")) == ({("t", ""): {"next": 5}}, [0, 1, 2, 3, 4])

    @pytest.mark.parametrize(
        ("stream", "scope", "entry", "problem"),
        [
            (Whole("t", counting(3)), RANGE, {}, "stream 't' cannot be read by this range: .*; remove --since"),
            (Ranged("t", counting(3), KEYED), RunScope(since="x"), {}, "--since x: stream 't' .*'x' is not a number"),
            (Ranged("t", counting(3), KEYED), RANGE, {"write_mode": "replace"}, 'write_mode = "upsert"'),
            (Ranged("t", counting(3), incremental=False), RANGE, {}, "replaces the table .*; remove --since"),
            (Ranged("t", counting(3), KEYED), RANGE, {"follow": "5s"}, "leave out --follow"),
            (Ranged("t", counting(3), KEYED), RunScope(True, "2"), {}, "remove --full-refresh to read the range"),
            (Ranged("t", counting(3), KEYED), RunScope(since="2", until="2"), {}, "the range is empty"),
            (Ranged("t", counting(3), KEYED), RunScope(since=" "), {}, "--since: the value is empty"),
        ],
    )
    def test_refused(
        self, lab: Lab, stream: DataSourceStream, scope: RunScope, entry: dict[str, Any], problem: str
    ) -> None:
        lab.script(stream)
        with pytest.raises(ConfigurationError, match=problem):
            scoped(lab, scope, **entry)
        assert lab.tables == {}

    @pytest.mark.parametrize(
        ("readable", "remedy"), [("r", "to read the others, add --stream r"), ("rs", "add --stream '!b' --stream '!c'")]
    )
    def test_every_stream_that_is_refused_is_named(self, lab: Lab, readable: str, remedy: str) -> None:
        """At once, with as few options as leave them out; no stream of the others is read."""
        lab.script(
            *(Ranged(name, counting(3), KEYED) for name in readable),
            Ranged("b", counting(3), incremental=False),
            Whole("c", counting(3)),
        )
        problem = f"replaces the table of stream 'b', .*; stream 'c' cannot be read by this range: .*; .*{remedy}$"
        with pytest.raises(ConfigurationError, match=problem):
            scoped(lab, RANGE)
        assert lab.tables == {}


class TestDryRun:
    """``run --dry-run``."""

    def test_it_shows_what_a_run_would_do_and_changes_nothing(self, lab: Lab) -> None:
        lab.run(Whole("t", counting(3), KEYED))
        lab.script(
            Ranged("t", counting(5), KEYED), Whole("all", lambda _: [payload({"n": 1})]), Whole("new", counting(1))
        )
        environment = lab.environment()
        before = (lab.states, {name: list(rows) for name, rows in lab.tables.items()})
        shown = [(item.stream, item.write_mode, item.reads, item.replaces, item.rows_now, item.states) for item in
                 dry_run(lab.flow(), environment)]  # fmt: skip
        assert shown == [
            ("t", "upsert", "new", False, 3, {"": {"next": 3}}),
            ("all", "replace", "everything", True, 0, {}),
            ("new", "append", "new", False, 0, {}),
        ]
        for scope, reads, replaces in ((FULL, "everything", True), (RANGE, "range", False)):
            environment.scope, environment.streams = scope, ("t",)
            (item,) = dry_run(lab.flow(), environment)
            assert (item.reads, item.replaces, item.states) == (reads, replaces, {})
        assert (lab.states, lab.tables) == before

    def test_it_refuses_what_a_run_refuses(self, lab: Lab) -> None:
        lab.script(Whole("t", counting(3), KEYED))
        environment = lab.environment()
        environment.scope = RANGE
        with pytest.raises(ConfigurationError, match="cannot be read by this range"):
            dry_run(lab.flow(), environment)
        environment.scope, environment.streams = FULL, ("!x",)
        with pytest.raises(ConfigurationError, match="--stream '!x': no stream matches"):
            dry_run(lab.flow(), environment)


def test_the_options_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exclusions, too; with -o json the plan is all that is written, with -q the result. What is refused is no run."""
    monkeypatch.chdir(tmp_path)
    file = job(tmp_path, {"a.toml": FLOW.format(method="kept", target=str(tmp_path), upto=5)}) / "a.toml"
    vdk = Vdk()
    done = vdk("datasource", "run", file, "--dry-run", "-o", "json")
    assert ([item["reads"] for item in json.loads(done.stdout)], done.stderr) == (["new"], "")
    assert vdk("datasource", "run", file, "-q").exit_code == 0
    done = vdk("datasource", "run", file, "--dry-run", "-q")
    assert "what is new after next 5" in done.stdout
    for options, problem in (
        (("--dry-run", "--summary", "s.json"), "remove --summary"),
        (("--full-refresh", "--since", "1"), "remove --full-refresh to read the range"),
        (("--since", "1", "--report", "r.html"), "Numbers has no method between; remove --since 1"),
        (("--stream", "!numbers", "--stream", "!x"), "--stream '!x': no stream matches"),
        (("--full-refresh", "--follow", "5s"), "leave out --follow"),
    ):
        refused = vdk("datasource", "run", file, *options)
        assert problem in refused.output, options
        assert refused.exit_code == 2, options
    statuses = [run["status"] for run in json.loads(vdk("datasource", "state", "history", file, "-o", "json").stdout)]
    assert statuses == ["succeeded"]
    assert not Path("r.html").exists()
    assert vdk("datasource", "run", file, "--full-refresh", "-q").exit_code == 0
    assert json.loads(vdk("datasource", "state", "show", file, "-o", "json").stdout)[0]["state"] == {"next": 5}
