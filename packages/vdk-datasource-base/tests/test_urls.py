"""A flow from two URLs: which source reads the first, which destination lands where the second points."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from support import ScriptConfig, ScriptedSource
from vdk.plugin.datasource_base import ConfigurationError, data_source
from vdk.plugin.datasource_base.parts import Registry, takes_urls
from vdk.plugin.datasource_base.parts.flow.from_urls import check_folder, flow_of_urls
from vdk.plugin.datasource_base.parts.flow.text import flow_text
from vdk.plugin.datasource_base.testing import MemoryDestination


@data_source(name="acme", config=ScriptConfig)
class AcmeSource(ScriptedSource):
    url_schemes: ClassVar[tuple[str, ...]] = ("acme", "acmes")

    @classmethod
    def options_of_url(cls, url: str, *, cursor: str | None = None) -> Mapping[str, Any]:
        return {"script": url, "api_key": "k3y-of-acme", "cursor": cursor}

    @classmethod
    def url_of(cls, text: str) -> str | None:
        return f"acme://{text}" if text.endswith(".acme") else None


@data_source(name="any", config=ScriptConfig)
class AnySource(AcmeSource):
    url_schemes = ("*",)

    @classmethod
    def options_of_url(cls, url: str, *, cursor: str | None = None) -> Mapping[str, Any]:
        if not url.startswith("dialect"):
            raise ConfigurationError("there is no such dialect")
        return {"url": url}


@data_source(name="topics", config=ScriptConfig)
class TopicsSource(AcmeSource):
    url_schemes = ("topics",)
    url_names_stream = True


@takes_urls("pot", "jar")
class Pot(MemoryDestination):
    """Its target is a path."""

    def identity(self) -> str:
        return f"pot {self.folder / (self.target or '').partition('://')[2]}"


def registry(*names: str) -> Registry:
    made = Registry(installed=False)
    for name in names or ("acme", "any", "topics", "pot"):
        if name == "pot":
            made.add_destination("pot", f"{__name__}:Pot")
        else:
            made.add(name, f"{__name__}:{name.capitalize()}Source")
    made.add("broken", "no_such_module:Source")
    made.add_destination("broken", "no_such_module:Destination")
    return made


@pytest.mark.parametrize(
    ("source", "name", "source_id"),
    [
        ("acme://host/shop", "acme", "shop"),
        ("ACMES://host:80/a/Shop.db?x=1", "acme", "Shop"),
        ("acme://my-host", "acme", "my_host"),
        ("acme://u:p@10.0.0.1:9,b", "acme", "acme"),
        ("topics://u:p@my-host:9,b/shop", "topics", "my_host"),
        ("topics://localhost/shop", "topics", "topics"),
        ("topics://localhost:9/shop", "topics", "localhost_9"),
        ("topics://10.0.0.1:9/shop", "topics", "topics_10_0_0_1_9"),
        ("topics://[::1]:9/shop", "topics", "localhost_9"),
        ("acme:///", "acme", "acme"),
        ("shop.acme", "acme", "shop_acme"),
        ("dialect+driver://host/crm", "any", "crm"),
    ],
)
def test_a_plugin_brings_its_schemes(source: str, name: str, source_id: str) -> None:
    """No list of them is in the base; the id of the source, under which states are stored, comes from the URL."""
    flow = flow_of_urls(source, "jar:///lake", registry(), tables=["a", "b*"], mode="append")
    assert flow.flow["sources"][source_id]["name"] == name
    assert flow.flow["destinations"] == {"lake": {"method": "pot", "target": "jar:///lake"}}
    assert flow.flow["flows"] == [{"from": source_id, "to": "lake", "streams": ["a", "b*"], "write_mode": "append"}]


@pytest.mark.parametrize(
    ("source", "target", "installed", "match"),
    [
        ("thing://h/d", "pot:///x", ("acme", "pot"), r"schemes are acme://, acmes://; .*: pip install \./packages"),
        ("acmee://h/d", "pot:///x", ("acme", "pot"), r"reads acmee:// URLs; did you mean 'acme' or 'acmes'\?"),
        ("acmee://h/d", "pot:///x", (), r"did you mean 'acme' or 'acmes'\? .*; the source any: there is no such dial"),
        ("kafka://h/d", "pot:///x", (), "reads kafka:// URLs; write: pip install vdk-source-kafka$"),
        ("postgres://h/d", "pot:///x", ("acme", "pot"), "; write: pip install vdk-source-postgres$"),
        ("acme://u:hunter2@2@h/d", "pot:///x", (), "more than one '@' before its host; write .* as %40$"),
        ("shop", "pot:///x", (), "'shop' is not a URL, .* write, for example, sqlite:///shop.db"),
        ("u:hunter22@h/d", "pot:///x", (), "^the text is not a URL"),
        ("acme://h/d", "pit:///x", (), r"begins with pit://.*; did you mean 'pot'\?"),
        ("acme://h/d", "lake.duckdb", (), "'lake.duckdb' is not a URL; write duckdb:///lake.duckdb"),
        ("acme://h/d", "pot:///x", ("acme",), r"no installed destination has URLs; .*pip install \./packages/\*"),
        ("acme://h/d", "pot://u:hunter2@2@h/x", (), "more than one '@'"),
    ],
)
def test_what_cannot_be_copied_is_named(source: str, target: str, installed: tuple[str, ...], match: str) -> None:
    """With what to write or to install, and without passwords."""
    with pytest.raises(ConfigurationError, match=match) as caught:
        flow_of_urls(source, target, registry(*installed))
    assert "hunter" not in str(caught.value)


def test_a_saved_flow_has_no_secrets() -> None:
    """Not those of its URLs, and not those of options with such names; references stay."""
    source = "acme://shop:shop@host/shop?token=t0ken-of-it&x=${env:X}"
    flow = flow_of_urls(source, "pot://u:${env:LAKE}@h/x", registry(), cursor="changed")
    content, variables = flow.without_secrets()
    assert tomllib.loads(flow_text({**content, "sources": {"shop": {"name": "acme"}}}))["flows"]
    assert content["sources"]["shop"]["config"] == {
        "script": "acme://shop:${env:SHOP_PASSWORD}@host/shop?token=${env:SHOP_PASSWORD_2}&x=${env:X}",
        "api_key": "${env:SHOP_PASSWORD_3}",
        "cursor": "changed",
    }
    assert content["destinations"]["lake"]["target"] == "pot://u:${env:LAKE}@h/x"
    assert variables == {
        "SHOP_PASSWORD": "shop",
        "SHOP_PASSWORD_2": "t0ken-of-it",
        "SHOP_PASSWORD_3": "k3y-of-acme",
    }
    assert flow.config["api_key"] == "k3y-of-acme", "what runs has them"


def test_relative_paths_are_saved_beside_them_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = registry()
    flow = flow_of_urls("dialect://h/x", "pot://lake", made)
    flow.config.clear()
    flow.config["script"] = "x"
    check_folder(flow, Path(), made)
    with pytest.raises(ConfigurationError, match="save the file in the working folder, or write the paths in full"):
        check_folder(flow, tmp_path.parent, made)
    flow.flow["destinations"]["lake"]["target"] = f"pot://{tmp_path}"
    check_folder(flow, tmp_path.parent, made)
