# SPDX-License-Identifier: Apache-2.0
"""The options of a run as VDK configuration keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vdk.internal.core.config import Configuration, ConfigurationBuilder

    from ..runtime import Options

PREFIX = "DATASOURCE_"
"""Environment variables match configuration keys even without VDK's own prefix, so these keys need one."""
MAX_NUMBER = 2**63 - 1
MAX_SECONDS = 10**9
"""More seconds overflow the timers of the system."""

STATE_FOLDER = f"{PREFIX}STATE_FOLDER"
INGEST_ROWS = f"{PREFIX}INGEST_ROWS"
ENVIRONMENT = f"{PREFIX}ENV"

# name in runtime.Options → default and description. Written out, since importing Options imports Arrow;
# a test compares the two.
KEYS: dict[str, tuple[int | float | str, str]] = {
    "max_parallel_partitions": (4, "Partitions of data sources that are read in parallel."),
    "batch_rows": (122_880, "Rows of a batch; a batch lands in one transaction."),
    "batch_bytes": (32 << 20, "Bytes of a batch, estimated."),
    "batch_seconds": (10.0, "Seconds after which a batch lands even if it is not full."),
    "queue_bytes": (64 << 20, "Bytes of batches that may wait for a destination; readers pause above it."),
    "on_error": ("continue", "Whether the other streams continue when one fails: continue or stop."),
    "on_bad_record": ("fail", "What happens to a row that does not fit: fail (its stream) or reject (the row)."),
    "max_rejected": ("10%", "Rows that a stream may reject before it fails, or a percentage ('5%'); 0: any number."),
    "retry_attempts": (5, "Attempts to read a partition without progress."),
    "retry_seconds": (300.0, "Seconds from the first failure without progress to the last attempt."),
    "retry_delay": (1.0, "Maximum seconds before the second attempt; doubled for each further one."),
    "stop_seconds": (20.0, "Seconds within which the process ends after Ctrl-C or SIGTERM, whatever hangs."),
    "progress_seconds": (10.0, "Seconds between two log lines about a running stream."),
}


def add_keys(builder: ConfigurationBuilder) -> None:
    for name, (default, description) in KEYS.items():
        builder.add(key=f"{PREFIX}{name}".upper(), default_value=default, description=description)
    builder.add(
        key=STATE_FOLDER,
        default_value="",
        description="Folder for states, if neither the destination nor the job's properties can store them. "
        "Default: .vdk-datasource-state beside the flow file.",
    )
    builder.add(
        key=ENVIRONMENT,
        default_value="",
        description="The environment of flow files: the name of their [env.<name>] tables that apply.",
    )
    builder.add(
        key=INGEST_ROWS,
        default_value=1000,
        description="Rows per call of an ingestion plugin.",
    )


def options_from(configuration: Configuration) -> Options:
    """The options of a run. Called when the run starts: secrets override the configuration late.

    :raises ConfigurationError: if a value is wrong, with the key, the value and what is expected.
    """
    from ..contract import ConfigurationError
    from ..runtime import Options
    from ..runtime.run.plan.reject_limit import RejectLimit

    values: dict[str, Any] = {name: configuration.get_value(f"{PREFIX}{name}".upper()) for name in KEYS}
    choices = {"on_error": ("continue", "stop"), "on_bad_record": ("fail", "reject")}
    for name, value in values.items():
        key = f"{PREFIX}{name}".upper()
        if name in choices:
            if value not in choices[name]:
                raise ConfigurationError(f"{key} = {value!r}: it must be {' or '.join(choices[name])}")
        elif name == "max_rejected":
            try:
                RejectLimit.parse(value)
            except ValueError as error:
                raise ConfigurationError(f"{key} = {value!r}: {error}") from None
        else:
            _check_number(key, value, zero=name == "retry_delay")
    return Options(**values)


def _check_number(key: str, value: float, *, zero: bool) -> None:
    from ..contract import ConfigurationError

    limit = MAX_SECONDS if key.endswith(("_SECONDS", "_DELAY")) else MAX_NUMBER
    if not 0 <= value <= limit or (value == 0 and not zero):
        raise ConfigurationError(f"{key} = {value!r:.80}: it must be more than 0, and at most {limit}")
