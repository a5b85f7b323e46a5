"""The options of a source: found without a network, explained, and refused by name."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from ....contract import ConfigurationError, DataSourceConfig, Duration, Secret, decode_config
from ....parts.describe import describe
from ..base import Conformance
from ..harness.process import NO_NETWORK, in_child
from ..harness.reading import MakeSource, error_of

CANARY = "canary-4a6f7921"
"""What secrets are replaced by, to be looked for everywhere else."""
UNLIKELY = object()
"""A value that no option takes."""


def as_written(config: Any) -> Any:
    """A configuration as a flow file would have it."""
    if isinstance(config, msgspec.Struct):
        names = zip(config.__struct_fields__, config.__struct_encode_fields__, strict=True)
        tag = {config.__struct_config__.tag_field: config.__struct_config__.tag} if config.__struct_config__.tag else {}
        given = ((spelled, getattr(config, name)) for name, spelled in names)
        return tag | {spelled: as_written(value) for spelled, value in given if value is not None}
    if isinstance(config, Secret):
        return config.reveal()
    if isinstance(config, (dt.timedelta, Path)):
        return f"{config.total_seconds()}s" if isinstance(config, dt.timedelta) else str(config)
    if isinstance(config, Mapping):
        return {key: as_written(value) for key, value in config.items()}
    if isinstance(config, (list, tuple, set, frozenset)):
        return [as_written(value) for value in config]
    return config


def with_canaries(config: DataSourceConfig) -> DataSourceConfig:
    """The configuration with another value in every secret option, whether it was set or not."""
    changed = config
    for name, type_ in _fields(type(config)):
        value = _replaced(getattr(config, name), type_)
        try:
            changed = msgspec.structs.replace(changed, **{name: value})
        except (TypeError, ValueError):  # the class refuses this one beside the others
            continue
    return changed


def _replaced(value: Any, type_: Any) -> Any:
    if any(is_secret(member) for member in members(type_)) and not isinstance(value, (Mapping, list, tuple)):
        return Secret(CANARY)
    if isinstance(value, msgspec.Struct):
        changes = {name: _replaced(getattr(value, name), inner) for name, inner in _fields(type(value))}
        return msgspec.structs.replace(value, **changes)
    if isinstance(value, Secret):
        return Secret(CANARY)
    if isinstance(value, Mapping):
        return {key: _replaced(one, None) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_replaced(one, None) for one in value)
    return value


def _fields(type_: type[msgspec.Struct]) -> Iterator[tuple[str, Any]]:
    info = inspect.type_info(type_)
    if isinstance(info, inspect.StructType):
        for field in info.fields:
            yield field.name, field.type


def leaves(type_: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every option with its type, nested ones too, by dotted names."""
    for name, inner in _fields(type_):
        yield f"{prefix}{name}", inner
        for member in members(inner):
            if isinstance(member, inspect.StructType):
                yield from leaves(member.cls, f"{prefix}{name}.")


def members(type_: Any) -> list[Any]:
    """The types that a value can have: of a union, and inside lists and tables."""
    if isinstance(type_, inspect.Metadata):
        return members(type_.type)
    if isinstance(type_, inspect.UnionType):
        return [found for one in type_.types for found in members(one)]
    if isinstance(type_, inspect.DictType):
        return members(type_.value_type)
    if isinstance(type_, (inspect.ListType, inspect.VarTupleType)):
        return members(type_.item_type)
    return [type_] if type_ is not None else []


def is_secret(type_: Any) -> bool:
    return isinstance(type_, inspect.CustomType) and type_.cls is Secret


def can_be_configured(type_: Any) -> bool:
    """Whether a flow file can give a value of this type."""
    return not isinstance(type_, inspect.CustomType) or issubclass(type_.cls, (Secret, Duration, Path))


_SECRET_NAMES = re.compile(r"(^|_)(password|passwd|passphrase|secret|token|api_?key|private_?key|access_?key)$")


