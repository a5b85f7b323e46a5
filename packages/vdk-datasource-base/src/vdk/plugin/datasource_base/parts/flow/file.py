# SPDX-License-Identifier: Apache-2.0
"""Flow files: which streams go from which source to which destination, and how."""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ...contract import ConfigurationError, DataSourceConfig, Duration, Secret, decode_config
from ...contract.errors import ArgumentError
from ...contract.remedies import suggest
from ..destination import RESERVED_PREFIX, ColumnAction, WriteMode
from ..plugins.registry import Registry
from ..plugins.urls import source_of_url
from ..redact import Redactor, plain_secrets, secrets_in
from ..references import Lookup, Resolved, file_content, resolve, with_dotenv
from .overrides import OptionPath, Overrides
from .shape import check_shape

log = logging.getLogger(__name__)

Positive = Annotated[int, Meta(ge=1, le=2**63 - 1)]
OnError = Literal["continue", "stop"]
OnBadRecord = Literal["fail", "reject"]
_NO_OVERRIDES = Overrides()


class SourceEntry(DataSourceConfig):
    """``[sources.<id>]``: the registered name of a source, and its options."""

    name: str
    config: dict[str, Any] = msgspec.field(default_factory=dict)


class DestinationEntry(DataSourceConfig):
    """``[destinations.<id>]``: a VDK ingestion method and its target; default: the defaults of VDK."""

    method: str | None = None
    target: str | None = None


class StreamExpect(DataSourceConfig):
    """``expect``: what must hold of a table before rows become visible in it. None: nothing is expected."""

    rows_min: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    shrink_max: str | None = None
    unique: list[str | list[str]] | None = None
    not_null: list[str] | None = None
    max_age: Duration | None = None


class Expect(StreamExpect):
    """``expect`` of a flow: what holds for all its streams, and what differs for some of them, by name or pattern."""

    streams: dict[str, StreamExpect] = msgspec.field(default_factory=dict)

    def of(self, stream: str) -> StreamExpect:
        """What is expected of a stream: what the patterns that match it set, over what is set for all."""
        names = StreamExpect.__struct_fields__
        values = {name: getattr(self, name) for name in names}
        for pattern, own in self.streams.items():
            if matches(stream, [pattern]):
                values |= {name: value for name in names if (value := getattr(own, name)) is not None}
        return StreamExpect(**values)


class FlowEntry(DataSourceConfig):
    """``[[flows]]``: streams of one source into one destination. None: the default of the run."""

    from_: str = msgspec.field(name="from")
    to: str
    streams: list[str] | None = None
    write_mode: WriteMode | None = None
    destination_table: str | None = None
    shared_table: bool = False
    max_parallel_partitions: Positive | None = None
    batch_rows: Positive | None = None
    batch_bytes: Positive | None = None
    batch_seconds: Annotated[float, Meta(gt=0)] | None = None
    on_error: OnError | None = None
    on_bad_record: OnBadRecord | None = None
    max_rejected: int | str | None = None
    on_schema_change: Literal["evolve", "freeze"] = "evolve"
    deletes: Literal["hard", "soft"] = "hard"
    metadata_columns: list[str] = msgspec.field(default_factory=list)
    transform: Any = None
    columns: dict[str, ColumnAction] | list[str] | None = None
    salt: Secret | None = None
    require: Literal["exactly_once"] | None = None
    retry_attempts: Positive | None = None
    retry_for: Duration | None = None
    expect: Expect | None = None
    verify: bool | Literal["keys", "values"] = False
    follow: Duration | None = None
    idle_timeout: Duration | None = None
    deadline: Duration | None = None


_FLOW_OPTIONS = {field.encode_name for field in msgspec.structs.fields(FlowEntry)}


