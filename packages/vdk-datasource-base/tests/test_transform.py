"""How transforms are imported: from beside their own flow file, whatever else is imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs import install, process
from vdk.plugin.datasource_base import ConfigurationError
from vdk.plugin.datasource_base.parts.columns.transform import load_transform


@pytest.fixture(autouse=True)
def modules() -> Iterator[None]:
    """What is imported here is gone afterwards."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def folder(path: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, "utf-8")
    return path


def answer(path: Path, reference: str = "helpers:fix") -> Any:
    """The value that a transform of this folder returns."""
    transform = load_transform(reference, folder=path, location="flow: flows[0]")
    assert transform is not None
    (row,) = transform([], stream="t") or [{}]
    return row["from"]


def module(value: str, *, imports: str = "") -> str:
    return f"{imports}\ndef fix(rows):\n    return [{{'from': {value}}}]\n"


def test_two_folders_have_each_its_own_module(tmp_path: Path) -> None:
    """In either order, and again."""
    folders = {name: folder(tmp_path / name, {"helpers.py": module(f"'{name}'")}) for name in "ab"}
    for name in "abba":
        assert answer(folders[name]) == name
    assert "helpers" not in sys.modules


@pytest.mark.parametrize("imports", ["import common", "from . import common", "from common import name"])
def test_what_their_modules_import_is_apart_too(tmp_path: Path, imports: str) -> None:
    """By its bare name, as scripts do, or as a part of the folder."""
    value = "name" if "import name" in imports else "common.name"
    for name in "aba":
        files = {"helpers.py": module(value, imports=imports), "common.py": f"name = '{name}'"}
        assert answer(folder(tmp_path / name, files)) == name


def test_a_module_in_a_package_and_a_package_are_found(tmp_path: Path) -> None:
    path = folder(tmp_path, {"shop/clean.py": module("'clean'"), "tools/__init__.py": module("'tools'")})
    assert (answer(path, "shop.clean:fix"), answer(path, "tools:fix")) == ("clean", "tools")


def test_types_that_look_up_their_module_work(tmp_path: Path) -> None:
    """Dataclasses and ``get_type_hints`` ask ``sys.modules`` for it."""
    text = """
from __future__ import annotations
import dataclasses, typing
@dataclasses.dataclass
class Row:
    number: Number
Number = int
def fix(rows):
    return [{'from': typing.get_type_hints(Row)['number'] is int}]
"""
    assert answer(folder(tmp_path, {"helpers.py": text})) is True


def test_a_file_of_the_name_of_an_installed_module_is_that_of_the_flow(tmp_path: Path) -> None:
    """And the installed one stays what it is for all others."""
    import tabulate

    assert answer(folder(tmp_path, {"tabulate.py": module("'here'")}), "tabulate:fix") == "here"
    assert sys.modules["tabulate"] is tabulate


def test_a_module_that_a_step_has_imported_is_not_run_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its state is that of the job."""
    monkeypatch.syspath_prepend(folder(tmp_path, {"of_the_job.py": module("number") + "number = 1"}))
    import of_the_job  # type: ignore[import-not-found]  # the test writes it

    of_the_job.number = 2
    assert answer(tmp_path, "of_the_job:fix") == 2


def test_one_that_is_not_found_says_where_it_was_looked_for(tmp_path: Path) -> None:
    """With the closest name in the folder."""
    path = folder(tmp_path, {"helpers.py": module("1")})
    with pytest.raises(ConfigurationError) as caught:
        answer(path, "helper:fix")
    text = str(caught.value)
    assert "flow: flows[0].transform: 'helper:fix': the module 'helper' does not exist: neither" in text
    assert f"as {path / 'helper.py'} nor as {path / 'helper' / '__init__.py'}, nor installed in" in text
    assert sys.prefix in text
    assert text.endswith("did you mean 'helpers'?")
    with pytest.raises(ConfigurationError, match=r"helpers \(.*helpers\.py\) has no function 'fx'; did you mean 'fix'"):
        answer(path, "helpers:fx")


def test_one_whose_own_import_is_missing_names_that(tmp_path: Path) -> None:
    """The module itself is there."""
    path = folder(tmp_path, {"helpers.py": "import no_such_library"})
    with pytest.raises(ConfigurationError, match=r"cannot be imported: ModuleNotFoundError: .*'no_such_library'"):
        answer(path)


def test_two_flow_files_of_one_process_run_each_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Really run, one after the other."""
    install(tmp_path)
    flow = """
        [sources.src]
        name = "numbers"
        config = { upto = 1 }
        [destinations.lake]
        method = "kept"
        target = "NAME"
        [[flows]]
        from = "src"
        to = "lake"
        streams = ["numbers"]
        transform = "helpers:fix"
    """
    for name in "ab":
        folder(tmp_path / name, {"flow.toml": flow.replace("NAME", name), "helpers.py": module(f"'{name}'")})
    script = """if True:
        from vdk.plugin.datasource_base import run_flows
        from vdk.plugin.datasource_base.testing import MemoryDestination
        for name in "ab":
            run_flows(None, f"{name}/flow.toml")
            print(MemoryDestination.tables(name)["numbers"])
    """
    monkeypatch.chdir(tmp_path)
    done = process("-c", script, path=tmp_path)
    assert done.stdout.splitlines() == ["[{'from': 'a'}]", "[{'from': 'b'}]"], done.stderr
