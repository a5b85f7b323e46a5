"""The template has three doors: each makes the same plugin, of either kind, and the plugin works at once."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ROOT, TEMPLATE, Machine

Files = dict[str, bytes]
KINDS = ("files", "api")
OLDEST, NEWEST = "cookiecutter==2.4.0", "cookiecutter"
INVALID = "is not a valid name"


def files_of(folder: Path) -> Files:
    """The paths and contents of all files."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: paths[name].read_bytes() for name in sorted(paths)}


def make_by_copy(clone: Path, into: Path, name: str, kind: str) -> Path:
    """The door of a clone: cp and rename.py."""
    folder = into / f"vdk-source-{name.replace('_', '-').removeprefix('vdk-source-')}"
    subprocess.run(["cp", "-r", str(clone / "template"), str(folder)], check=True)
    subprocess.run([sys.executable, str(folder / "rename.py"), name, "--kind", kind], check=True)
    return folder


@pytest.fixture(scope="module")
def plugins(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A plugin called my-crm of each kind."""
    return {kind: make_by_copy(clone, tmp_path_factory.mktemp(kind), "my-crm", kind) for kind in KINDS}


@pytest.mark.parametrize(
    ("arguments", "kind"), [(["my_crm"], "files"), (["vdk-source-my-crm", "--kind", "api"], "api")]
)
def test_the_built_base_contains_the_template(
    plugins: dict[str, Path], machine: Machine, tmp_path: Path, arguments: list[str], kind: str
) -> None:
    """`vdk datasource new` makes what a copy makes, without a clone; the wheel was built from the sdist."""
    output = machine("vdk", "datasource", "new", *arguments, cwd=tmp_path).stdout
    assert "cd vdk-source-my-crm" in output
    assert files_of(tmp_path / "vdk-source-my-crm") == files_of(plugins[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_base_in_a_clone_reads_the_template_of_the_clone(plugins: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """An editable installation has no archive that could be older than the folder."""
    code = (
        "import pathlib; from vdk.plugin.datasource_base.integration.new_command import make_plugin; "
        f"make_plugin('my-crm', {kind!r}, pathlib.Path(), {{}})"
    )
    source = ROOT / "packages" / "vdk-datasource-base" / "src"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": str(source)})
    assert files_of(tmp_path / "vdk-source-my-crm") == files_of(plugins[kind])


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("version", "address", "kind"),
    [
        (OLDEST, "relative", "files"),
        (NEWEST, "absolute", "files"),
        (OLDEST, "git", "files"),
        (NEWEST, "git", "files"),
        (OLDEST, "zip", "files"),
        (NEWEST, "absolute", "api"),
    ],
)
def test_cookiecutter_makes_the_same(
    plugins: dict[str, Path], clone: Path, machine: Machine, tmp_path: Path, version: str, address: str, kind: str
) -> None:
    """By each way to name the repository, with the oldest version that has the hook and with the newest."""
    shutil.copytree(clone, tmp_path / "vdk-sources")
    (work := tmp_path / "work").mkdir()
    repository = {
        "relative": "../vdk-sources",
        "absolute": str(clone),
        "git": f"file://{bare_repository(clone, tmp_path)}",
        "zip": shutil.make_archive(str(tmp_path / "sources"), "zip", tmp_path, "vdk-sources"),
    }[address]
    answers = {"files": ["name=my-crm"], "api": ["name=vdk-source-my_crm", "kind=api"]}[kind]
    cookiecutter = ["uvx", "--quiet", "--python", sys.executable, "--from", version, "cookiecutter"]
    arguments = [repository, "--directory", "template", "--no-input", *answers]
    machine(*cookiecutter, *arguments, cwd=work, HOME=str(tmp_path), UV_CACHE_DIR=uv_cache())
    assert files_of(work / "vdk-source-my-crm") == files_of(plugins[kind])
    assert (clone / "template" / "rename.py").exists(), "the clone itself must not change"


def bare_repository(clone: Path, into: Path) -> Path:
    """The repository as a server stores it."""
    repository = into / "vdk-sources.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(clone), str(repository)], check=True)
    return repository


def uv_cache() -> str:
    """The cache of uv, which it would look for in HOME; HOME is the test's, since cookiecutter keeps clones in it."""
    return subprocess.run(["uv", "cache", "dir"], check=True, capture_output=True, text=True).stdout.strip()


def test_the_doors_offer_the_same_kinds() -> None:
    """rename.py, cookiecutter and the command."""
    from vdk.plugin.datasource_base.integration import new_command as new

    assert runpy.run_path(str(TEMPLATE / "rename.py"))["KINDS"] == KINDS
    assert new.KINDS == KINDS
    assert json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))["kind"] == list(KINDS)


