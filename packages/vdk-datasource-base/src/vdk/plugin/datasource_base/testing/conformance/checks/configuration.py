# SPDX-License-Identifier: Apache-2.0
"""The options of a source: importable without a network, described, and refused by name."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from ....contract import ConfigurationError, DataSourceConfig, Duration, Secret, decode_config
from ....parts.plugins.describe import describe
from ..base import Conformance
from ..harness.process import NO_NETWORK, run_in_fresh_process
from ..harness.reading import MakeSource, error_of

CANARY = "canary-4a6f7921"
"""The value that replaces secrets, and is then searched for everywhere else."""
UNLIKELY = object()
"""A value that no option accepts."""


def as_written(config: Any) -> Any:
    """A configuration as a flow file contains it."""
    if isinstance(config, msgspec.Struct):
        names = zip(config.__struct_fields__, config.__struct_encode_fields__, strict=True)
        tag = {config.__struct_config__.tag_field: config.__struct_config__.tag} if config.__struct_config__.tag else {}
        values = ((option, getattr(config, name)) for name, option in names)
        return tag | {option: as_written(value) for option, value in values if value is not None}
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
        except (TypeError, ValueError):  # the class refuses this value in combination with the others
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
        return {key: _replaced(item, None) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_replaced(item, None) for item in value)
    return value


def _fields(type_: type[msgspec.Struct]) -> Iterator[tuple[str, Any]]:
    info = inspect.type_info(type_)
    if isinstance(info, inspect.StructType):
        for field in info.fields:
            yield field.name, field.type


def leaves(type_: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every option with its type, including nested options, by dotted names."""
    for name, inner in _fields(type_):
        yield f"{prefix}{name}", inner
        for member in members(inner):
            if isinstance(member, inspect.StructType):
                yield from leaves(member.cls, f"{prefix}{name}.")


def members(type_: Any) -> list[Any]:
    """The types that a value can have, in a union and in lists and tables."""
    if isinstance(type_, inspect.Metadata):
        return members(type_.type)
    if isinstance(type_, inspect.UnionType):
        return [member for alternative in type_.types for member in members(alternative)]
    if isinstance(type_, inspect.DictType):
        return members(type_.value_type)
    if isinstance(type_, (inspect.ListType, inspect.VarTupleType)):
        return members(type_.item_type)
    return [type_] if type_ is not None else []


def is_secret(type_: Any) -> bool:
    return isinstance(type_, inspect.CustomType) and type_.cls is Secret


def can_be_configured(type_: Any) -> bool:
    """Whether a flow file can contain a value of this type."""
    return not isinstance(type_, inspect.CustomType) or issubclass(type_.cls, (Secret, Duration, Path))


_SECRET_NAMES = re.compile(r"(^|_)(password|passwd|passphrase|secret|token|api_?key|private_?key|access_?key)$")


class ConfigurationChecks(Conformance):
    """The options, which are the first thing that a user sees."""

    def test_the_source_is_declared(self, source: MakeSource) -> None:
        """Flow files find a source by the name in @data_source, and its options by the class."""
        made = source()
        assert made.source_name, f"{type(made).__name__} has no name: declare it with @data_source(name=…, config=…)"
        assert type(made).config_type is not DataSourceConfig or not made.config.__struct_fields__, (
            "@data_source declares no configuration class, expected the class of the source's options: set config=…"
        )
        assert isinstance(made.config, type(made).config_type), (
            f"the config of the source is a {type(made.config).__name__}, expected the declared "
            f"{type(made).config_type.__name__}: pass the configuration to super().__init__"
        )

    def test_the_configuration_is_importable_without_network(self, source: MakeSource) -> None:
        """`vdk datasource config` and the validation of a flow file work without a network."""
        config = type(source()).config_type
        code = f"{NO_NETWORK}\nimport importlib\nimportlib.import_module(argument)"
        status, output = run_in_fresh_process(code, config.__module__)
        assert status == 0, (
            f"{config.__module__} cannot be imported without a network: connect in connect() or read(). It ended "
            "with:\n"
            f"{output}"
        )

    def test_every_option_is_described(self, source: MakeSource) -> None:
        """`vdk datasource config NAME` prints the descriptions; it is the manual that everybody has."""
        bare = [row["option"] for row in describe(type(source()).config_type) if not row["description"]]
        assert not bare, f'the options {bare} have no description: write Annotated[…, Meta(description="…")]'

    def test_every_option_can_be_configured(self, source: MakeSource) -> None:
        """Nobody can set an option whose type a flow file cannot contain."""
        wrong = [
            name
            for name, type_ in leaves(type(source()).config_type)
            if not all(can_be_configured(member) for member in members(type_))
        ]
        assert not wrong, (
            f"a flow file cannot contain the options {wrong}: use text, numbers, truth values, lists, tables, Path, "
            "Duration or Secret"
        )

    def test_secret_options_are_secrets(self, source: MakeSource) -> None:
        """A password of the type str is in every repr, and so in every traceback that shows values."""
        plain = [
            name
            for name, type_ in leaves(type(source()).config_type)
            if _SECRET_NAMES.search(name.rpartition(".")[2])
            and any(isinstance(member, msgspec.inspect.StrType) for member in members(type_))
            and not any(is_secret(member) for member in members(type_))
        ]
        assert not plain, f"the options {plain} contain secrets and are texts, expected Secret: annotate them as Secret"

    def test_the_given_configuration_is_valid(self, source: MakeSource) -> None:
        """Tests make configurations in Python; users write them in flow files, which are decoded and validated."""
        config = source().config
        error = error_of(decode_config, as_written(config), type(config), location="config")
        assert error is None, f"a flow file cannot contain the configuration of `source`: change its values ({error})"

    def test_a_missing_option_is_named(self, source: MakeSource) -> None:
        """The first error of a new user must say what to write."""
        type_ = type(source()).config_type
        needed = [field.encode_name for field in msgspec.structs.fields(type_) if field.required]
        error = error_of(decode_config, {}, type_, location="config")
        assert isinstance(error, ConfigurationError | None), (
            f"a configuration without options gave {error!r}, expected ConfigurationError: define no default for a "
            "required option, and raise ValueError in __post_init__"
        )
        assert not needed or any(repr(name) in str(error) for name in needed), (
            f"the error names none of the missing options {needed}: put the name into its text ({error})"
        )

    def test_a_mistyped_value_is_named(self, source: MakeSource) -> None:
        """`port = "https"` must be refused by its name before anything connects, not by a TypeError of a library."""
        config = source().config
        for field in msgspec.structs.fields(type(config)):
            options = {**as_written(config), field.encode_name: UNLIKELY}
            error = error_of(decode_config, options, type(config), location="config")
            assert isinstance(error, ConfigurationError | None), (
                f"a wrong value of {field.encode_name!r} gave {error!r}, expected ConfigurationError: raise ValueError "
                "in __post_init__ for a wrong value"
            )
            assert error is None or field.encode_name in str(error), (
                f"the error does not name the option {field.encode_name!r}: put the name into its text ({error})"
            )

    def test_an_unknown_option_is_refused(self, source: MakeSource) -> None:
        """If a misspelled option is ignored, the default is used and nobody notices."""
        config = source().config
        options = {**as_written(config), "no_such_option": 1}
        error = error_of(decode_config, options, type(config), location="config")
        assert isinstance(error, ConfigurationError), (
            f"an unknown option gave {error!r}, expected ConfigurationError: do not set forbid_unknown_fields=False"
        )
        assert "no_such_option" in str(error), (
            f"the error does not name the unknown option: put the name into its text ({error})"
        )