class FlowFile(DataSourceConfig):
    """A whole flow file. ``name`` names the job of ``vdk datasource run``; default: the file's name. ``notify``: a URL
    that is called for failures and for columns that change their type."""

    name: str | None = None
    summary: Path | None = None
    notify: Secret | None = None
    sources: dict[str, SourceEntry]
    destinations: dict[str, DestinationEntry]
    flows: Annotated[list[FlowEntry], Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class LoadedFlow:
    """A validated flow file, and what errors need to name and redact its values.

    :param set_paths: where values of the command line were set.
    """

    file: FlowFile
    location: str
    folder: Path
    resolved: Resolved
    set_paths: tuple[OptionPath, ...] = ()

    def source_config(self, source_id: str, type_: type[DataSourceConfig]) -> DataSourceConfig:
        """The typed options of a source. Raises ``ConfigurationError`` naming the path and value."""
        prefix = f"sources.{source_id}.config."
        config = decode_config(
            self.file.sources[source_id].config,
            type_,
            location=f"{self.location}: {prefix[:-1]}",
            folder=self.folder,
            lenient=_below(prefix, self.resolved.whole),
            sensitive=frozenset(_below(prefix, dict.fromkeys(self.resolved.paths, ""))),
        )
        for path in self.set_paths:
            option = ("sources", source_id, "config")
            if path[:3] == option[: len(path)]:
                self._refuse_secret(path, _option(config, path[3:]))
        return config

    def check_set_values(self) -> None:
        """Raises ``ArgumentError`` if a value of the command line is a destination's password."""
        for path in self.set_paths:
            if path[0] == "destinations":
                self._refuse_secret(path, _option(msgspec.to_builtins(self.file.destinations), path[1:]))
            if path[0] == "notify":
                self._refuse_secret(path, self.file.notify)

    def warn_of_plain_secrets(self, source_id: str, config: DataSourceConfig) -> None:
        """Say which secrets of a source stand in the file: it is copied, and kept in a repository."""
        for path in plain_secrets(config) if self.resolved.path is not None else ():
            place = ".".join(("sources", source_id, "config", *path))
            covered = any(place == known or place.startswith(f"{known}.") for known in self.resolved.paths)
            if not covered:
                name, variable = path[-1], _variable(path[-1])
                log.warning(
                    '%s: %s is a secret that stands in the file; refer to it, %s = "${env:%s}", and %s=… into the '
                    "file .env beside it",
                    self.location, place, name, variable, variable,
                )  # fmt: skip

    def _refuse_secret(self, path: OptionPath, value: Any) -> None:
        """Refuse a secret that was written in a command line, which every process of the machine can list."""
        if ".".join(map(str, path)) in self.resolved.paths:
            return  # the command line has a reference, not the secret
        if any(secret not in self.resolved.values for secret in secrets_in(value)):
            name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)[1:]
            variable = _variable(path[-1])
            raise ArgumentError(
                f"--set {name!r}: it is a secret, and command lines are visible to others; write "
                f"{path[-1]} = \"${{env:{variable}}}\" in the file, or --set '{name}=${{env:{variable}}}'"
            )


def _option(value: Any, path: OptionPath) -> Any:
    """What a path leads to; the last thing on the way that exists."""
    for step in path:
        if isinstance(value, msgspec.Struct):
            fields = {field.encode_name: field.name for field in msgspec.structs.fields(value)}
            value = getattr(value, fields.get(str(step), ""), value)
        elif isinstance(value, Mapping):
            value = value.get(step, value)
        elif isinstance(value, (list, tuple)) and isinstance(step, int) and step < len(value):
            value = value[step]
    return value


def load_flow(
    flow: str | Path | Mapping[str, Any], lookups: Mapping[str, Lookup], overrides: Overrides = _NO_OVERRIDES
) -> LoadedFlow:
    """Read and validate a flow file, or the same as a dict; no connection is opened.

    A file ``.env`` in its folder has values for ``${env:…}`` that the environment of the process lacks.

    :raises ConfigurationError: naming the file, the path in it, the value and what was expected.
    """
    data, location, folder = _read(flow)
    data, set_paths = overrides.apply(data, location, flow_options=_FLOW_OPTIONS)
    lookups = {"file": file_content(folder), **with_dotenv(lookups, folder)}
    resolved = resolve(data, lookups, location=location)
    resolved.path = None if isinstance(flow, Mapping) else Path(flow).absolute()
    try:
        loaded = LoadedFlow(_decoded(resolved, location, folder), location, folder, resolved, set_paths)
        loaded.check_set_values()
        return loaded
    except ConfigurationError as error:
        text = Redactor.of(resolved)(str(error))
        if set_paths and _is_valid(flow, lookups, replace(overrides, values=())):
            raise ArgumentError(text) from None
        raise type(error)(text) from None


def _variable(option: str | int) -> str:
    """The environment variable that stands for an option."""
    return re.sub(r"\W+", "_", str(option)).upper()


