"""The rules of this repository that no other tool checks.

The template and each folder of packages/ and plugins/ have what the build and the release need, their three names
are equal, nothing owns the shared ``vdk`` namespace, every YAML and TOML file parses, the pipelines are valid for
GitLab, the table of tox.ini names every distribution, no distribution imports a private module of another,
docs/architecture.md is true, and no text or name uses a banned word.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import yaml

import distributions as d
from check_architecture import check_architecture
from check_sources import LICENCE, check_sources, imports_in
from check_words import check_words
from ci_report import PYTHONS

# The distributions whose names differ from those of their import packages.
DISTRIBUTIONS = {
    "jwt": "pyjwt",
    "dotenv": "python-dotenv",
    "cloudquery": "cloudquery-plugin-pb",
    "grpc": "grpcio",
    "opentelemetry": "opentelemetry-sdk",
    "vdk.api": "vdk-core",
    "vdk.internal": "vdk-core",
    **{f"vdk.plugin.{each.package}": each.name for each in d.all_distributions()},
}
VERSION = re.compile(r'^__version__ = "\d+\.\d+\.\d+"$', re.MULTILINE)
NEEDED = ("setup.py", "README.md", "LICENSE", "requirements.txt", ".plugin-ci.yml", "src", "tests")


class GitLabLoader(yaml.SafeLoader):
    """Reads GitLab's files, which have a tag of their own."""


def reference(loader: GitLabLoader, node: yaml.Node) -> list[object]:
    """``!reference [job, key]``, which GitLab replaces by that key's value."""
    assert isinstance(node, yaml.SequenceNode)
    return loader.construct_sequence(node)


GitLabLoader.add_constructor("!reference", reference)


def main() -> int:
    problems = [*check_files_parse(), *check_pipelines(), *check_table(), *check_sources(d.all_distributions())]
    problems += [*check_architecture(), *check_words()]
    for distribution in d.all_distributions():
        problems += [f"{distribution.folder.relative_to(d.ROOT)}: {problem}" for problem in check_folder(distribution)]
    print("\n".join(problems) or "house rules: all is well")
    return 1 if problems else 0


def check_files_parse() -> Iterator[str]:
    """Every YAML and TOML file that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.yml", "*.yaml", "*.toml"],
        check=True,
        cwd=d.ROOT,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        path = d.ROOT / name
        # Test data and examples may hold broken files on purpose.
        if path.exists() and "tests" not in path.parts:
            try:
                parse(path)
            except (yaml.YAMLError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                yield f"{name}: {error}"


def parse(path: Path) -> object:
    """The content of a TOML file, or the first document of a YAML file, of which all are read."""
    text = path.read_text("utf-8")
    return tomllib.loads(text) if path.suffix == ".toml" else [*yaml.load_all(text, Loader=GitLabLoader), None][0]


def check_pipelines() -> Iterator[str]:
    """The pipeline, the files it includes and the workflows, against the schemas of GitLab and GitHub."""
    files = [
        d.ROOT / ".plugin-ci.yml",
        *(distribution.folder / ".plugin-ci.yml" for distribution in d.all_distributions()),
    ]
    yield from check_schema(files, "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
    workflows = [path for each in d.all_distributions() for path in each.folder.glob(".github/workflows/*.yml")]
    yield from check_schema(workflows, "--builtin-schema", "vendor.github-workflows")


def check_schema(files: list[Path], *schema: str) -> Iterator[str]:
    existing = [str(file) for file in files if file.exists()]
    command = [sys.executable, "-m", "check_jsonschema", *schema, *existing]
    finished = subprocess.run(command, check=False, cwd=d.ROOT, capture_output=True, text=True)
    if existing and finished.returncode:
        yield f"{finished.stdout}{finished.stderr}"


def check_table() -> Iterator[str]:
    """tox.ini's list of environments names every distribution: one that is missing there is never tested."""
    lines = re.findall(r"^    \{?([\w,-]+?)\}?-py", (d.ROOT / "tox.ini").read_text("utf-8"), re.MULTILINE)
    names = {name for line in lines for name in line.split(",")}
    for distribution in d.all_distributions():
        if not names & {distribution.name, distribution.short_name}:
            yield f"tox.ini: env_list lacks {distribution.short_name}, so {distribution.name} is not tested"


