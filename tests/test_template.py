"""The template's doors: each gives the same plugin, and it is right from the start."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ROOT, Machine

Files = dict[str, bytes]
OLDEST, NEWEST = "cookiecutter==2.4.0", "cookiecutter"


def files_of(folder: Path) -> Files:
    """Paths and contents of all files."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: found[name].read_bytes() for name in sorted(found)}


def copied(clone: Path, into: Path, name: str) -> Path:
    """By hand: cp and rename.py."""
    folder = into / f"vdk-source-{name.replace('_', '-')}"
    subprocess.run(["cp", "-r", str(clone / "template"), str(folder)], check=True)
    subprocess.run([sys.executable, str(folder / "rename.py"), name], check=True)
    return folder


@pytest.fixture(scope="module")
def plugin(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin called my-crm."""
    return copied(clone, tmp_path_factory.mktemp("by hand"), "my-crm")


def test_the_base_that_was_built_brings_the_template(plugin: Path, machine: Machine, tmp_path: Path) -> None:
    """`vdk datasource new` gives what a copy gives, without a clone; the wheel was built from the sdist."""
    told = machine("vdk", "datasource", "new", "my_crm", cwd=tmp_path).stdout
    assert "cd vdk-source-my-crm" in told
    assert files_of(tmp_path / "vdk-source-my-crm") == files_of(plugin)


def test_a_base_in_a_clone_reads_the_template_there(plugin: Path, tmp_path: Path) -> None:
    """An editable installation has no archive that could be older than the folder."""
    code = (
        "import pathlib; from vdk.plugin.datasource_base.integration.new import make; "
        "make('my-crm', pathlib.Path(), {})"
    )
    source = ROOT / "packages" / "vdk-datasource-base" / "src"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": str(source)})
    assert files_of(tmp_path / "vdk-source-my-crm") == files_of(plugin)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("address", ["relative", "absolute", "git", "zip"])
def test_cookiecutter_gives_the_same(
    plugin: Path, clone: Path, machine: Machine, tmp_path: Path, version: str, address: str
) -> None:
    """However the repository is named, and by the oldest version that has the hook and by the newest."""
    shutil.copytree(clone, tmp_path / "vdk-sources")
    (here := tmp_path / "here").mkdir()
    repository = {
        "relative": "../vdk-sources",
        "absolute": str(clone),
        "git": f"file://{bare(clone, tmp_path)}",
        "zip": shutil.make_archive(str(tmp_path / "sources"), "zip", tmp_path, "vdk-sources"),
    }[address]
    cookiecutter = ["uvx", "--quiet", "--python", sys.executable, "--from", version, "cookiecutter"]
    arguments = [repository, "--directory", "template", "--no-input", "name=my-crm"]
    machine(*cookiecutter, *arguments, cwd=here, HOME=str(tmp_path), UV_CACHE_DIR=cache())
    assert files_of(here / "vdk-source-my-crm") == files_of(plugin)
    assert (clone / "template" / "rename.py").exists(), "the clone itself is left as it is"


def bare(clone: Path, into: Path) -> Path:
    """The repository as a server has it."""
    repository = into / "vdk-sources.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(clone), str(repository)], check=True)
    return repository


def cache() -> str:
    """uv's, which it would look for in HOME; that is the test's, for cookiecutter keeps its clones there."""
    return subprocess.run(["uv", "cache", "dir"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("name", ["my-crm", "x", "acme-cloud-2", "customer-relations-2"])
def test_nothing_is_left_of_the_templates_name(clone: Path, tmp_path: Path, name: str) -> None:
    """Neither in contents nor in paths, in any spelling, where it is no part of the new name."""
    folder = copied(clone, tmp_path, name)
    camel = "".join(word.capitalize() for word in name.split("-"))
    new = [name, name.replace("-", "_"), camel]
    for path, content in files_of(folder).items():
        rest = re.sub("|".join(new), "", f"{path}\n{content.decode()}")
        assert not re.search("acme", rest, re.IGNORECASE), f"{path}: {rest}"
    assert not {"rename.py", "cookiecutter.json", "hooks"} & {path.name for path in folder.iterdir()}
    assert (folder / "src" / "vdk" / "plugin" / f"source_{new[1]}" / "source.py").exists()
    assert f"class {camel}Source(" in (folder / "src/vdk/plugin" / f"source_{new[1]}" / "source.py").read_text("utf-8")
    for command in (["check"], ["format", "--check"]):
        subprocess.run(["ruff", *command, "--quiet", "--no-cache", str(folder)], check=True)


def test_the_plugin_is_right_at_once(plugin: Path, machine: Machine, tmp_path: Path) -> None:
    """Its tests pass, it type-checks, builds, shows in `vdk version`, its example job runs, and its name is taken."""
    folder = Path(shutil.copytree(plugin, tmp_path / plugin.name))
    machine("uv", "build", "--quiet", "--python", machine.home, cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    machine("uv", "pip", "install", "--quiet", wheel, cwd=folder)
    try:
        told = machine("vdk", "version", cwd=tmp_path)
        assert f"{folder.name} (from package {folder.name}, version " in told.stdout + told.stderr
        assert "passed" in machine("pytest", "-p", "no:cacheprovider", cwd=folder).stdout
        told = machine("vdk", "run", "my-crm-example", cwd=folder)
        assert "B-2 is open: Please move my desk to the window" in told.stdout + told.stderr
        told = machine("vdk", "datasource", "new", "my-crm", cwd=tmp_path, fails=True)
        assert "'my-crm' is installed already, by vdk-source-my-crm: choose another name" in told.stderr
        machine("mypy", "--python-executable", machine.python, cwd=folder)
    finally:
        machine("uv", "pip", "uninstall", "--quiet", folder.name, cwd=folder)


@pytest.mark.heavy
def test_the_repository_takes_it_for_a_word_in_tox_ini(machine: Machine, tmp_path: Path) -> None:
    """`make lint` asks for that word and for nothing else, though it looks at names, jobs and settings."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    clone = tmp_path / "clone"
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, clone / name)
    subprocess.run(["git", "init", "--quiet", str(clone)], check=True)
    copied(clone, clone / "plugins", "my-crm")
    needs = ["--with", "check-jsonschema", "--with", "pyyaml"]
    lint = ["uv", "run", "--quiet", "--no-project", "--python", sys.executable, *needs, "tools/check_house.py"]
    told = machine(*lint, cwd=clone, fails=True).stdout
    assert told == "tox.ini: env_list lacks my-crm, so vdk-source-my-crm is not tested\n"
    table = (clone / "tox.ini").read_text("utf-8")
    (clone / "tox.ini").write_text(table.replace("env_list =\n    {", "env_list =\n    {my-crm,", 1), "utf-8")
    assert "all is well" in machine(*lint, cwd=clone).stdout


