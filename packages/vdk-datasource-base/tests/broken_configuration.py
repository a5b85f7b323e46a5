"""Sources whose options are wrong, or that leak them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from broken import caught_by
from broken_import import AskingConfig
from reference_shop import PASSWORD, Orders, ShopConfig, ShopSource
from vdk.plugin.datasource_base import AuthenticationError, DataSourcePayload, DataSourceState

log = logging.getLogger(__name__)


@caught_by("test_the_source_is_declared")
class Undeclared(ShopSource):
    source_name = ""


caught_by("test_the_configuration_is_importable_without_network")(AskingConfig)


@caught_by("test_every_option_is_described")
class Mute(ShopConfig):
    colour: str = "red"


class Colour:
    """A type that a flow file cannot contain."""


@caught_by("test_every_option_can_be_configured")
class Strange(ShopConfig):
    colour: Annotated[Colour | None, Meta(description="the colour of the shop")] = None


@caught_by("test_secret_options_are_secrets")
class Open(ShopConfig):
    api_token: Annotated[str, Meta(description="the token")] = ""


@caught_by("test_the_given_configuration_is_valid")
class Unwritable(ShopSource):
    """Accepts a value from Python that a flow file may not contain."""

    def __init__(self, config: ShopConfig) -> None:
        super().__init__(msgspec.structs.replace(config, page_rows=0) if config.page_rows == 3 else config)


@caught_by("test_a_missing_option_is_named")
class Guessing(ShopConfig):
    # type ignored: another type on purpose
    database: Annotated[Path | None, Meta(description="the shop's database")] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.database is None:
            raise KeyError("path")


@caught_by("test_a_mistyped_value_is_named")
class Lax(ShopConfig):
    page_rows: Annotated[Any, Meta(description="rows that are read at once")] = 3

    def __post_init__(self) -> None:
        if not isinstance(self.page_rows, int):
            raise AttributeError("bit_length")


@caught_by("test_an_unknown_option_is_refused")
class Forgiving(ShopConfig, forbid_unknown_fields=False):
    """Accepts any option."""


@caught_by("test_no_log_contains_a_secret")
class Talkative(ShopSource):
    def connect(self, state: DataSourceState) -> None:
        log.debug("connecting with %s", self.config.password.reveal())
        super().connect(state)


@caught_by("test_no_error_contains_a_secret")
class Blaming(ShopSource):
    def connect(self, state: DataSourceState) -> None:
        if self.config.password.reveal() != PASSWORD:
            raise AuthenticationError(f"the password {self.config.password.reveal()} is wrong")
        super().connect(state)


@caught_by("test_no_repr_contains_a_secret")
class Boasting(ShopSource):
    def __repr__(self) -> str:
        return f"Boasting({self.config.password.reveal()!r})"


@caught_by("test_no_state_or_payload_contains_a_secret")
class Stamping(Orders):
    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for payload in super().read(state):
            yield DataSourcePayload(payload.data, {"login": self.config.password.reveal()}, payload.state)