def check_folder(distribution: d.Distribution) -> Iterator[str]:
    folder, name = distribution.folder, distribution.name
    if missing := [part for part in NEEDED if not (folder / part).exists()]:
        yield f"lacks {', '.join(missing)}"
        return
    project = distribution.metadata()
    if project.get("name") != name:
        yield f"the distribution is called {project.get('name')!r}; folder and name must be the same"
    if project.get("license") != LICENCE:
        yield f'pyproject.toml: write license = "{LICENCE}"'
    entry_points = project.get("entry-points", {})
    assert isinstance(entry_points, dict)
    if list(entry_points.get("vdk.plugin.run", {})) != [name]:
        yield f"must have one vdk.plugin.run entry point, called {name}: the plugin CI looks for it in 'vdk version'"
    for source, path in registered_sources(folder):
        if entry_points.get("vdk.datasource.sources", {}).get(source) != path:
            yield f'pyproject.toml: vdk.datasource.sources needs {source} = "{path}": CloudQuery and Spark call no hook'
    for namespace in ("src/vdk/__init__.py", "src/vdk/plugin/__init__.py"):
        if (folder / namespace).exists():
            yield f"{namespace} would hide every other VDK plugin: delete it"
    if not VERSION.search((folder / "setup.py").read_text("utf-8")):
        yield 'setup.py needs a line like __version__ = "0.1.0" with three numbers: the release job rewrites the last'
    if (folder / "LICENSE").read_bytes() != (d.ROOT / "LICENSE").read_bytes():
        yield "LICENSE differs from the repository's"
    yield from check_style(folder)
    yield from (f"pyproject.toml: {problem}" for problem in check_dependencies(distribution))
    yield from (f".plugin-ci.yml: {problem}" for problem in check_jobs(folder / ".plugin-ci.yml", name))


def registered_sources(folder: Path) -> list[tuple[str, str]]:
    """The names and classes that a plugin registers in VDK's hook."""
    files = folder.glob("src/vdk/plugin/*/plugin_entry.py")
    return [
        each for file in files for each in re.findall(r'registry\.add\("(.+?)", "(.+?)"\)', file.read_text("utf-8"))
    ]


def check_dependencies(distribution: d.Distribution) -> Iterator[str]:
    """What the sources import is declared, and each dependency has a lower bound."""
    declared = {d.canonical_name(line): line for line in distribution.dependencies()}
    for name, line in declared.items():
        if ">=" not in line:
            yield f"{line!r} needs a lower bound, such as {name}>=1.0, which the environments of Python 3.11 test"
    for module, file in sorted(imported_modules(distribution.folder / "src").items()):
        needed = DISTRIBUTIONS.get(module, module.replace("_", "-"))
        if needed not in {*declared, distribution.name}:
            yield f'{file} imports {module}: add "{needed}>=..." to the dependencies or to an extra'


def imported_modules(sources: Path) -> dict[str, str]:
    """Top-level modules imported from other distributions, anywhere in a file, each with one file that does so."""
    modules: dict[str, str] = {}
    for path in sources.rglob("*.py"):
        for _, name in imports_in(path.read_text("utf-8")):
            # vdk and vdk.plugin are shared: what belongs to one distribution is a level or two below.
            depth = 3 if name.startswith("vdk.plugin.") else 2 if name.startswith("vdk.") else 1
            module = ".".join(name.split(".")[:depth])
            if module not in sys.stdlib_module_names and module != "vdk.plugin":
                modules.setdefault(module, path.relative_to(sources).as_posix())
    return modules


def check_style(folder: Path) -> Iterator[str]:
    """A folder that can be copied alone repeats the settings of ruff, which prefers them: they must be the same."""
    own, ours = (
        tomllib.loads((place / "pyproject.toml").read_text("utf-8")).get("tool", {}).get("ruff", {})
        for place in (folder, d.ROOT)
    )
    for name in ("line-length", "target-version"):
        if own and own.get(name) != ours[name]:
            yield f"pyproject.toml: tool.ruff.{name} is {own.get(name)!r}, and {ours[name]!r} in the whole repository"
    if own and own.get("lint", {}).get("select") != ours["lint"]["select"]:
        yield f"pyproject.toml: tool.ruff.lint.select must be that of the repository, {ours['lint']['select']}"


def check_jobs(file: Path, name: str) -> Iterator[str]:
    """The jobs that the plugin CI expects: one to build it on each Python, and one to release it."""
    jobs = parse(file)
    assert isinstance(jobs, dict)
    builds = [f"build-py{version.replace('.', '')}-{name}" for version in PYTHONS]
    parents = {f".build-{name}": ".build-plugin", f"release-{name}": ".release-plugin"}
    for job, parent in {**parents, **dict.fromkeys(builds, f".build-{name}")}.items():
        existing = jobs.get(job, {})
        if existing.get("extends") != parent:
            yield f"needs the job {job}, which extends {parent}"
        if job in parents and existing.get("variables", {}).get("PLUGIN_NAME") != name:
            yield f"{job} must set PLUGIN_NAME: {name}"


if __name__ == "__main__":
    sys.exit(main())
