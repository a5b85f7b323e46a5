"""The environment of a tap is made once, by whichever process comes first, completely or not at all."""

from __future__ import annotations

import logging
import os
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support import config_of
from vdk.plugin.datasource_base import ConfigurationError, ConnectionFailedError
from vdk.plugin.source_singer.program.environments import program_of

pytestmark = pytest.mark.heavy
_FILES = {
    "tap_tiny.py": "def main(): print('{}')\n",
    "tap_tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tap-tiny\nVersion: 1.0\n",
    "tap_tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tap_tiny-1.0.dist-info/entry_points.txt": "[console_scripts]\ntap-tiny = tap_tiny:main\n",
    "tap_tiny-1.0.dist-info/RECORD": "".join(
        f"tap_tiny{name},,\n" for name in (".py", "-1.0.dist-info/METADATA", "-1.0.dist-info/WHEEL")
    ),
}


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A tap as pip installs it, without an index."""
    path = tmp_path / "tap_tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in _FILES.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize("with_uv", [True, False], ids=["uv", "venv and pip"])
def test_an_environment_is_made_once_and_completely(
    tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, with_uv: bool
) -> None:
    caplog.set_level(logging.INFO)
    if with_uv and shutil.which("uv") is None:
        pytest.skip("uv is not on the PATH")
    if not with_uv:
        monkeypatch.setenv("PATH", "/usr/bin:/bin")
        assert shutil.which("uv") is None
    config = config_of(tap="tap-tiny", pip_url=f"--no-index {wheel}", environments=str(tmp_path / "environments"))
    with ThreadPoolExecutor(2) as threads:
        programs = list(threads.map(lambda _: program_of(config, str), range(2)))
    assert programs[0] == programs[1]
    assert caplog.text.count("installing") == 1
    assert os.access(programs[0], os.X_OK)
    if not with_uv:
        return  # pip installs itself first, which takes seconds
    folder = Path(programs[0]).parent.parent
    (folder / "vdk-source-singer").unlink()  # as if it had been killed before it was complete
    (folder / "half").touch()
    assert program_of(config, str) == programs[0]
    assert not (folder / "half").exists()


def test_what_cannot_be_installed_is_named(tmp_path: Path, wheel: Path) -> None:
    options = {"environments": str(tmp_path / "e"), "python": "python3"}
    with pytest.raises(ConnectionFailedError, match=r"no-such-tap cannot be installed: .*; try it: "):
        program_of(config_of(tap="x", pip_url="--no-index no-such-tap", **options), str)
    with pytest.raises(ConfigurationError, match=r"installs no program 'tap-csv'; its programs are \['tap-tiny'\]"):
        program_of(config_of(tap="tap-csv", pip_url=f"--no-index {wheel}", **options), str)
    with pytest.raises(ConfigurationError, match=r'python = "python1" is not a program'):
        program_of(config_of(tap="x", pip_url="y", **options | {"python": "python1"}), str)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r'cannot be made: .*; write environments = "/a/writable/folder"'):
        program_of(config_of(tap="x", pip_url="y", environments=str(tmp_path / "file" / "e")), str)