def test_the_kinds_share_their_settings_and_registration() -> None:
    """Their pyproject.toml differ in the dependencies alone."""
    files, api = (tomllib.loads((TEMPLATE / part / "pyproject.toml").read_text("utf-8")) for part in ("", "api"))
    assert [line for line in api["project"].pop("dependencies") if not line.startswith("requests")] == files[
        "project"
    ].pop("dependencies")
    assert api == files
    for part in ("", "api"):
        needed = re.findall(r"(?m)^vdk-[\w-]+", (TEMPLATE / part / "requirements.txt").read_text("utf-8"))
        assert needed == ["vdk-test-utils", "vdk-datasource-base"], "the first test needs no wheel but the base's"
    entry = Path("src", "vdk", "plugin", "source_acme", "plugin_entry.py")
    assert (TEMPLATE / entry).read_bytes() == (TEMPLATE / "api" / entry).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["my-crm", "x", "acme-cloud-2", "customer-relations-2"])
def test_no_spelling_of_the_templates_name_remains(clone: Path, tmp_path: Path, name: str, kind: str) -> None:
    """Neither in contents nor in paths, except as a part of the new name."""
    folder = make_by_copy(clone, tmp_path, name, kind)
    module, camel = name.replace("-", "_"), "".join(word.capitalize() for word in name.split("-"))
    for path, content in files_of(folder).items():
        rest = re.sub(f"{name}|{module}|{camel}|{module.upper()}", "", f"{path}\n{content.decode()}")
        assert not re.search("acme", rest, re.IGNORECASE), f"{path}: {rest}"
    assert not {"rename.py", "cookiecutter.json", "hooks", "api"} & {path.name for path in folder.iterdir()}
    source = folder / "src" / "vdk" / "plugin" / f"source_{module}" / "source.py"
    assert f"class {camel}Source(" in source.read_text("utf-8")
    for command in (["check"], ["format", "--check"]):
        subprocess.run(["ruff", *command, "--quiet", "--no-cache", str(folder)], check=True)


