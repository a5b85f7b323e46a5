# SPDX-License-Identifier: Apache-2.0
"""CloudQuery's configuration files as flows: ``kind: source`` and ``kind: destination`` become a flow file's tables.

https://docs.cloudquery.io/docs/reference/source-spec and …/destination-spec have the format, and
https://docs.cloudquery.io/docs/managing-cloudquery/environment-variables its variables.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...contract import ConfigurationError, Duration
from ...contract.remedies import did_you_mean, suggest
from ..references import environment, file_content, resolve, with_dotenv

KINDS = ("source", "destination")
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_QUOTED = re.compile(r"'[^']{2,}'")
_NAME = re.compile(r"[A-Za-z_]\w*")
_REGISTRIES = ("cloudquery", "docker", "github", "local")
_COMMON = ("name", "path", "registry", "version", "spec")
_SOURCE_KEYS = (*_COMMON, "tables", "skip_tables", "destinations", "backend_options")
_DESTINATION_KEYS = (*_COMMON, "write_mode", "migrate_mode", "pk_mode")
_ONLY_VALUES = {"migrate_mode": "safe", "pk_mode": "default"}
"""The one value that a key of a destination may have here."""
_BATCHES = {"batch_size": "batch_rows", "batch_size_bytes": "batch_bytes"}
"""Options of CloudQuery's destinations, and those of a flow."""
_FORMATS = ("parquet",)
DESTINATIONS = ("duckdb", "sqlite", "postgresql", "file")


@dataclass(frozen=True, slots=True)
class Document:
    """A document of a configuration file.

    :param kind: ``"source"`` or ``"destination"``. :param location: the file and the document's kind and name.
    """

    kind: str
    spec: Mapping[str, Any]
    location: str
    file: str

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def plugin(self) -> str:
        """The last part of the path, without the prefix that programs of plugins have, and the tag of an image."""
        last = str(self.spec["path"]).rstrip("/").rpartition("/")[2]
        if self.spec.get("registry") == "docker":
            last = re.split("[:@]", last)[0]
        return last.removeprefix(f"cq-{self.kind}-")

    @property
    def options(self) -> Mapping[str, Any]:
        return self.spec.get("spec") or {}

    def refused(self, key: str, value: object = None) -> ConfigurationError:
        shown = f"{key}: {value}" if value is not None else key
        return ConfigurationError(
            f"{self.location}: {shown!r} has no counterpart here; remove the line, or run the file with CloudQuery's "
            f"own command: cloudquery sync {self.file}"
        )


def read_flow(paths: Sequence[Path]) -> dict[str, Any]:
    """The flow that CloudQuery's files describe. A folder stands for all its YAML files.

    :raises ConfigurationError: naming the file, the key and the remedy, also for what has no counterpart in a flow.
    """
    documents = [document for path in paths for file in _files(path) for document in _documents(file)]
    sources, destinations = ({each.name: each for each in _unique(documents, kind)} for kind in KINDS)
    files = ", ".join(map(str, paths))
    for kind, named in (("source", sources), ("destination", destinations)):
        if not named:
            raise ConfigurationError(
                f"{files}: no document has kind: {kind}; write one, or add its file to the command"
            )
    flows = [
        _flow(source, destinations[name])
        for source in sources.values()
        for name in _destination_names(source, destinations)
    ]
    return {
        "sources": {name: _source_entry(source) for name, source in sources.items()},
        "destinations": {name: {"method": "arrow", "target": _target(each)} for name, each in destinations.items()},
        "flows": flows,
    }


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix in (".yml", ".yaml"))
    if not files:
        raise ConfigurationError(f"folder {str(path)!r} has no file that ends in .yml or .yaml")
    return files


