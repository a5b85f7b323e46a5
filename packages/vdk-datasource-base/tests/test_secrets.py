"""Secrets show nowhere: in no log, no error, no summary, no state, and not in what VDK prints of a crash."""

from __future__ import annotations

import base64
import json
import logging
import threading
import tomllib
import traceback
from pathlib import Path
from typing import Any

import pytest

from jobs import install, job, process
from support import Lab, Whole, counting
from vdk.plugin.datasource_base import ConfigurationError, ConnectionFailedError, FlowFailedError
from vdk.plugin.datasource_base.parts.flow.file import load_flow
from vdk.plugin.datasource_base.parts.redact import Redactor, is_secret_name
from vdk.plugin.datasource_base.parts.references import Resolved
from vdk.plugin.datasource_base.runtime import execute
from vdk.plugin.datasource_base.runtime.report.logs import redacted_logs

CANARY = "canary"
FLOW = """
[sources.canary-source]
name = "numbers"
config = { upto = 3, fail = "FAIL", password = "PASSWORD", url = "https://me:canary%2Furl@host/?api_key=canary-key" }
[destinations.canary-lake]
method = "kept"
target = "memory://me:canary-target@host?password=canary-parameter"
[[flows]]
from = "${env:SOURCE}"
to = "${env:LAKE}"
streams = ["${env:PATTERN}"]
destination_table = "${env:TABLE}_{stream}"
write_mode = "append"
"""
REFERENCES = {
    "SOURCE": "canary-source",
    "LAKE": "canary-lake",
    "PATTERN": "num*",
    "TABLE": "canary-table",
    "THE_PASSWORD": "canary-5b3e",
}
COMMANDS = {
    "run": ["run", "."],
    "run of one file": ["datasource", "run", "a.ingest.toml", "--summary", "summary.json"],
    "check": ["datasource", "check", "a.ingest.toml"],
    "discover": ["datasource", "discover", "a.ingest.toml"],
    "preview": ["datasource", "preview", "a.ingest.toml", "numbers"],
    "state": ["datasource", "state", "show", "a.ingest.toml"],
}


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("command", "password", "fail"),
    [
        ("run", "canary-5b3e", ""),
        ("run", "canary-5b3e", "leak"),
        ("run", "${env:THE_PASSWORD}", "secret"),
        ("run of one file", "${env:THE_PASSWORD}", "leak"),
        ("run of one file", "canary-5b3e", "away"),
    ],
)
def test_a_run_shows_no_secret(tmp_path: Path, command: str, password: str, fail: str) -> None:
    """Whatever ``vdk`` writes at DEBUG is captured whole: of a run that succeeds, and of one that crashes."""
    told = told_by(tmp_path, command, password, fail, code=1 if fail else 0)
    assert "numbers" in told
    assert CANARY not in told


@pytest.mark.heavy
@pytest.mark.parametrize("command", ["check", "discover", "preview", "state"])
def test_looking_at_a_flow_shows_no_secret(tmp_path: Path, command: str) -> None:
    """Nor do the commands that run nothing."""
    assert CANARY not in told_by(tmp_path, command, "canary-5b3e", "leak", code=1 if command in FAILING else 0)


FAILING = ("discover", "preview")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('from = "${env:SOURCE}"', 'from = "${env:TABLE}"'),
        ('to = "${env:LAKE}"', 'to = "${env:TABLE}"'),
        ('streams = ["${env:PATTERN}"]', 'streams = ["${env:TABLE}"]'),
        ('"${env:TABLE}_{stream}"', '"${env:TABLE}_{what}"'),
        ('write_mode = "append"', 'write_mode = "${env:TABLE}"'),
        ('write_mode = "append"', 'max_rejected = "${env:TABLE}"'),
        ('write_mode = "append"', 'transform = "${env:TABLE}:f"'),
        ('method = "kept"', 'method = "${env:TABLE}"'),
        ('name = "numbers"', 'name = "${env:TABLE}"'),
        ("upto = 3", 'upto = "${env:TABLE}"'),
        ("upto = 3", 'upto = "https://me:canary-5b3e@host"'),
    ],
)
def test_a_wrong_value_out_of_a_reference_is_not_shown(lab: Lab, old: str, new: str) -> None:
    """Wherever it stands: the error names the place, and what was expected."""
    assert old in FLOW
    text = FLOW.replace("FAIL", "").replace(old, new)
    lab.registry.add("numbers", "edge_source:NumbersSource")
    lab.registry.add_destination("kept", "support:FaultyDestination")
    path = job(lab.folder, {"a.toml": text}) / "a.toml"
    environment = lab.environment(lookups={"env": REFERENCES.get})
    with pytest.raises((ConfigurationError, FlowFailedError)) as caught:
        execute(path, environment)
    assert CANARY not in str(caught.value).replace("canary-source", "").replace("canary-lake", "")
    assert "a.toml" in str(caught.value)


