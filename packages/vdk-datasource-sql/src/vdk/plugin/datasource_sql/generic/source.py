# SPDX-License-Identifier: Apache-2.0
"""The source ``sql``: any database that SQLAlchemy has a dialect for, one stream per table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from vdk.plugin.datasource_base.contract import Secret, data_source

from ..source import SqlSource
from .backend import AnySqlBackend
from .config import AnySqlConfig
from .connecting import dialect_of, identity_of, url_of

__all__ = ["AnySqlConfig", "AnySqlSource"]


@data_source(name="sql", config=AnySqlConfig)
class AnySqlSource(SqlSource[AnySqlConfig]):
    """Tables of any SQL database; read incrementally where they have a cursor, else whole."""

    url_schemes = ("*",)

    @classmethod
    def options_of_url(cls, url: str, *, cursor: str | None = None) -> Mapping[str, Any]:
        dialect_of(url_of(AnySqlConfig(url=Secret(url))))
        return super().options_of_url(url, cursor=cursor)

    @cached_property
    def backend(self) -> AnySqlBackend:
        config, url = self.config, url_of(self.config)
        dialect_of(url)
        return AnySqlBackend(
            Secret(url.render_as_string(hide_password=False)),
            identity_of(url, config.identity),
            tuple(config.schemas),
            tuple(config.tables),
            config.connect_timeout.total_seconds(),
        )