def _documents(path: Path) -> Iterator[Document]:
    if path.suffix == ".toml":
        raise ConfigurationError(
            f"file {str(path)!r} is TOML, and CloudQuery's files are YAML; if it is a flow file, write: vdk datasource "
            f"run {shlex.quote(str(path))}"
        )
    yaml = _yaml()
    try:
        loaded = list(yaml.load_all(path.read_text("utf-8-sig"), _loader(yaml)))
        contents = [_without_null(content) for content in loaded if content is not None]
    except OSError as error:
        raise ConfigurationError(f"file {str(path)!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"file {str(path)!r} is not UTF-8; save it as UTF-8") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"file {str(path)!r} is not valid YAML{_problem(error)}") from None
    for number, content in enumerate(contents, 1):
        yield _document(content, path.name, number, str(path))


def _yaml() -> Any:
    try:
        return import_module("yaml")
    except ImportError:
        raise ConfigurationError(
            "CloudQuery's files are YAML, and PyYAML is not installed; write: pip install "
            "'vdk-datasource-base[cloudquery]'"
        ) from None


def _loader(yaml: Any) -> Any:
    """A safe loader that refuses equal keys, as YAML does (1.2.2, section 3.2.1.3); PyYAML takes the last of them."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # the module is imported late
        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            seen: set[tuple[str, str]] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    if (key.tag, key.value) in seen:
                        problem = f"the key {key.value} is written twice; remove one of the two"
                        raise yaml.composer.ComposerError(problem=problem, problem_mark=key.start_mark)
                    seen.add((key.tag, key.value))
            return node

    return Loader


def _problem(error: Exception) -> str:
    """What is wrong and where, without the texts that the whole message quotes: one may be a password."""
    if isinstance(error, RecursionError):
        return ": it is nested too deeply, or refers to itself"
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    place = f": line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    return f"{place}: {_QUOTED.sub('…', problem)}" if problem else place


def _document(content: Any, file: str, number: int, path: str) -> Document:
    location = f"{file}: document {number}"
    if not isinstance(content, Mapping) or not isinstance(content.get("spec"), Mapping):
        raise ConfigurationError(f"{location}: kind and spec are missing; write:\nkind: source\nspec:\n  name: …")
    kind = content.get("kind")
    if kind not in KINDS:
        hint = did_you_mean(str(kind), KINDS) or f"a flow is made of kind: {' and kind: '.join(KINDS)}"
        raise ConfigurationError(f"{location}: kind: {kind} has no counterpart here; {hint}")
    spec = content["spec"]
    known = _SOURCE_KEYS if kind == "source" else _DESTINATION_KEYS
    for key in ("name", "path"):
        if not isinstance(spec.get(key), str) or not spec[key]:
            raise ConfigurationError(f"{location}, kind: {kind}: {key!r} is missing; write {key}: …")
    if _VARIABLE.search(spec["name"]):
        raise ConfigurationError(f"{location}, kind: {kind}: 'name' has a variable; write the name itself")
    document = Document(kind, _with_references(spec, f"{location}: spec"), f"{file}: {kind} {spec['name']!r}", path)
    for key in spec:
        if key not in known:
            if hint := did_you_mean(key, known, cutoff=0.75):
                raise ConfigurationError(f"{document.location}: unknown key {key!r}; {hint}")
            raise document.refused(key)
    _check_registry(document)
    if not isinstance(document.options, Mapping):
        raise ConfigurationError(f"{document.location}: spec is not a table of options; write spec: {{…}}")
    return document


def _check_registry(document: Document) -> None:
    registry = document.spec.get("registry", "cloudquery")
    if registry == "grpc":
        raise ConfigurationError(
            f"{document.location}: registry: grpc has an address as its path, which does not name the source; write, "
            "for example, path: sqlite, without registry: the source runs in this process"
        )
    if registry not in _REGISTRIES:
        raise ConfigurationError(
            f"{document.location}: registry: {registry} is unknown; {suggest(str(registry), _REGISTRIES)}"
        )


def _without_null(value: Any) -> Any:
    """The value without keys that are null, which YAML has for a key without a value."""
    if isinstance(value, Mapping):
        return {str(key): _without_null(item) for key, item in value.items() if item is not None}
    return [_without_null(item) for item in value] if isinstance(value, list) else value


def _with_references(value: Any, location: str) -> Any:
    """The value with ``${NAME}`` as ``${env:NAME}``; ``${file:path}`` is the same in a flow file."""
    if isinstance(value, Mapping):
        return {key: _with_references(item, f"{location}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_with_references(item, f"{location}[{index}]") for index, item in enumerate(value)]
    return _VARIABLE.sub(lambda match: _reference(match, location), value) if isinstance(value, str) else value


def _reference(variable: re.Match[str], location: str) -> str:
    content = variable[1]
    if content.startswith("file:") and len(content) > len("file:"):
        return variable[0]
    if _NAME.fullmatch(content):
        return f"${{env:{content}}}"
    raise ConfigurationError(
        f"{location}: {variable[0]} is not a variable that a flow has; write ${{NAME}} for a variable of the "
        "environment, or ${file:path} for the content of a file"
    )


def _unique(documents: Sequence[Document], kind: str) -> list[Document]:
    chosen = [document for document in documents if document.kind == kind]
    names = [document.name for document in chosen]
    for document in chosen:
        if names.count(document.name) > 1:
            raise ConfigurationError(f"{document.location}: two documents have this name; write another name: …")
    return chosen


def _source_entry(source: Document) -> dict[str, Any]:
    return {"name": source.plugin, **({"config": dict(source.options)} if source.options else {})}


def _destination_names(source: Document, destinations: Mapping[str, Document]) -> list[str]:
    names = source.spec.get("destinations")
    if not isinstance(names, list) or not names:
        written = ", ".join(destinations)
        raise ConfigurationError(f"{source.location}: 'destinations' is missing; write destinations: [{written}]")
    for name in names:
        if str(name) not in destinations:
            raise ConfigurationError(
                f"{source.location}: destinations: no document describes {name!r}; {suggest(str(name), destinations)}"
            )
    if len(set(map(str, names))) < len(names):
        raise ConfigurationError(f"{source.location}: destinations: {names} has a name twice; write it once")
    return [str(name) for name in names]


def _flow(source: Document, destination: Document) -> dict[str, Any]:
    flow: dict[str, Any] = {"from": source.name, "to": destination.name}
    patterns = _patterns(source)
    if patterns != ["*"]:
        flow["streams"] = patterns
    if mode := _write_mode(source, destination):
        flow["write_mode"] = mode
    options = destination.options
    flow |= {ours: options[theirs] for theirs, ours in _BATCHES.items() if theirs in options}
    if "batch_timeout" in options:
        flow["batch_seconds"] = _seconds(destination, options["batch_timeout"])
    return flow


def _patterns(source: Document) -> list[str]:
    tables, skipped = source.spec.get("tables"), source.spec.get("skip_tables") or []
    for key, value in (("tables", tables or None), ("skip_tables", skipped)):
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigurationError(f'{source.location}: {key!r} is not a list of names; write {key}: ["*"]')
    return [*(tables or ()), *(f"!{name}" for name in skipped)]


def _write_mode(source: Document, destination: Document) -> str | None:
    """The flow's write mode; None: the flow's default.

    With ``backend_options`` CloudQuery deletes stale rows of the tables only that are not incremental, which is the
    default of a flow: it upserts the incremental streams and replaces the others.
    """
    modes = {"append": "append", "overwrite": "upsert", "overwrite-delete-stale": "replace"}
    for key, value in _ONLY_VALUES.items():
        if destination.spec.get(key, value) != value:
            raise destination.refused(key, destination.spec[key])
    mode = destination.spec.get("write_mode", "append" if destination.plugin == "file" else "overwrite-delete-stale")
    if not isinstance(mode, str) or mode not in modes:
        raise ConfigurationError(
            f"{destination.location}: write_mode: {mode!r} is unknown; {suggest(str(mode), modes)}"
        )
    return None if mode == "overwrite-delete-stale" and "backend_options" in source.spec else modes[mode]


def _seconds(destination: Document, text: Any) -> float:
    try:
        return Duration.parse(str(text)).total_seconds()
    except ValueError as error:
        raise ConfigurationError(f"{destination.location}: batch_timeout: {error}") from None


def _target(destination: Document) -> str:
    plugin = destination.plugin
    if plugin not in DESTINATIONS:
        raise ConfigurationError(
            f"{destination.location}: the destination {plugin!r} has no counterpart here; "
            f"{suggest(plugin, DESTINATIONS)}"
        )
    if plugin == "file":
        return _parquet_target(destination)
    text = _option(destination, "connection_string")
    _check_options(destination, ("connection_string",))
    if plugin == "postgresql":
        if not re.match(r"postgres(ql)?://|\$\{", text):
            raise ConfigurationError(
                f"{destination.location}: connection_string is not a URL; write connection_string: "
                "postgresql://user:${PASSWORD}@host:5432/database"
            )
        return text
    path = _checked_path(destination, "connection_string", text)
    if not path or path.startswith((":memory:", "file:", "md:")) or "?" in path:
        raise ConfigurationError(
            f"{destination.location}: connection_string is not the path of a file; write connection_string: "
            f"./lake.{'duckdb' if plugin == 'duckdb' else 'db'}"
        )
    return f"{plugin}:///{_url_path(text)}"


def _parquet_target(destination: Document) -> str:
    """The folder before the placeholders of the path: a table is a folder within it, with files of its own names."""
    _check_options(destination, ("path", "format", "compression", "no_rotate"))
    format_, path = destination.options.get("format"), _option(destination, "path")
    _checked_path(destination, "path", path)
    if format_ not in _FORMATS:
        raise ConfigurationError(
            f"{destination.location}: format: {format_} has no counterpart here; write format: parquet"
        )
    folder, placeholder, _ = path.partition("{{")
    if placeholder and folder and not folder.endswith("/"):
        raise ConfigurationError(
            f"{destination.location}: path: {path!r} has a placeholder in the name of a folder; write path: "
            f"{folder.rpartition('/')[0] or 'lake'}/{{{{TABLE}}}}, and a table is a folder of this folder"
        )
    compression = destination.options.get("compression")
    return f"parquet:///{_url_path(folder.rstrip('/') or '.')}" + (f"?compression={compression}" if compression else "")


def _check_options(destination: Document, known: Collection[str]) -> None:
    every = (*known, *_BATCHES, "batch_timeout")
    for key in destination.options:
        if key not in every:
            if hint := did_you_mean(key, every, cutoff=0.75):
                raise ConfigurationError(f"{destination.location}: spec: unknown option {key!r}; {hint}")
            raise destination.refused(f"spec.{key}")


def _option(destination: Document, key: str) -> str:
    value = destination.options.get(key)
    if not isinstance(value, str):
        raise ConfigurationError(f"{destination.location}: spec: {key!r} is missing; write {key}: …")
    return value


def _checked_path(destination: Document, key: str, text: str) -> str:
    """The path with the values of its variables, which become a part of a URL as they are.

    :raises ConfigurationError: for a value that means another path in a URL.
    """
    folder = Path.cwd()
    lookups = with_dotenv({"env": environment, "file": file_content(folder)}, folder)
    try:
        resolved = resolve(text, lookups, location=destination.location)
    except ConfigurationError:  # a variable is not set, which a run reports
        return text
    if any(character in value for value in resolved.values for character in "%?"):
        raise ConfigurationError(
            f"{destination.location}: {key}: the value of a variable has a '%' or '?'; write the path itself in the "
            f"file: {key}: …"
        )
    return str(resolved.data)


def _url_path(path: str) -> str:
    """A path, which may have references, as the path of a URL."""
    return quote(path.removeprefix("./") or ".", safe="/:${}~")