def told_by(folder: Path, command: str, password: str, fail: str, *, code: int) -> str:
    install(folder / "site")
    text = FLOW.replace("FAIL", fail).replace("PASSWORD", password)
    place = job(folder / "shop", {"a.ingest.toml": text})
    arguments = [str(place) if one == "." else one.replace("a.ing", f"{place}/a.ing") for one in COMMANDS[command]]
    arguments = [argument.replace("summary.json", str(folder / "summary.json")) for argument in arguments]
    environment = {
        **REFERENCES,
        "LOG_LEVEL_MODULE": "vdk=DEBUG;somebody=DEBUG",
        "VDK_JOB_RUN_SUMMARY_FILE_PATH": str(folder / "job.json"),
        "VDK_DATASOURCE_RETRY_DELAY": "0.001",
    }
    done = process(
        "-m", "vdk.internal.cli_entry", "-v", "DEBUG", *arguments, path=folder / "site", **environment
    )  # fmt: skip
    files = "".join(one.read_text("utf-8") for one in (folder / "summary.json", folder / "job.json") if one.exists())
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr + files


class TestRedactor:
    @pytest.mark.parametrize("secret", ["pin", "7"])
    def test_a_short_secret_is_taken_out_where_it_stands_alone(self, secret: str) -> None:
        """It would destroy words and numbers that it is only a part of."""
        redact = Redactor(secrets=[secret])
        assert redact(f"refused '{secret}', pinned 77 times: {secret}") == "refused '***', pinned 77 times: ***"

    def test_what_a_reference_gave_is_a_secret_if_it_is_short_only_from_there(self) -> None:
        """``${env:PAGE_ROWS}`` gives numbers, and the log is full of those."""
        redact = Redactor.of(Resolved({}, values={"10", "abc", "long one", "prod"}, secrets={"abc"}))
        assert redact("10 rows, abc, a long ones") == "10 rows, ***, a ***s"
        assert redact("products of prod/eu") == "products of ***/eu"

    def test_an_empty_secret_is_none(self) -> None:
        """It is everywhere."""
        assert Redactor([""], secrets=[""])("as it was") == "as it was"

    @pytest.mark.parametrize(
        "url",
        [
            "https://h/p?a=1&api_key=hunter2",
            "x://u:hunter2@h",
            "https://h?X-Amz-Signature=hunter2",
            "y://h;pwd=hunter2",
        ],
    )
    def test_passwords_of_urls_are_taken_out(self, url: str) -> None:
        """From the URL, and, where it is known, from wherever else its password shows up, decoded too."""
        assert "hunter2" not in Redactor()(f"cannot reach {url}")
        assert Redactor.of(Resolved({"target": url}))("login with hunter2") == "login with ***"
        assert Redactor.of(Resolved({}), {"url": "x://me:a%2Fb%40c@h"})("refused a/b@c") == "refused ***"

    @pytest.mark.parametrize(
        ("names", "secret"),
        [
            ("client_secret clientSecret client.secret secret_key private_key privateKey private.key.passphrase", True),
            ("ssl.key.pem ssl.key.password Proxy-Authorization X-Api-Key accountKey access_key SIG", True),
            (
                "private_key_id private_key_file passphrase_file ssl.ca.pem ssl.key.location primary_key key design",
                False,
            ),
        ],
    )
    def test_names_of_secrets_are_known(self, names: str, secret: bool) -> None:
        """In the spellings of URLs, headers and librdkafka; a path or an id is none."""
        assert [is_secret_name(name) for name in names.split()] == [secret] * len(names.split())

    def test_base64_is_known(self) -> None:
        """Of a password with its user, whatever the user's length."""
        for user in ("m", "me", "you"):
            shown = base64.b64encode(f"{user}:hunter2-and-more".encode()).decode()
            assert shown[8:16] not in Redactor(["hunter2-and-more"])(f"Authorization: Basic {shown}")