def _is_valid(flow: str | Path | Mapping[str, Any], lookups: Mapping[str, Lookup], overrides: Overrides) -> bool:
    try:
        load_flow(flow, lookups, overrides)
    except ConfigurationError:
        return False
    return True


def _decoded(resolved: Resolved, location: str, folder: Path) -> FlowFile:
    check_shape(resolved.data, location, (field.encode_name for field in msgspec.structs.fields(FlowEntry)))
    file = decode_config(
        resolved.data,
        FlowFile,
        location=location,
        folder=folder,
        lenient=resolved.whole,
        sensitive=frozenset(resolved.paths),
    )
    for number, entry in enumerate(file.flows):
        _check_known(f"{location}: flows[{number}].from", "source", entry.from_, file.sources)
        _check_known(f"{location}: flows[{number}].to", "destination", entry.to, file.destinations)
    return file


def _read(flow: str | Path | Mapping[str, Any]) -> tuple[Any, str, Path]:
    if isinstance(flow, Mapping):
        return dict(flow), "flow", Path.cwd()
    path = Path(flow)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"flow file {str(path.absolute())!r} cannot be read: {error.strerror}") from None
    try:
        text = content.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        if (url := url_of_data(path)) is not None:
            raise ConfigurationError(
                f"flow file {str(path)!r} is not a flow file, but data; copy it, with: vdk datasource copy "
                f"{quote(url)} duckdb:///lake.duckdb"
            ) from None
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"flow file {str(path)!r} is not UTF-8: line {line} has the byte 0x{content[error.start]:02x}; save it as "
            "UTF-8"
        ) from None
    try:
        return tomllib.loads(text), path.name, path.resolve().parent
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"flow file {str(path)!r} is not valid TOML: {error}{_syntax_remedy(text, error)}"
        ) from None
    except ValueError as error:  # an integer of more than 4,300 digits
        raise ConfigurationError(f"flow file {str(path)!r} is not valid TOML: {error}") from None
    except RecursionError:
        raise ConfigurationError(f"flow file {str(path)!r} is not valid TOML: it is nested too deeply") from None


def url_of_data(path: Path) -> str | None:
    """The URL of a file that an installed source reads, such as a database; None: it is text, or not known as one."""
    try:
        with path.open("rb") as file:
            if b"\0" not in file.read(512):
                return None  # without an import of every source
    except (OSError, ValueError):
        return None
    try:
        return source_of_url(str(path), Registry())[1]
    except ConfigurationError:
        return None


def _syntax_remedy(text: str, error: tomllib.TOMLDecodeError) -> str:
    """What to write instead of the usual mistakes. Values are not shown: they may be passwords."""
    if text.lstrip().startswith("{"):
        return "; a flow file is TOML, not JSON: vdk datasource init writes one"
    if (extended := _extended_braces(text, error)) is not None:
        return extended
    if "Cannot overwrite" in str(error):
        return "; this option is set twice: remove one of the two lines"
    number = re.search(r"at line (\d+)", str(error))
    lines = text.splitlines()
    line = lines[int(number[1]) - 1] if number is not None and int(number[1]) <= len(lines) else ""
    option = re.match(r"\s*([\w-]+)\s*([=:])\s*(.*)", line)
    if option is None:
        return ""
    name, sign, value = option.groups()
    if sign == ":" and not value:
        return "; a flow file is TOML, not YAML: vdk datasource init writes one"
    if sign == ":":
        return f'; write {name} = "…" (an equals sign, and text in quotes)'
    if value in ("True", "False"):
        return f"; write {name} = {value.lower()}"
    if re.match(r"[\w./~-]", value):
        return f'; write {name} = "…" (text is in quotes)'
    return ""


def _extended_braces(text: str, error: tomllib.TOMLDecodeError) -> str | None:
    """For ``[sources.shop.config.tables.orders]`` after ``config = { … }``: a table in braces is closed with them."""
    number = re.search(r"at line (\d+)", str(error))
    before = "\n".join(text.splitlines()[: int(number[1])]) if number is not None else text
    headers = re.findall(r"(?m)^\s*\[([^\[\]]+)\]\s*(?:#.*)?$", before)
    if not headers or not re.search("Cannot (declare|mutate|overwrite)", str(error)):
        return None
    header = headers[-1].strip()
    for table in headers[:-1]:
        for option in re.findall(rf"(?ms)^\s*\[{re.escape(table)}\][^\n]*$(.*?)(?=^\s*\[|\Z)", before):
            for name in re.findall(r"(?m)^\s*([\w-]+)\s*=\s*\{", option):
                if f"{header}.".startswith(braces := f"{table.strip()}.{name}."):
                    rest = header[len(braces) :] or "its options"
                    return (
                        f"; {name} = {{ … }} under [{table}] is a table in braces, which cannot be extended: write "
                        f"{rest} inside its braces, or write [{table}.{name}] with a line for each option instead of "
                        "the braces"
                    )
    return None


