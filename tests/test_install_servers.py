"""Servers that tests need are installed where that is possible, and their lack is a failure in CI alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import install_servers
from install_servers import Server, environment_for


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Server]:
    """What would be installed, of a server that is missing everywhere."""
    servers = {"one": Server("vdk-no-such-program", ("some-package",)), "two": Server("vdk-none", ("p",), True)}
    calls: list[Server] = []
    monkeypatch.setattr(install_servers, "SERVERS", servers)
    monkeypatch.setattr(install_servers, "FOLDER", tmp_path)
    monkeypatch.setattr(install_servers, "install", calls.append)
    monkeypatch.setattr(shutil, "which", which_with_apt_get)
    monkeypatch.delenv("CI", raising=False)
    return calls


def which_with_apt_get(program: str, path: str | None = None) -> str | None:
    return f"/usr/bin/{program}" if program == "apt-get" else None


def test_a_server_that_is_missing_is_installed(installed: list[Server], capsys: pytest.CaptureFixture[str]) -> None:
    """If that fails, the output has what to do."""
    environment_for("one")
    assert [server.program for server in installed] == ["vdk-no-such-program"]
    assert "tests of one are skipped: apt-get install some-package" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["one", "two"])
def test_ci_fails_without_the_server(installed: list[Server], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Skipped tests would look like a success."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(SystemExit, match="apt-get install"):
        environment_for(name)
    assert installed


def test_what_only_ci_needs_is_not_installed_for_people(installed: list[Server]) -> None:
    environment_for("two")
    assert not installed


def test_other_distributions_need_no_server(installed: list[Server]) -> None:
    assert environment_for("sqlite") == {}
    assert not installed


def test_programs_of_the_server_are_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also those that were unpacked because this user may not install."""
    program = tmp_path / "usr" / "sbin" / "vdk-server"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n", "utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(install_servers, "FOLDER", tmp_path)
    monkeypatch.setattr(install_servers, "SERVERS", {"one": Server("vdk-server", ("p",))})
    assert str(program.parent) in environment_for("one")["PATH"].split(os.pathsep)


def test_a_program_that_does_not_start_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As one whose libraries were not unpacked."""
    (tmp_path / "vdk-server").write_text("#!/bin/sh\nexit 127\n", "utf-8")
    (tmp_path / "vdk-server").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install_servers.find("vdk-server") is None