class ConfigurationChecks(Conformance):
    """What a user meets first."""

    def test_the_source_is_declared(self, source: MakeSource) -> None:
        """Flow files find a source by the name, and read its options by the class, that @data_source gives."""
        made = source()
        assert made.source_name, f"{type(made).__name__} has no name: declare it with @data_source(name=…, config=…)"
        assert type(made).config_type is not DataSourceConfig or not made.config.__struct_fields__, (
            "name the source's own configuration class in @data_source(config=…)"
        )
        assert isinstance(made.config, type(made).config_type), (
            f"the source keeps a {type(made.config).__name__} as its config, and declares "
            f"{type(made).config_type.__name__}: pass the configuration on to super().__init__"
        )

    def test_the_configuration_is_importable_without_network(self, source: MakeSource) -> None:
        """`vdk datasource config` and the check of a flow file run where nothing can be reached."""
        config = type(source()).config_type
        code = f"{NO_NETWORK}\nimport importlib\nimportlib.import_module(given)"
        status, output = in_child(code, config.__module__)
        assert status == 0, f"importing {config.__module__} must not reach for the network; it ended with:\n{output}"

    def test_every_option_is_described(self, source: MakeSource) -> None:
        """`vdk datasource config NAME` prints the descriptions; it is the manual that is always at hand."""
        bare = [row["option"] for row in describe(type(source()).config_type) if not row["description"]]
        assert not bare, f'the options {bare} say nothing: write Annotated[…, Meta(description="…")]'

    def test_every_option_can_be_configured(self, source: MakeSource) -> None:
        """An option of a type that no flow file can give is one that nobody can set."""
        wrong = [
            name
            for name, type_ in leaves(type(source()).config_type)
            if not all(can_be_configured(member) for member in members(type_))
        ]
        assert not wrong, f"no flow file can give {wrong}: use text, numbers, lists, tables, Path, Duration or Secret"

    def test_secret_options_are_secrets(self, source: MakeSource) -> None:
        """A password that is a plain text is in every repr, and so in every traceback that shows values."""
        plain = [
            name
            for name, type_ in leaves(type(source()).config_type)
            if _SECRET_NAMES.search(name.rpartition(".")[2])
            and any(isinstance(member, msgspec.inspect.StrType) for member in members(type_))
            and not any(is_secret(member) for member in members(type_))
        ]
        assert not plain, f"the options {plain} hold secrets: annotate them as Secret"

    def test_the_given_configuration_is_valid(self, source: MakeSource) -> None:
        """Tests build configurations in Python; users write them, and what they write is decoded and checked."""
        config = source().config
        error = error_of(decode_config, as_written(config), type(config), location="config")
        assert error is None, f"the configuration of `source` must be one that a flow file can hold: {error}"

    def test_a_missing_option_is_named(self, source: MakeSource) -> None:
        """The first thing that goes wrong for a new user has to say what to write."""
        type_ = type(source()).config_type
        needed = [field.encode_name for field in msgspec.structs.fields(type_) if field.required]
        error = error_of(decode_config, {}, type_, location="config")
        assert isinstance(error, ConfigurationError | None), (
            f"a configuration without any option must give a ConfigurationError and not {error!r}: give no default to "
            "an option that is needed, and raise ValueError in __post_init__"
        )
        assert not needed or any(repr(name) in str(error) for name in needed), (
            f"the error must name a missing option of {needed}; it says: {error}"
        )

    def test_a_mistyped_value_is_named(self, source: MakeSource) -> None:
        """`port = "https"` must be told by its name before anything connects, not by a TypeError from the depths."""
        config = source().config
        for field in msgspec.structs.fields(type(config)):
            given = {**as_written(config), field.encode_name: UNLIKELY}
            error = error_of(decode_config, given, type(config), location="config")
            assert isinstance(error, ConfigurationError | None), (
                f"a wrong value for {field.encode_name!r} must give a ConfigurationError; it gave {error!r}: raise "
                "ValueError in __post_init__ for what is wrong"
            )
            assert error is None or field.encode_name in str(error), f"name {field.encode_name!r} in the error: {error}"

    def test_an_unknown_option_is_refused(self, source: MakeSource) -> None:
        """An option with a slip in its name that is ignored runs with the default, and nobody knows."""
        config = source().config
        given = {**as_written(config), "no_such_option": 1}
        error = error_of(decode_config, given, type(config), location="config")
        assert isinstance(error, ConfigurationError), (
            "an unknown option must be refused: do not set forbid_unknown_fields=False"
        )
        assert "no_such_option" in str(error), f"the error must name the unknown option; it says: {error}"