def _check_known(location: str, kind: str, name: str, known: Mapping[str, object]) -> None:
    if name not in known:
        raise ConfigurationError(f"{location}: the {kind} {name!r} is not in this file; {suggest(name, known)}")


def _below(prefix: str, paths: Mapping[str, str]) -> dict[str, str]:
    return {path.removeprefix(prefix): value for path, value in paths.items() if path.startswith(prefix)}


FRAMEWORK_TABLES = (f"{RESERVED_PREFIX}datasource_state", f"{RESERVED_PREFIX}datasource_staging")
"""The tables of a destination besides those that it lands."""


class UnknownStreamError(ConfigurationError):
    """A pattern matches no stream."""


def select_streams(names: Sequence[str], patterns: Sequence[str] | None, *, location: str) -> list[str]:
    """The names that the patterns select, in the order of the source.

    Patterns are globs and case-sensitive; ``!pattern`` excludes names. A list of exclusions alone
    selects all other names. Without patterns all names are selected, of which an empty database has none.

    :raises UnknownStreamError: for a pattern that matches nothing, with similar names.
    """
    included, excluded = _split_patterns(patterns)
    for pattern in [*(pattern for pattern in included if pattern in (patterns or ())), *excluded]:
        if any(matches(name, [pattern]) for name in names):
            continue
        reserved = pattern.lower().startswith(RESERVED_PREFIX) or any(
            matches(table, [pattern]) for table in FRAMEWORK_TABLES
        )
        if reserved and pattern in excluded:
            continue  # sources leave them out anyway
        reason = suggest(pattern, names)
        if reserved:
            reason = f"tables whose names begin with {RESERVED_PREFIX} are the framework's, and sources leave them out"
            reason = reason if names else f"there are none, and {reason}"
        raise UnknownStreamError(f"{location}: no stream matches {pattern!r}; {reason}")
    return [name for name in names if is_selected(name, patterns)]


def is_selected(name: str, patterns: Sequence[str] | None) -> bool:
    """Whether the patterns select a stream of this name."""
    included, excluded = _split_patterns(patterns)
    return matches(name, included) and not matches(name, excluded)


def _split_patterns(patterns: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Those that include names, and those that exclude names, without the ``!``."""
    included = [pattern for pattern in patterns or () if not pattern.startswith("!")] or ["*"]
    return included, [pattern[1:] for pattern in patterns or () if pattern.startswith("!")]


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is one of the patterns, or one of them, as a glob, selects it."""
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def matches_stream(source_id: str, name: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern matches a stream: by its name, ``orders``, or with that of its source, ``shop.orders``."""
    return matches(name, patterns) or matches(f"{source_id}.{name}", patterns)


class StreamSelection:
    """The streams of a file's flows that one run reads, and whether each pattern has matched one.

    :param patterns: names or globs, as ``orders`` or ``shop.orders``; ``!pattern`` excludes; none, or exclusions only:
        every other stream of the flows.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = patterns
        self._matched: set[str] = set()
        self._names: set[str] = set()

    def of(self, source_id: str, names: Sequence[str]) -> list[str]:
        """Those of a flow's streams that this run reads."""
        self._names.update(names)
        included, excluded = _split_patterns(self._patterns)
        return [
            name
            for name in names
            if not self._matches(source_id, name, excluded, "!") and self._matches(source_id, name, included)
        ]

    def _matches(self, source_id: str, name: str, patterns: Sequence[str], mark: str = "") -> bool:
        matching = [item for item in patterns if matches_stream(source_id, name, [item])]
        self._matched.update(mark + item for item in matching)
        return bool(matching)

    def check(self, selector: str = "--stream") -> None:
        """Raises ``ArgumentError`` for a pattern that has matched no stream of any flow."""
        for pattern in self._patterns:
            if pattern not in self._matched:
                raise ArgumentError(f"{selector} {pattern!r}: no stream matches; {suggest(pattern, self._names)}")
