# SPDX-License-Identifier: Apache-2.0
"""Every data source as a source of dlt.

::

    import dlt
    from vdk.plugin.datasource_dlt import dlt_source

    pipeline = dlt.pipeline("shop", destination="bigquery")
    pipeline.run(dlt_source("shop.toml", streams=["orders"]))

``source`` makes the resources, one for each stream. ``columns`` makes rows fit dlt's types and the columns of a table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .source import dlt_source

__all__ = ["dlt_source"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import source  # imports dlt, which takes a second

    return getattr(source, name)
