"""What changes a flow file for one run: environments, ``--set``, ``--stream``, and the file ``.env``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobs import FLOW, Vdk, job
from support import Lab, Whole, counting
from vdk.plugin.datasource_base import ConfigurationError, DataSourceConfig, Secret
from vdk.plugin.datasource_base.parts.flow.file import load_flow
from vdk.plugin.datasource_base.parts.flow.overrides import Overrides
from vdk.plugin.datasource_base.parts.references import environment
from vdk.plugin.datasource_base.runtime import execute

FILE: dict[str, Any] = {
    "sources": {"shop": {"name": "x", "config": {"tables": ["a"], "deep": {"a": 1, "b": 2}}}},
    "destinations": {"lake": {"method": "arrow", "target": "duckdb:///a.db"}},
    "flows": [{"from": "shop", "to": "lake"}],
    "env": {
        "prod": {
            "sources": {"shop": {"config": {"deep": {"b": 3}, "tables": ["b", "c"]}}},
            "destinations": {"lake": {"target": "duckdb:///${env:LAKE}"}},
        },
        "test": {},
    },
}
LOOKUPS = {"env": environment}


def test_tables_are_merged_and_other_values_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """References of environments that do not apply are not looked up."""
    monkeypatch.delenv("LAKE", raising=False)
    assert load_flow(FILE, LOOKUPS, Overrides("test")).file == load_flow(FILE, LOOKUPS).file
    monkeypatch.setenv("LAKE", "p.db")
    file = load_flow(FILE, LOOKUPS, Overrides("prod", ("destinations.lake.method=kept",))).file
    assert file.sources["shop"].config == {"tables": ["b", "c"], "deep": {"a": 1, "b": 3}}
    assert (file.destinations["lake"].target, file.destinations["lake"].method) == ("duckdb:///p.db", "kept")
    assert FILE["sources"]["shop"]["config"]["deep"] == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sources.shop.config.new=5", 5),
        ("sources.shop.config.new=true", True),
        ('sources.shop.config.new="5"', "5"),
        ("sources.shop.config.new=shop.db", "shop.db"),
        ("sources.shop.config.new=a = b", "a = b"),
        ("sources.shop.config.new=1\nname = 2", "1\nname = 2"),
        ("sources.shop.config.new=", ""),
        ('sources.shop.config.new=["a", 1]', ["a", 1]),
        ('sources.shop.config.new."a.b"=1', {"a.b": 1}),
    ],
)
def test_a_set_value_is_toml_or_text(text: str, value: Any) -> None:
    assert load_flow(FILE, LOOKUPS, Overrides(values=(text,))).file.sources["shop"].config["new"] == value


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        (Overrides("prd"), r"no environment 'prd': did you mean 'prod'\?; write \[env\.prd\]"),
        (Overrides(values=("flows",)), r"--set 'flows': it is not PATH=VALUE"),
        (Overrides(values=(".flows=1",)), r"it is not PATH=VALUE"),
        (
            Overrides(values=("sources.shop.config.password:abcd=",)),
            r"--set 'sources\.shop\.config\.password…': it is not",
        ),
        (Overrides(values=('sources."\\q".name=x',)), r"it is not a key of TOML"),
        (Overrides(values=("flow[0].to=1",)), r"--set 'flow\[0\].to': 'flow' cannot be set; did you mean 'flows'"),
        (Overrides(values=("name=1",)), r"--set 'name': 'name' cannot be set; expected one of: destinations"),
        (Overrides(values=("batch_rows=1",)), r"'batch_rows' cannot be set; did you mean flows\[0\]\.batch_rows\?"),
        (Overrides(values=("tables.a.b=1",)), r"an option of a source is written as sources\.shop\.config\.tables"),
        (Overrides(values=("flows.to=1",)), r"'to' is below a list; name an element of it with its number"),
        (Overrides(values=("flows[1].to=1",)), r"\[1\] does not exist; the only one is \[0\]"),
        (Overrides(values=("flows[0].to.x=1",)), r"'x' is below a value that is not a table"),
        (Overrides(values=("sources[0].to=1",)), r"0 is below a value that is not a list"),
        (Overrides(values=("flows[0].too=1",)), r"flows\[0\]: unknown option 'too'; did you mean 'to'\?"),
    ],
)
def test_a_wrong_override_is_refused_with_what_to_write(overrides: Overrides, error: str) -> None:
    with pytest.raises(ConfigurationError, match=error):
        load_flow(FILE, LOOKUPS, overrides)


@pytest.mark.parametrize(
    ("tables", "error"),
    [
        ({"prod": 1}, r"write \[env\.prod\] above the options"),
        ([], r"write \[env\.prod\]"),
        ({"prod": {"name": "a"}}, r"env\.prod: 'name' cannot be overridden; expected one of: destinations"),
    ],
)
def test_a_wrong_environment_is_refused_in_every_run(tables: Any, error: str) -> None:
    with pytest.raises(ConfigurationError, match=error):
        load_flow({**FILE, "env": tables}, LOOKUPS)


def test_a_password_is_refused_in_a_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error does not repeat it; a reference to it is accepted."""
    password = "hunter2hunter2"
    monkeypatch.setenv("TARGET", f"postgresql://me:{password}@host/db")
    with pytest.raises(ConfigurationError, match=r"'destinations.lake.target=\$\{env:TARGET\}'") as error:
        load_flow(FILE, LOOKUPS, Overrides(values=(f"destinations.lake.target=postgresql://me:{password}@host/db",)))
    assert password not in str(error.value)
    load_flow(FILE, LOOKUPS, Overrides(values=("destinations.lake.target=${env:TARGET}",)))
    monkeypatch.setenv("WORD", password)
    load_flow(FILE, LOOKUPS, Overrides(values=("destinations.lake.target=postgresql://me:${env:WORD}@host/db",)))