class TestLogs:
    def test_libraries_are_redacted_in_every_thread_and_only_meanwhile(self, caplog: pytest.LogCaptureFixture) -> None:
        """Their lines, and tracebacks in them."""
        log = logging.getLogger("somebody.else")

        def tell() -> None:
            try:
                raise ValueError("hunter2")
            except ValueError:
                log.exception("as %s", "hunter2")

        with caplog.at_level(logging.DEBUG):
            with redacted_logs(Redactor(["hunter2"])), redacted_logs(Redactor(["other"])):
                thread = threading.Thread(target=tell)
                thread.start()
                thread.join()
                log.debug("%s", "other")
            assert "hunter2" not in caplog.text
            assert "other" not in caplog.text
            assert "ValueError: ***" in caplog.text
            log.debug("%s", "hunter2")
        assert "hunter2" in caplog.text

    def test_runs_that_overlap_leave_logging_as_it_was(self) -> None:
        """In whatever order they end."""
        before = logging.getLogRecordFactory()
        first, second = redacted_logs(Redactor(["a-secret"])), redacted_logs(Redactor(["another"]))
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)
        assert logging.getLogRecordFactory()("n", 10, "p", 1, "a-secret, another", (), None).getMessage() == (
            "a-secret, another"
        )
        logging.setLogRecordFactory(before)

    def test_a_line_with_a_wrong_format_is_left_to_logging(self) -> None:
        """Which tells of it without ending the run."""
        with redacted_logs(Redactor(["hunter2"])):
            assert logging.getLogRecordFactory()("n", 10, "p", 1, "%d", ("x",), None).msg == "%d"


@pytest.mark.parametrize("error", [ConnectionFailedError("no login"), OSError("no login")])
def test_what_an_error_came_from_is_not_printed_if_it_shows_a_secret(lab: Lab, error: Exception) -> None:
    """Nor what somebody noted on it: VDK prints the whole chain."""

    def refuse() -> None:
        try:
            raise ValueError("as canary-32")
        except ValueError as cause:
            error.add_note("tried with canary-32")
            raise error from cause

    lab.script(Whole("t", counting(3))).on["connect"] = refuse
    flow = lab.flow()
    flow["sources"]["src"]["config"]["password"] = "canary-32"
    with pytest.raises((ConnectionFailedError, FlowFailedError), match="no login") as caught:
        execute(flow, lab.environment())
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_errors_of_several_streams_are_redacted_each(lab: Lab) -> None:
    """They keep their kind, by which VDK decides whose error it is; and so does the summary."""

    def fail(number: int) -> None:
        raise ConnectionFailedError("refused canary-31")

    lab.script(*(Whole(name, counting(3, fail_at=fail)) for name in ("a", "b")))
    flow: dict[str, Any] = lab.flow()
    flow["sources"]["src"]["config"]["password"] = "canary-31"
    with pytest.raises(FlowFailedError) as caught:
        execute(flow, lab.environment())
    assert all(isinstance(error, ConnectionFailedError) for error in caught.value.errors)
    shown = [str(caught.value), *map(str, caught.value.errors), json.dumps(caught.value.summary.as_dict())]
    assert not any(CANARY in one for one in shown)
    assert CANARY not in caught.value.summary.table()


HANG = """
from vdk.plugin.datasource_base.parts.flow.file import load_flow
from vdk.plugin.datasource_base.parts.redact import Redactor, secrets_in

WORST = ["a", "://", "a://", "a://b:", "a://b:c@", "a:b@", "?token=", "?a", "&password", "?a=", "sig=", ";pwd=x", "."]
redact = Redactor(["hunter2-and-more"] * 2, [f"secret-{number}-{'x' * number}" for number in range(50)])
for unit in WORST:
    text = (unit * 3 * 2**20)[: 3 * 2**20]
    assert len(redact(text)) < 70_000
    assert len(redact(f"https://u:{text}")) < 70_000
    assert len(redact.deep([{"state": {"next": text}}])[0]["state"]["next"]) < 70_000
    list(secrets_in({"url": text[: 2**18]}))
"""


