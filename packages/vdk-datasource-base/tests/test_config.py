"""Configuration: every mistake is found before anything connects, and no secret is shown."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from vdk.plugin.datasource_base import ConfigurationError, DataSourceConfig, Duration, Secret
from vdk.plugin.datasource_base.contract import decode_config
from vdk.plugin.datasource_base.parts.plugins.describe import describe
from vdk.plugin.datasource_base.parts.redact import Redactor, secrets_in

CANARY = "canary-7f3a"


class Login(DataSourceConfig):
    user: str = "me"
    password: Secret | None = None


class Table(DataSourceConfig):
    cursor: str | None = None
    page: Annotated[int, Meta(ge=1)] = 10


class Config(DataSourceConfig):
    database: Path
    rows: Annotated[int, Meta(ge=1, description="Rows per page.")] = 100
    ratio: float = 0.5
    views: bool = False
    wait: Duration | None = None
    token: Secret = Secret("")
    login: Login | None = None
    tables: dict[str, Table] = msgspec.field(default_factory=dict)
    hosts: list[str] = msgspec.field(default_factory=list)
    ports: list[int] = msgspec.field(default_factory=list)


def decoded(data: dict[str, Any], **others: Any) -> Config:
    return decode_config({"database": "x.db", **data}, Config, location="f.toml: sources.s.config", **others)


def message(data: Any, **others: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        decoded(data, **others)
    assert caught.value.__cause__ is None  # what msgspec said is in the message
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"rows": "5"}, "f.toml: sources.s.config.rows: Expected `int`, got `str`, the value is '5'"),
        ({"rows": 0}, "config.rows: Expected `int` >= 1, the value is 0"),
        ({"rows": 1.5}, "config.rows: Expected `int`, got `float`, the value is 1.5"),
        ({"rows": True}, "config.rows: Expected `int`, got `bool`, the value is True"),
        ({"views": 1}, "config.views: Expected `bool`, got `int`, the value is 1"),
        ({"ratio": "0.5"}, "config.ratio: Expected `float`, got `str`, the value is '0.5'"),
        ({"database": 5}, "config.database: Expected `path`, got `int`, the value is 5"),
        ({"wait": 5}, "config.wait: Expected `duration`, got `int`, the value is 5"),
        ({"wait": "soon"}, "config.wait: 'soon' is not a duration: write a number and ms, s, m, h or d"),
        ({"wait": "9" * 30 + "d"}, "is not a duration"),
        ({"rowz": 5}, "f.toml: sources.s.config: unknown option 'rowz'; did you mean 'rows'"),
        ({"qqq": 5}, "unknown option 'qqq'; the options are database, hosts, login"),
        ({"login": {"usr": "x"}}, "config.login: unknown option 'usr'; did you mean 'user'?"),
        ({"tables": {"orders": {"pag": 1}}}, "config.tables.orders: unknown option 'pag'; did you mean 'page'?"),
        (
            {"tables": {"a": {}, "orders": {"page": 0}}},
            "config.tables.orders.page: Expected `int` >= 1, the value is 0",
        ),
        ({"hosts": ["a", 5]}, "config.hosts[1]: Expected `str`, got `int`, the value is 5"),
        ({"hosts": "a"}, "config.hosts: Expected `list`, got `str`, the value is 'a'"),
        ({"tables": {"o": 5}}, "config.tables.o: Expected `table`, got `int`, the value is 5"),
    ],
)
def test_a_mistake_names_the_place_the_value_and_what_was_expected(data: dict[str, Any], expected: str) -> None:
    """In one sentence; nothing is converted that was not asked for."""
    assert expected in message(data)


def test_the_value_is_told_once() -> None:
    """Where the problem names it already, it is not repeated."""
    assert message({"wait": "soon"}).count("soon") == 1


def test_a_missing_option_is_named() -> None:
    """With the place it is missing at."""
    with pytest.raises(ConfigurationError, match=r"f\.toml: x: the option 'database' is missing"):
        decode_config({}, Config, location="f.toml: x")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("1.5m", 90),
        ("2h", 7200),
        ("1d", 86400),
        (" 5 s ", 5),
        ("PT5M", 300),
        ("P1D", 86400),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """A number and a unit, or ISO 8601."""
    wait = decoded({"wait": text}).wait
    assert wait is not None
    assert wait.total_seconds() == seconds
    assert isinstance(wait, Duration)
    assert isinstance(wait, dt.timedelta)


def test_relative_paths_start_at_the_flow_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the working directory for a dict; absolute ones and ``~`` stay."""
    assert decoded({"database": "a/b.db"}, folder=tmp_path).database == tmp_path / "a" / "b.db"
    assert decoded({"database": "/a/b.db"}, folder=tmp_path).database == Path("/a/b.db")
    monkeypatch.chdir(tmp_path)
    assert decoded({"database": "b.db"}).database == tmp_path / "b.db"
    monkeypatch.setenv("HOME", "/home/someone")
    assert decoded({"database": "~/b.db"}).database == Path("/home/someone/b.db")