@pytest.mark.parametrize("kind", ["files", pytest.param("api", marks=pytest.mark.heavy)])
def test_the_plugin_works_at_once(plugins: dict[str, Path], machine: Machine, tmp_path: Path, kind: str) -> None:
    """Its tests pass, it type-checks, builds, shows in `vdk version`, its example job runs, and its name is in use."""
    folder = Path(shutil.copytree(plugins[kind], tmp_path / plugins[kind].name))
    machine("uv", "build", "--quiet", "--python", machine.home, cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    machine("uv", "pip", "install", "--quiet", wheel, cwd=folder)
    try:
        done = machine("vdk", "version", cwd=tmp_path)
        assert f"{folder.name} (from package {folder.name}, version " in done.stdout + done.stderr
        tested = machine("pytest", "-p", "no:cacheprovider", cwd=folder).stdout
        assert "as a CloudQuery plugin" not in tested, "its checks were skipped"
        level = re.search(r"^Test\w+: stable .*", tested, re.M)
        assert level is not None
        assert level[0] in (folder / "README.md").read_text("utf-8")
        if kind == "files":  # the job of the other kind needs a server, which its own tests start
            done = machine("vdk", "run", "my-crm-example", cwd=folder)
            assert "B-2 is open: Please move my desk to the window" in done.stdout + done.stderr
        done = machine("vdk", "datasource", "new", "my-crm", cwd=tmp_path, fails=True)
        assert (
            "a source with the name 'my-crm' is installed already, by vdk-source-my-crm; choose another name"
            in done.stderr
        )
        machine("mypy", "--python-executable", machine.python, cwd=folder)
    finally:
        machine("uv", "pip", "uninstall", "--quiet", folder.name, cwd=folder)


@pytest.mark.heavy
def test_the_repository_needs_one_word_in_tox_ini(machine: Machine, tmp_path: Path) -> None:
    """`make lint` reports the missing word of each plugin and nothing else; it checks names, jobs and settings."""
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
    for kind in KINDS:
        make_by_copy(clone, clone / "plugins", f"my-{kind}", kind)
    needs = ["--with", "check-jsonschema", "--with", "pyyaml"]
    lint = ["uv", "run", "--quiet", "--no-project", "--python", sys.executable, *needs, "tools/check_house.py"]
    output = machine(*lint, cwd=clone, fails=True).stdout
    assert output.splitlines() == [
        f"tox.ini: env_list lacks my-{kind}, so vdk-source-my-{kind} is not tested" for kind in sorted(KINDS)
    ]
    table = (clone / "tox.ini").read_text("utf-8")
    (clone / "tox.ini").write_text(table.replace("\n    {", "\n    {my-files,my-api,", 1), "utf-8")
    assert "all is well" in machine(*lint, cwd=clone).stdout


@pytest.mark.parametrize(
    ("name", "folder", "problem"),
    [
        ("My-CRM", "vdk-source-my-crm", f"{INVALID}: use lower-case words"),
        ("a--b", "vdk-source-a--b", f"{INVALID}: use lower-case words"),
        ("2go", "vdk-source-2go", f"{INVALID}: use lower-case words"),
        ("", "vdk-source-", f"{INVALID}: use lower-case words"),
        ("vdk-source-", "vdk-source-", f"{INVALID}: use lower-case words"),
        ("import", "vdk-source-import", "a keyword of Python: use a longer one, like import-api"),
        ("acme", "vdk-source-acme", "reserved: use a longer one, like acme-api"),
        ("my-crm", "template", "expected 'vdk-source-my-crm'; copy the template first: cp -r "),
    ],
)
def test_a_wrong_name_or_folder_is_refused_before_any_change(
    clone: Path, tmp_path: Path, name: str, folder: str, problem: str
) -> None:
    """The error says what to do, and the template itself is not renamed by mistake."""
    copy = Path(shutil.copytree(clone / "template", tmp_path / folder))
    before = files_of(copy)
    command = [sys.executable, str(copy / "rename.py"), name]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert problem in done.stderr
    assert files_of(copy) == before


def test_a_file_that_is_not_text_is_refused_before_any_change(clone: Path, tmp_path: Path) -> None:
    """For example a database that the example job has written."""
    copy = Path(shutil.copytree(clone / "template", tmp_path / "vdk-source-x"))
    database = copy / "acme-example" / "lake.duckdb"
    database.write_bytes(b"\xff")
    before = files_of(copy)
    command = [sys.executable, str(copy / "rename.py"), "x"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert f"lake.duckdb is not a text file, so it is not part of the template: rm {database}" in done.stderr
    assert files_of(copy) == before


def make_folder(folder: Path) -> None:
    (folder / "vdk-source-x").mkdir()


def make_file(folder: Path) -> None:
    (folder / "vdk-source-x").write_text("mine", "utf-8")


def make_link(folder: Path) -> None:
    (folder / "vdk-source-x").symlink_to("nowhere")


@pytest.mark.parametrize("make", [make_folder, make_file, make_link])
def test_an_existing_folder_is_not_touched(machine: Machine, tmp_path: Path, make: Callable[[Path], None]) -> None:
    """`vdk datasource new` overwrites nothing, and leaves no scratch folder."""
    make(tmp_path)
    error = machine("vdk", "datasource", "new", "x", cwd=tmp_path, fails=True).stderr
    assert "vdk-source-x exists already; choose another name, or another folder with --into" in error
    assert [path.name for path in tmp_path.iterdir()] == ["vdk-source-x"]


def test_into_names_the_folder_in_which_the_plugin_is_made(machine: Machine, tmp_path: Path) -> None:
    """The default is the working directory."""
    (tmp_path / "plugins").mkdir()
    machine("vdk", "datasource", "new", "x", "--into", "plugins", cwd=tmp_path)
    assert (tmp_path / "plugins" / "vdk-source-x" / "setup.py").exists()
