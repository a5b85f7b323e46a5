"""The registry, flow files, references, stream patterns and transforms."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support import FaultyDestination, ScriptedSource
from vdk.plugin.datasource_base import ConfigurationError, DataSourceError, Secret
from vdk.plugin.datasource_base.parts import Registry
from vdk.plugin.datasource_base.parts.columns.transform import Transform, load_transform
from vdk.plugin.datasource_base.parts.flow.file import load_flow, select_streams
from vdk.plugin.datasource_base.parts.references import environment, resolve


class TestRegistry:
    def test_names_lead_to_classes_and_their_case_does_not_matter(self) -> None:
        """A class is imported when it is asked for."""
        registry = Registry(installed=False)
        registry.add("Scripted", "support:ScriptedSource")
        registry.add_destination("Faulty", "support:FaultyDestination")
        assert registry.source("SCRIPTED") is ScriptedSource
        assert registry.destination("faulty") is FaultyDestination
        assert registry.destination("other") is None
        assert [(source.name, source.origin) for source in registry.sources()] == [("scripted", "support")]

    def test_an_unknown_name_is_told_with_the_closest_ones(self) -> None:
        """Or with all there are."""
        registry = Registry(installed=False)
        with pytest.raises(ConfigurationError, match=r"f: unknown source 'x'; there are none"):
            registry.source("x", location="f")
        for name in ("sqlite", "rest"):
            registry.add(name, "support:ScriptedSource")
        with pytest.raises(ConfigurationError, match=r"unknown source 'sqlit'; did you mean 'sqlite'\?"):
            registry.source("sqlit")
        for far in ("zzz", "postgres"):
            with pytest.raises(ConfigurationError, match="expected one of: rest, sqlite"):
                registry.source(far)

    @pytest.mark.parametrize(
        ("location", "message"),
        [
            ("no_such_module:X", "cannot be imported: ModuleNotFoundError"),
            ("support:Nothing", "cannot be imported: AttributeError"),
            ("broken_plugin:Source", "cannot be imported: RuntimeError: boom"),
            ("support:Lab", "is not a DataSource declared with @data_source"),
        ],
    )
    def test_a_broken_plugin_harms_only_the_flows_that_use_it(
        self, location: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is listed, the others work, and using it says what is wrong and whose it is."""
        (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('boom')", "utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        registry = Registry(installed=False)
        registry.add("broken", location)
        registry.add("scripted", "support:ScriptedSource")
        assert [source.name for source in registry.sources()] == ["broken", "scripted"]
        assert registry.source("scripted") is ScriptedSource
        with pytest.raises(ConfigurationError, match=message):
            registry.source("broken")

    def test_a_destination_must_be_one(self) -> None:
        """A class that is none is refused when it is used."""
        registry = Registry(installed=False)
        registry.add_destination("wrong", "support:ScriptedSource")
        with pytest.raises(ConfigurationError, match="is not a Destination"):
            registry.destination("wrong")

    def test_a_destination_may_be_a_function_that_returns_one(self) -> None:
        """So that one method can have a class for each kind of target."""
        registry = Registry(installed=False)
        registry.add_destination("faulty", "support:faulty_destination")
        factory = registry.destination("faulty")
        assert factory is not None
        assert isinstance(factory("memory", folder=Path()), FaultyDestination)

    def test_a_name_registered_twice_is_refused_where_it_is_used(self) -> None:
        """Both are listed and named; the same class registered again is no second one."""
        registry = Registry(installed=False)
        registry.add("x", "support:ScriptedSource")
        registry.add("x", "support:ScriptedSource")
        assert registry.source("x") is ScriptedSource
        registry.add("X", "other:Source")
        with pytest.raises(ConfigurationError, match=r"'x' is registered twice: as support.* and as other:Source"):
            registry.source("x")
        assert [source.import_path for source in registry.sources()] == ["support:ScriptedSource", "other:Source"]

    def test_installed_plugins_are_found_without_importing_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By their entry points."""
        info = tmp_path / "acme-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n", "utf-8")
        (info / "entry_points.txt").write_text("[vdk.datasource.sources]\nAcme = not_importable:S\n", "utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        registered = {source.name: source for source in Registry().sources()}
        assert (registered["acme"].import_path, registered["acme"].origin) == ("not_importable:S", "acme")


WHOLE = """
[sources.shop]
name = "sqlite"
[destinations.lake]
method = "arrow"
target = "duckdb:///lake.duckdb"
[[flows]]
from = "shop"
to = "lake"
"""


def loaded(text: str, tmp_path: Path) -> Any:
    path = tmp_path / "orders.ingest.toml"
    path.write_text(text, "utf-8")
    return load_flow(path, {"env": environment})


class TestFlowFiles:
    def test_a_flow_file_says_what_it_says_and_no_more(self, tmp_path: Path) -> None:
        """What it leaves open is the run's default."""
        flow = loaded(WHOLE, tmp_path)
        entry = flow.file.flows[0]
        assert (entry.from_, entry.to, entry.streams, entry.write_mode) == ("shop", "lake", None, None)
        assert (flow.location, flow.folder) == ("orders.ingest.toml", tmp_path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ('to = "lake"|to = "lak"', r"flows\[0\].to: the destination 'lak' is not in .*; did you mean 'lake'"),
            ('from = "shop"|from = "x"', r"flows\[0\].from: the source 'x' is not in this file; expected one of: shop"),
            ('to = "lake"|', r"orders.ingest.toml: flows\[0\]: the option 'to' is missing"),
            ('to = "lake"|to = "lake"\nwrite_mod = "append"', "unknown option 'write_mod'; did you mean 'write_mode'"),
            ('to = "lake"|to = "lake"\nwrite_mode = "merge"', "Expected 'append' or 'replace' or 'upsert'"),
            ('to = "lake"|to = "lake"\nbatch_rows = 0', r"flows\[0\].batch_rows: Expected `int` >= 1, the value is 0"),
            ('to = "lake"|to = "lake"\nbatch_rows = "9"', "batch_rows: Expected `int`, got `str`, the value is '9'"),
            ('to = "lake"|to = "lake"\nretry_for = "x"', "retry_for: 'x' is not a duration"),
            ('to = "lake"|to = "lake"\nstreams = "*"', "streams: Expected `list"),
            ('name = "sqlite"|', "sources.shop: the option 'name' is missing"),
            ('[sources.shop]|[source.shop]', r"unknown table 'source'; write \[sources.shop\] instead"),
            ("[[flows]]|[[flow]]", r"unknown table 'flow'; write \[\[flows\]\] instead"),
            ('to = "lake"|to = lake', "is not valid TOML: .*line"),
        ],
    )  # fmt: skip
    def test_a_mistake_names_the_file_the_place_and_the_remedy(self, change: str, message: str, tmp_path: Path) -> None:
        """Before anything is imported or connected to."""
        old, new = change.split("|", 1)
        with pytest.raises(ConfigurationError, match=message):
            loaded(WHOLE.replace(old, new), tmp_path)

    def test_files_that_cannot_be_read_are_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Missing, with the folder where it was looked for; a folder; or no text."""
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigurationError, match=re.escape(f"{str(tmp_path / 'none.toml')!r} cannot be read: No")):
            load_flow("none.toml", {})
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load_flow(tmp_path, {})
        (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
        with pytest.raises(ConfigurationError, match="is not UTF-8: line 1 has the byte 0xff; save it as UTF-8"):
            load_flow(str(tmp_path / "binary.toml"), {})

    def test_no_flows_is_a_mistake(self, tmp_path: Path) -> None:
        """A file that does nothing is not what somebody meant."""
        with pytest.raises(
            ConfigurationError, match=r"sources is missing or empty; write, for example:\n\[sources.shop\]"
        ):
            load_flow({"sources": {}, "destinations": {}, "flows": []}, {})

    def test_a_dict_may_hold_tuples_and_secrets(self) -> None:
        """As Python code writes them."""
        flow = load_flow(
            {
                "sources": {"s": {"name": "x", "config": {"token": Secret("t")}}},
                "destinations": {"d": {}},
                "flows": ({"from": "s", "to": "d", "streams": ("${env:NONE_SUCH_X}",)},),
            },
            {"env": lambda key: "orders"},
        )
        assert flow.file.flows[0].streams == ["orders"]


class TestReferences:
    def test_references_are_followed_everywhere(self) -> None:
        """Whole ones are remembered for lenient conversion, all of them for redaction."""
        data = {"a": ["${env:ONE}", "x-${secret:two}-y"], "b": {"c": "${property:three}"}, "n": 5}
        lookups = {"env": {"ONE": "1"}.get, "secret": {"two": "s3cret"}.get, "property": {"three": 3}.get}
        resolved = resolve(data, lookups, location="f")  # type: ignore[arg-type]  # some of the data are wrong
        assert resolved.data == {"a": ["1", "x-s3cret-y"], "b": {"c": "3"}, "n": 5}
        assert resolved.whole == {"a.0": "1", "b.c": "3"}
        assert resolved.paths == {"a.0", "a.1", "b.c"}
        assert resolved.values == {"1", "s3cret", "3"}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("${env:NONE_SUCH_X}", r"f: a.b: \$\{env:NONE_SUCH_X\} is not set"),
            ("${evn:HOME}", r"\$\{evn:HOME\} is not a reference that this run can resolve; the kinds here are env"),
            ("${secret:x}", "not a reference that this run can resolve"),
        ],
    )
    def test_a_reference_that_leads_nowhere_is_named(self, text: str, message: str) -> None:
        """With its place."""
        with pytest.raises(ConfigurationError, match=message):
            resolve({"a": {"b": text}}, {"env": environment}, location="f")

    def test_text_is_replaced_once(self) -> None:
        """What a reference gives is not looked at again."""
        assert resolve("${env:A}", {"env": lambda key: "${env:B}"}, location="f").data == "${env:B}"


class TestPatterns:
    NAMES = ("orders", "audit_a", "audit_b", "Orders", "odd[1]", "weird*")

    @pytest.mark.parametrize(
        ("patterns", "chosen"),
        [
            (None, NAMES),
            (["*"], NAMES),
            (["orders"], ("orders",)),
            (["audit_*", "orders"], ("orders", "audit_a", "audit_b")),
            (["*", "!audit_*"], ("orders", "Orders", "odd[1]", "weird*")),
            (["!audit_*", "!weird*"], ("orders", "Orders", "odd[1]")),
            (["odd[1]"], ("odd[1]",)),
            (["audit_?", "!audit_b"], ("audit_a",)),
        ],
    )
    def test_globs_choose_in_the_sources_order(self, patterns: list[str] | None, chosen: tuple[str, ...]) -> None:
        """A name that looks like a pattern is found by itself, too."""
        assert select_streams(self.NAMES, patterns, location="f") == list(chosen)

    @pytest.mark.parametrize("pattern", ["oders", "!oders", "x*"])
    def test_a_pattern_that_matches_nothing_is_told_with_the_closest_names(self, pattern: str) -> None:
        """Exclusions as well: a typo in one would let through what should stay away."""
        with pytest.raises(
            ConfigurationError, match=rf"f: no stream matches '{pattern.strip('!')}'".replace("*", r"\*")
        ):
            select_streams(self.NAMES, ["*", pattern], location="f")

    def test_the_default_may_match_nothing(self) -> None:
        """An empty database is no mistake; a pattern that finds nothing in it is."""
        assert select_streams([], None, location="f") == []
        with pytest.raises(ConfigurationError, match="there are none"):
            select_streams([], ["*"], location="f")


def doubled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rows + rows


def first_only(batch: Any) -> Any:
    return batch.slice(0, 1)


class TestTransforms:
    def test_a_function_of_rows_gets_copies(self) -> None:
        """Whatever it does to them."""
        given = [{"a": 1}]

        def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
            rows[0]["a"] = 2
            return rows

        assert Transform(change, "t")(given, stream="s") == [{"a": 2}]
        assert given == [{"a": 1}]

    def test_a_function_of_batches_gets_every_column_of_every_row(self) -> None:
        """Also the keys that the first row lacks."""
        seen: list[pa.Table] = []

        def watch(table: pa.Table) -> pa.Table:
            seen.append(table)
            return table

        Transform(watch, "t")([{"a": 1}, {"b": 2.5}, {"a": "x"}], stream="s")
        assert seen[0].schema.names == ["a", "b"]
        # type ignored: a table is returned for one
        assert Transform(first_only, "t")(pa.table({"a": [1, 2]}), stream="s").num_rows == 1  # type: ignore[union-attr]

    @pytest.mark.parametrize("given", [[{"a": 1}], pa.table({"a": [1]})])
    def test_rows_and_batches_are_made_of_each_other(self, given: Any) -> None:
        """A function of rows takes a source of batches, too."""
        assert Transform(doubled, "t")(given, stream="s") == [{"a": 1}, {"a": 1}]

    @pytest.mark.parametrize(
        ("result", "landed"),
        [(None, None), ([], []), ({"a": 1}, [{"a": 1}]), (iter([{"a": 1}]), [{"a": 1}]), (({"a": 1},), [{"a": 1}])],
    )
    def test_what_it_may_return(self, result: Any, landed: Any) -> None:
        """Rows in any form; None drops them all."""
        assert Transform(lambda rows: result, "t")([{"x": 0}], stream="s") == landed

    @pytest.mark.parametrize("result", [5, "text", [1], b"x"])
    def test_anything_else_is_named(self, result: Any) -> None:
        """With the transform and the stream."""
        with pytest.raises(DataSourceError, match="stream 's': transform t returned"):
            Transform(lambda rows: result, "t")([{"x": 0}], stream="s")

    def test_it_is_found_by_module_and_name_beside_the_flow_file(self, tmp_path: Path) -> None:
        """As a job's own modules are."""
        (tmp_path / "my_cleaning_x.py").write_text("def clean(rows):\n    return rows[:1]\n", "utf-8")
        transform = load_transform("my_cleaning_x:clean", folder=tmp_path, location="f")
        assert transform is not None
        assert transform([{"a": 1}, {"a": 2}], stream="s") == [{"a": 1}]

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ("clean", 'is not of the form "module:function"'),
            (5, "is not of the form"),
            ("no_such_module_x:f", "the module .no_such_module_x. does not exist: neither"),
            ("with_a_typo_x:f", "cannot be imported: SyntaxError"),
            ("fine_x:claen", "has no function 'claen'; did you mean 'clean'"),
        ],
    )
    def test_one_that_is_not_found_is_told(self, given: Any, message: str, tmp_path: Path) -> None:
        """With what is wrong."""
        (tmp_path / "with_a_typo_x.py").write_text("def f(:\n", "utf-8")
        (tmp_path / "fine_x.py").write_text("def clean(rows):\n    return rows\n", "utf-8")
        with pytest.raises(ConfigurationError, match=message):
            load_transform(given, folder=tmp_path, location="f")