class TestReferences:
    """Text that came from one whole ``${…}`` reads as what is wanted; any other text is text."""

    @pytest.mark.parametrize(
        ("option", "text", "value"),
        [
            ("rows", "7", 7),
            ("ratio", "2", 2.0),
            ("ratio", "2.5", 2.5),
            ("views", "true", True),
            ("views", "False", False),
        ],
    )
    def test_a_whole_reference_is_converted(self, option: str, text: str, value: Any) -> None:
        """Environment variables have no types."""
        decoded_value = getattr(decoded({option: text}, lenient={option: text}), option)
        assert decoded_value == value
        assert type(decoded_value) is type(value)

    def test_only_where_text_does_not_do(self) -> None:
        """A number for a text field stays the text it was."""
        assert decoded({"hosts": ["12"]}, lenient={"hosts.0": "12"}).hosts == ["12"]
        assert decoded({"ports": ["12"]}, lenient={"ports.0": "12"}).ports == [12]
        assert decoded({"tables": {"o": {"page": "3"}}}, lenient={"tables.o.page": "3"}).tables["o"].page == 3

    def test_what_does_not_read_as_the_type_is_an_error_without_the_value(self) -> None:
        """What came from a reference may be a secret."""
        text = message({"rows": CANARY}, lenient={"rows": CANARY}, sensitive=frozenset({"rows"}))
        assert text.endswith("config.rows: Expected `int`, got `str`, the value is ***")


class TestSecrets:
    def test_a_secret_is_never_shown(self) -> None:
        """In no form that texts are made with."""
        secret = Secret(CANARY)
        config = decoded({"token": CANARY, "login": {"password": CANARY}})
        # each way of formatting
        shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", "%s" % secret, "{}".format(secret)]  # noqa: UP031, UP032
        shown += [repr(config), str(config), repr([secret]), repr({"a": secret}), repr(msgspec.structs.asdict(config))]
        assert not [text for text in shown if CANARY in text]
        assert secret.reveal() == CANARY

    def test_a_secret_is_not_written_out(self) -> None:
        """msgspec refuses it."""
        with pytest.raises(TypeError):
            msgspec.json.encode(decoded({"token": CANARY}))

    def test_a_secret_travels_to_other_processes(self) -> None:
        """Pickled and copied it is still the secret, and still hidden."""
        for made in (pickle.loads(pickle.dumps(Secret(CANARY))), copy.deepcopy(Secret(CANARY))):
            assert made == Secret(CANARY)
            assert hash(made) == hash(Secret(CANARY))
            assert CANARY not in repr(made)

    @pytest.mark.parametrize("value", [71123456, ["canary"], 71123456.5])
    @pytest.mark.parametrize("place", ["token", "password"])
    def test_an_error_about_a_secret_does_not_show_it(self, value: Any, place: str) -> None:
        """Not even where it is of the wrong type."""
        text = message({"token": value} if place == "token" else {"login": {"password": value}})
        assert "71123456" not in text
        assert "canary" not in text
        assert "Expected `str`, got" in text

    def test_redaction_knows_the_ways_a_secret_is_spelled(self) -> None:
        """In a repr, in JSON, in a URL; and passwords in URLs whatever they are."""
        secret = 'pa"ss\\wo/rd@1'
        redact = Redactor([secret, "abc"])
        for text in (secret, repr({"x": secret}), msgspec.json.encode(secret).decode(), "pa%22ss%5Cwo%2Frd%401"):
            assert "rd" not in redact(f"before {text} after").replace("word", "").replace("before", "")
            assert "***" in redact(text)
        assert redact("postgres://me:p@ss@host/db and http://x:y@z") == "postgres://me:***@host/db and http://x:***@z"
        assert redact("abc is too short") == "abc is too short"

    def test_the_secrets_of_a_configuration_are_found_however_deep(self) -> None:
        """So that the run can take them out of messages."""
        assert set(secrets_in(decoded({"token": "t", "login": {"password": "p"}}))) == {"t", "p"}
        assert list(secrets_in({"a": [Secret("x")]})) == ["x"]