@pytest.mark.parametrize(
    ("name", "folder", "problem"),
    [
        ("My-CRM", "vdk-source-my-crm", "cannot be a name: say lower-case words"),
        ("a--b", "vdk-source-a--b", "cannot be a name: say lower-case words"),
        ("2go", "vdk-source-2go", "cannot be a name: say lower-case words"),
        ("", "vdk-source-", "cannot be a name: say lower-case words"),
        ("import", "vdk-source-import", "a word of Python: say more, like import-api"),
        ("acme", "vdk-source-acme", "taken: say more, like acme-api"),
        ("my-crm", "template", "copy the template to a folder called like the plugin, 'vdk-source-my-crm'"),
    ],
)
def test_what_cannot_be_is_refused_before_any_change(
    clone: Path, tmp_path: Path, name: str, folder: str, problem: str
) -> None:
    """With an error that says what to do; the template itself is not renamed by mistake."""
    copy = Path(shutil.copytree(clone / "template", tmp_path / folder))
    before = files_of(copy)
    command = [sys.executable, str(copy / "rename.py"), name]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert problem in done.stderr
    assert files_of(copy) == before


def test_a_file_that_is_no_text_is_refused_before_any_change(clone: Path, tmp_path: Path) -> None:
    """What the example job has written, for one."""
    copy = Path(shutil.copytree(clone / "template", tmp_path / "vdk-source-x"))
    (copy / "acme-example" / "lake.duckdb").write_bytes(b"\xff")
    before = files_of(copy)
    command = [sys.executable, str(copy / "rename.py"), "x"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "lake.duckdb is no text" in done.stderr
    assert files_of(copy) == before


def make_folder(folder: Path) -> None:
    (folder / "vdk-source-x").mkdir()


def make_file(folder: Path) -> None:
    (folder / "vdk-source-x").write_text("mine", "utf-8")


def make_link(folder: Path) -> None:
    (folder / "vdk-source-x").symlink_to("nowhere")


@pytest.mark.parametrize("make", [make_folder, make_file, make_link])
def test_what_is_there_is_not_touched(machine: Machine, tmp_path: Path, make: Callable[[Path], None]) -> None:
    """`vdk datasource new` writes over nothing, and leaves nothing behind."""
    make(tmp_path)
    told = machine("vdk", "datasource", "new", "x", cwd=tmp_path, fails=True).stderr
    assert "vdk-source-x exists already" in told
    assert [path.name for path in tmp_path.iterdir()] == ["vdk-source-x"]


def test_the_folder_can_be_said(machine: Machine, tmp_path: Path) -> None:
    """--into names the one in which the plugin is made."""
    (tmp_path / "plugins").mkdir()
    machine("vdk", "datasource", "new", "x", "--into", "plugins", cwd=tmp_path)
    assert (tmp_path / "plugins" / "vdk-source-x" / "setup.py").exists()