class TestLargeTexts:
    def test_texts_of_three_megabytes_hold_nothing_up(self, tmp_path: Path) -> None:
        """Patterns that begin again at every letter took 3.4 s for 40 kB, and would take five hours for these."""
        done = process("-c", HANG, path=tmp_path)
        assert done.returncode == 0, done.stderr

    def test_of_a_long_text_the_beginning_and_the_length_are_shown(self) -> None:
        """A line of a log is for people."""
        shown = Redactor()("ab" * 10**6)
        assert shown.startswith("abab")
        assert shown.endswith("ab… (2000000 characters)")
        assert len(shown) < 66_000

    @pytest.mark.parametrize("secret", ["hunter2", "hunter2" * 20_000, "http://me:hunter2@host"])
    @pytest.mark.parametrize("before", [0, 5, 65_530, 65_536, 262_100, 262_140, 262_143])
    def test_a_secret_is_not_shown_in_part_where_a_text_is_cut(self, before: int, secret: str) -> None:
        """Wherever that is, and however much of what comes first is taken out."""
        for text in (f"{'.' * before}{secret}{'.' * 300_000}", f"{'hunter2' * (before // 7)} {secret} {'.' * 300_000}"):
            shown = Redactor(secrets=["hunter2", secret])(text)
            assert "hunter" not in shown
        assert "hunter" not in Redactor()(f"{'.' * before} http://me:hunter{'r' * 300_000}@host")

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("?a=http://h?token=hunter2&b=1", "?a=http://h?token=***&b=1"),
            ("?token=?token=hunter2", "?token=***"),
            ("x://a://u:hunter2@h", "x://a://u:***@h"),
            ("x://u:p:hunter2@h@i", "x://u:***@i"),
            ("x://u@v:hunter2@h", "x://u@v:***@h"),
            ("://u:p@h", "://u:p@h"),
            ("http://host:8080/a@b", "http://host:8080/a@b"),
            ("?tokens=5", "?tokens=5"),
        ],
    )
    def test_urls_within_urls_are_looked_into(self, text: str, shown: str) -> None:
        """As they come in a redirect."""
        assert Redactor()(text) == shown

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            ("https://api.example.com", "no answer from https://api.example.com/orders/new"),
            ("https://me:hunter2xyz@api.example.com", "no answer from https://api.example.com/orders/new"),
            ("https://api.example.com/orders/new", "no answer from https://api.example.com***"),
            ("api.example.com", "no answer from https://***/orders/new"),
        ],
    )
    def test_the_host_of_a_url_from_a_reference_is_shown(self, value: str, shown: str) -> None:
        """An error must name who does not answer. What is no URL is hidden whole: nobody knows what it is."""
        assert Redactor(values=[value])("no answer from https://api.example.com/orders/new") == shown

    def test_secrets_that_overlap_are_taken_out_whole(self) -> None:
        """Neither's rest is left."""
        assert Redactor(secrets=["abcdef", "efghij"])("xabcdefghijx abcdefabcdef") == "x***x ******"

    def test_tokens_that_are_issued_meanwhile_are_known(self) -> None:
        """In every spelling, from then on."""
        issued: list[str] = []
        redact = Redactor(issued=lambda: issued)
        assert redact("a/token+1") == "a/token+1"
        issued.append("a/token+1")
        assert redact("a/token+1 a%2Ftoken%2B1") == "*** ***"


def test_a_command_in_a_message_names_the_flow_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the line can be pasted: whoever raises it does not know the file."""
    path = tmp_path / "my orders.toml"
    path.write_text("[sources.s]\nname = 's'\n[destinations.d]\nmethod = 'd'\n[[flows]]\nfrom = 's'\nto = 'd'\n")
    text = "write: vdk datasource state reset FLOW --stream t, not FLOW or vdk datasource FLOW"
    named = "write: vdk datasource state reset {} --stream t, not FLOW or vdk datasource FLOW"
    assert Redactor.of(load_flow(path, {}).resolved)(text) == named.format(f"'{path}'")
    monkeypatch.chdir(tmp_path)
    assert Redactor.of(load_flow(path, {}).resolved)(text) == named.format("'my orders.toml'")
    assert Redactor.of(load_flow(tomllib.loads(path.read_text()), {}).resolved)(text) == text