def test_a_configuration_is_frozen_and_keyword_only() -> None:
    """As its subclasses are, without saying so."""
    with pytest.raises(AttributeError):
        decoded({}).rows = 5  # type: ignore[misc]  # it is frozen
    with pytest.raises(TypeError):
        Table("x")  # type: ignore[call-arg]  # options go by name


def test_options_are_described_for_people() -> None:
    """Every option with its type, default and meaning; nested ones dotted; no secret default shown."""
    rows = {row["option"]: row for row in describe(Config)}
    assert rows["rows"] == {"option": "rows", "type": "int", "default": "100", "description": "Rows per page."}
    assert (rows["database"]["type"], rows["database"]["default"]) == ("path", "(required)")
    assert (rows["wait"]["type"], rows["token"]["type"]) == ("duration", "secret")
    assert {"login.password", "tables.<name>.page"} <= rows.keys()
    assert rows["tables"]["type"] == "table of options"
    assert rows["hosts"]["type"] == "list of str"


class Defaults(DataSourceConfig):
    day: Duration = Duration(hours=24)
    wait: Duration = Duration(seconds=90)
    short: Duration = Duration(milliseconds=1500)
    none: Duration = Duration()
    follow: bool = False
    password: Secret = Secret("")
    token: Secret = Secret(CANARY)


def test_defaults_are_described_as_a_flow_file_has_them() -> None:
    """So that one can be copied into it. A secret's is not shown."""
    assert {row["option"]: row["default"] for row in describe(Defaults)} == {
        "day": "1d",
        "wait": "90s",
        "short": "1500ms",
        "none": "0s",
        "follow": "false",
        "password": "",
        "token": "***",
    }


class Nested(DataSourceConfig):
    rows: int = 100
    name: str = msgspec.field(default="")
    place: Path


def test_required_options_are_described_first() -> None:
    """They are what a user looks for; the others keep their order."""
    assert [row["option"] for row in describe(Nested)] == ["place", "rows", "name"]


class Red(DataSourceConfig, tag_field="type", tag="red"):
    shade: Annotated[int, Meta(description="how dark")] = 1


class Blue(DataSourceConfig, tag_field="type", tag="blue"):
    depth: Annotated[int, Meta(description="how deep")] = 2


class Colors(DataSourceConfig):
    one: Annotated[Red | Blue, Meta(description="a color")] = Red()
    many: Annotated[list[Red | Blue], Meta(description="colors")] = msgspec.field(default_factory=list)


def test_an_unknown_kind_of_options_is_told_with_those_there_are() -> None:
    """Options that ``type`` chooses between: the error lists the types."""
    with pytest.raises(ConfigurationError, match=r"f: many\[0\]\.type: Expected 'red' or 'blue', the value is 'green'"):
        decode_config({"many": [{"type": "green"}]}, Colors, location="f")


def test_options_of_each_kind_are_described_below_its_name() -> None:
    """A table of options says which of them go with which ``type``, also in a list."""
    rows = {row["option"]: row for row in describe(Colors)}
    assert rows["one"]["type"] == "options, by type: 'red' | 'blue'"
    assert {"one[red].shade", "one[blue].depth", "many[][red].shade"} <= set(rows)
