"""A secret that stands in a flow file is a warning with the line to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs import FLOW, Vdk, job


@pytest.mark.parametrize(
    ("config", "warned"),
    [('password = "topsecret"', True), ('password = "${env:PASSWORD}"', False), ('password = "sqlite:///x"', False)],
)
def test_a_plain_secret_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, warned: bool
) -> None:
    monkeypatch.setenv("PASSWORD", "topsecret")
    monkeypatch.setenv("VDK_VERSION_CHECK_DISABLED", "true")
    text = FLOW.format(method="kept", target=str(tmp_path), upto=5).replace("upto = 5", f"upto = 5, {config}")
    printed = Vdk()("datasource", "run", job(tmp_path, {"a.toml": text}) / "a.toml", "-q").stderr
    line = 'sources.src.config.password is a secret that stands in the file; refer to it, password = "${env:PASSWORD}"'
    assert (line in printed) == warned
    assert "topsecret" not in printed
