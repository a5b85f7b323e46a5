# SPDX-License-Identifier: Apache-2.0
"""``run_flows``, which runs flows inside or outside VDK, ``read``, which reads a stream without a destination, and
``source_main``, the commands of one source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .contract import DataSource, State
from .runtime import Environment, RunSummary, execute

if TYPE_CHECKING:
    from vdk.api.job_input import IJobInput

    from .parts.destination import ColumnAction
    from .runtime.reading.stream_reader import StreamReader


def source_main(name: str) -> None:
    """Run the commands of an installed source: ``python -m vdk.plugin.source_<name> check --set …``.

    A plugin's ``__main__.py`` is this call alone. ``docs/commands.md`` describes the commands.

    :param name: what flow files call the source.
    """
    # imports vdk-core, which plain Python may lack
    from .integration.commands.source_commands import source_main as main

    main(name)


def run_flows(job_input: IJobInput | None, flow: str | Path | Mapping[str, Any]) -> RunSummary:
    """Run a flow file, or the same as a dict, and wait until every stream has ended.

    :param job_input: the argument of a VDK step, whose job provides ingestion methods, properties and secrets. None:
        plain Python, with the registered destinations only.
    :param flow: the path of a TOML file, or its content; see ``docs/configuration.md``.
    :returns: the summary, stream by stream.
    :raises ConfigurationError: if the file is wrong; no row has been read.
    :raises FlowFailedError: if a stream failed, after the others have ended.
    """
    if job_input is None:
        return execute(flow, Environment())
    from .integration.job_environment import run_in_job  # imports vdk-core, which plain Python may lack

    return run_in_job(job_input, flow)


def read(
    flow_or_source: str | Path | Mapping[str, Any] | DataSource[Any],
    stream: str,
    states: Mapping[str, State] | None = None,
    tables: Sequence[str] | None = None,
    *,
    deletes: Literal["fail", "rows", "skip"] = "fail",
    columns: Mapping[str, ColumnAction] | Sequence[str] | None = None,
    salt: str | None = None,
) -> StreamReader:
    """Read one stream without a destination: Arrow batches, a table or a data frame.

    ::

        with read("shop.toml", "orders") as reader:
            for batch in reader:
                ...

        orders = read("sqlite:///shop.db", "orders").to_arrow()

    Partitions are read in parallel, failures are retried, bad rows are errors or rejected, and secrets are redacted as
    in a run. Nothing is stored: what is read next depends on ``states`` alone. See ``docs/read-in-python.md``.

    :param flow_or_source: the path of a flow file, its content, a URL as of ``vdk datasource copy``, or a source that
        is not connected. Of a flow its options apply, such as ``transform``; its destination is not used.
    :param stream: the stream, or ``source.stream``.
    :param states: ``{partition: state}``, as ``reader.states`` has them; None: read from the beginning.
    :param tables: other tables whose rows the stream may have; rows of a table that is not listed are an error.
    :param deletes: what becomes of rows that the source deleted: an error, rows with ``_vdk_deleted_at`` and the key
        alone, or nothing.
    :param columns: the column policy, as ``columns`` of a flow; a flow has its own. :param salt: of hashed columns.
    :raises ConfigurationError: if the flow file is wrong. What the source fails with is raised by the reader.
    """
    from .runtime.reading.open_stream import open_stream

    return open_stream(flow_or_source, stream, states, tables, deletes=deletes, columns=columns, salt=salt)