class Login(DataSourceConfig):
    password: Secret | None = None
    headers: dict[str, Secret] = msgspec.field(default_factory=dict)


@pytest.mark.parametrize(
    "text",
    [
        ".shop.config.password=abcd",
        ".shop.config.headers.x=abcd",
        ".shop.config={password='abcd'}",
        "={shop={name='x',config={password='abcd'}}}",
    ],
)
def test_a_secret_of_a_source_is_refused_in_a_command_line(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = {**FILE, "sources": {"shop": {"name": "x"}}, "env": {}}
    with pytest.raises(ConfigurationError, match=r"it is a secret") as error:
        load_flow(file, LOOKUPS, Overrides(values=(f"sources{text}",))).source_config("shop", Login)
    assert "abcd" not in str(error.value)
    monkeypatch.setenv("WORD", "abcd")
    loaded = load_flow(file, LOOKUPS, Overrides(values=("sources.shop.config.password=${env:WORD}",)))
    assert loaded.source_config("shop", Login) == Login(password=Secret("abcd"))


def test_a_file_of_variables_never_overrides_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = tmp_path / "a.toml"
    flow.write_text(
        '[sources.s]\nname = "${env:A_}"\nconfig = { b = "${env:B_}", c = "${env:C_}" }\n'
        '[destinations.d]\n[[flows]]\nfrom = "s"\nto = "d"\n',
        "utf-8",
    )
    (tmp_path / ".env").write_text("# a comment\nA_=file\nexport B_='a b'  # another\nC_=\"${A_}\"\n", "utf-8")
    monkeypatch.setenv("A_", "process")
    source = load_flow(flow, LOOKUPS).file.sources["s"]
    assert (source.name, source.config) == ("process", {"b": "a b", "c": "${A_}"})
    (tmp_path / ".env").write_text("A_=1\nB_\n", "utf-8")
    with pytest.raises(ConfigurationError, match=r"\.env': line 2 is not NAME=value"):
        load_flow(flow, LOOKUPS)


def test_only_selected_streams_are_read(lab: Lab) -> None:
    streams = [Whole("orders", counting(3)), Whole("customers", counting(2))]
    flow = lab.flow()
    lab.script(*streams)
    execute(flow, lab.environment(streams=("ord*", "src.orders")))
    assert list(lab.tables) == ["orders"]
    for pattern in ("ordrs", "other.orders"):
        with pytest.raises(ConfigurationError, match=f"--stream '{pattern}': no stream matches; "):
            execute(flow, lab.environment(streams=("orders", pattern)))
    assert lab.numbers("orders") == [0, 1, 2]


def test_an_environment_of_a_job_comes_from_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And ``--env`` of a command, ``--set`` and ``--stream`` reach its run."""
    file = FLOW.format(method="kept", target="here", upto=5) + "\n[env.prod.sources.src.config]\nupto = 2\n"
    folder = job(tmp_path / "job", {"a.ingest.toml": file})
    vdk = Vdk()
    monkeypatch.setenv("DATASOURCE_ENV", "prod")
    path = folder / "a.ingest.toml"
    assert "5 rows" not in vdk("datasource", "preview", path, "numbers", "-o", "json").output
    assert vdk("datasource", "preview", path, "numbers", "-o", "json").output.count('"n"') == 2
    monkeypatch.setenv("DATASOURCE_ENV", "other")
    assert "no environment 'other'" in vdk("datasource", "check", path).output
    shown = vdk("datasource", "preview", path, "numbers", "--env", "prod", "--set", "sources.src.config.upto=3")
    assert shown.exit_code == 0, shown.output
    assert "no stream matches" in vdk("datasource", "run", path, "--env", "prod", "--stream", "x").output
