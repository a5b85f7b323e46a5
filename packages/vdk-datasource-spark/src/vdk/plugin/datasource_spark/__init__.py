# SPDX-License-Identifier: Apache-2.0
"""Reads every data source on Apache Spark: ``spark.read.format("vdk")`` and ``spark.readStream.format("vdk")``.

::

    from vdk.plugin.datasource_spark import register

    register(spark)
    spark.read.format("vdk").option("source", "sqlite").option("config", 'database = "shop.db"').option(
        "stream", "orders"
    ).load()

``options`` validates what the user wrote. ``session`` connects the source on the driver. ``offsets``, ``columns`` and
``splits`` are what passes between Spark and a source: states, types and pickled partitions. ``tasks`` reads partitions
on an executor, ``filters`` turns Spark's filters into a range, and ``readers`` implements Spark's interfaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .readers import VdkDataSource, register

__all__ = ["VdkDataSource", "register"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from . import readers
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pyspark":
            raise
        raise ImportError('pyspark is not installed; write: pip install "vdk-datasource-spark[pyspark]"') from None
    return getattr(readers, name)
