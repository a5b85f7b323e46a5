# SPDX-License-Identifier: Apache-2.0
"""A connection to one set of data, and how a source declares its name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from .config import DataSourceConfig
from .errors import ConfigurationError
from .state import DataSourceState, State
from .stream import DataSourceStream

ConfigT = TypeVar("ConfigT", bound=DataSourceConfig)


class DataSource(ABC, Generic[ConfigT]):
    """A connection to one set of data and the streams in it.

    A complete source, in the plugin's ``source.py``::

        class DiceConfig(DataSourceConfig):
            rolls: Annotated[int, Meta(ge=1, description="how often to roll")] = 10

        class Rolls(DataSourceStream):
            name = "rolls"
            incremental = True

            def __init__(self, config: DiceConfig) -> None:
                self.config = config

            def read(self, state):
                for number in range(state.get("next", 0), self.config.rolls):
                    yield DataSourcePayload({"number": number, "eyes": 1 + hash(number) % 6},
                                            state={"next": number + 1})

        @data_source(name="dice", config=DiceConfig)
        class DiceSource(DataSource[DiceConfig]):
            def streams(self):
                return [Rolls(self.config)]

    and in its ``pyproject.toml``::

        [project.entry-points."vdk.datasource.sources"]
        dice = "vdk.plugin.source_dice.source:DiceSource"
    """

    source_name: ClassVar[str] = ""
    """The name flow files use; set by ``@data_source``."""
    config_type: ClassVar[type[DataSourceConfig]] = DataSourceConfig
    """The type of ``config``; set by ``@data_source``."""
    url_schemes: ClassVar[tuple[str, ...]] = ()
    """Optional: the schemes of the URLs that ``options_of_url`` reads, as ``("postgresql",)``; ``("*",)``: those that
    no other source has. ``vdk datasource copy URL TARGET`` and ``init URL`` find the source by them."""
    url_names_stream: ClassVar[bool] = False
    """Whether the end of a URL's path names a stream, such as a topic, not a set of data, such as a database."""

    def __init__(self, config: ConfigT) -> None:
        """Keep the configuration. No I/O here: that belongs into ``connect`` and ``read``."""
        self.config = config

    @classmethod
    def options_of_url(cls, url: str, *, cursor: str | None = None) -> Mapping[str, Any]:
        """Optional, with ``url_schemes``: the options, as in ``[sources.<id>.config]``, that read what a URL names.

        No I/O here. Relative paths stay relative. Whatever is secret stays where the URL has it, as its password does.

        :param cursor: the column that grows with every change, if the user names one.
        :raises ConfigurationError: with the URL to write instead. Its text never has the password.
        """
        raise ConfigurationError(f"the source {cls.source_name!r} is not configured by a URL")

    @classmethod
    def url_of(cls, text: str) -> str | None:
        """Optional: the URL of what a text names that is not a URL, such as a file; None: nothing of this source."""
        return None

    @classmethod
    def option_hints(
        cls, stream: str, columns: Mapping[str, str], *, keyed: bool, cursor: str | None, unique: Collection[str] = ()
    ) -> Sequence[str]:
        """Optional: lines of ``[sources.<id>.config]`` that a stream may need; ``init`` writes them as comments.

        :param columns: name → Arrow type, as text. :param keyed: whether the stream has a primary key.
        :param cursor: the stream's cursor; None: it is read whole. :param unique: columns whose values differ in all
            rows that were looked at, if any were.
        """
        return ()

    @classmethod
    def config_of_openapi(cls, document: Mapping[str, Any], source_id: str) -> str:
        """Optional: the text of ``[sources.<source_id>.config]`` that reads what an OpenAPI document describes.

        ``init --openapi`` writes it. No I/O here. :raises ConfigurationError: for a document that describes nothing.
        """
        raise ConfigurationError(f"the source {cls.source_name!r} is not configured by an OpenAPI document")

    @classmethod
    def describe_state(cls, state: State) -> str | None:
        """Optional: how far a state is, for people, as ``updated_at 2026-01-31 09:00:00``; commands show it.

        None: they show the JSON, shortened. No I/O here, and no secret in it.
        """
        return None

    def connect(self, state: DataSourceState) -> None:
        """Optional: prepare what ``streams`` needs. Called once, before anything is read."""
        return

    @abstractmethod
    def streams(self) -> Sequence[DataSourceStream]:
        """The streams of the source, in a stable order, with unique names."""

    def identity(self) -> str:
        """Which set of data this is: a database's path, an API's base URL. Stable, without secrets.

        State is stored under it, and refused if it changed. Default: the source's name, which
        means that every configuration of this source reads the same data.
        """
        return self.source_name

    def committed(self, stream: str, states: Mapping[str, State]) -> None:
        """Optional: rows up to ``states`` (partition id to state) are durable at the destination.

        For work that only informs others, such as acknowledging a queue or showing lag to a monitor. Called after
        states are stored, from a separate thread, about once a second at most and once before ``disconnect``, with the
        newest state of each partition. It is best effort: a call may be skipped, and an error becomes one warning. What
        is read next never depends on it.
        """
        return

    def check(self) -> None:
        """Reach the data and return, or raise ``ConfigurationError`` or ``ConnectionFailedError``."""
        return

    def disconnect(self) -> None:
        """Optional: release what ``connect`` acquired. Idempotent, and always called."""
        return


SourceClassT = TypeVar("SourceClassT", bound=type[DataSource[Any]])


def data_source(*, name: str, config: type[DataSourceConfig]) -> Callable[[SourceClassT], SourceClassT]:
    """Declare a source's name and configuration type (a class decorator).

    Registration stays lazy: an entry point names the class, and it is imported when a flow uses it.
    """

    def declare(cls: SourceClassT) -> SourceClassT:
        if not (isinstance(config, type) and issubclass(config, DataSourceConfig)):
            raise ConfigurationError(f"@data_source on {cls.__qualname__}: {config!r} is not a DataSourceConfig")
        cls.source_name = name
        cls.config_type = config
        return cls

    return declare
