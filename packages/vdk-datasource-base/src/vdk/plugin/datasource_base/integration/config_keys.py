"""The run's defaults as VDK configuration keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vdk.internal.core.config import Configuration, ConfigurationBuilder

    from ..runtime import Options

PREFIX = "DATASOURCE_"
LARGEST = 2**63 - 1
LONGEST = 10**9
"""Seconds that an option can be at most; more of them overflow the timers of the system."""
"""Environment variables match configuration keys even without VDK's own prefix, so ours need one."""

STATE_FOLDER = f"{PREFIX}STATE_FOLDER"
INGEST_ROWS = f"{PREFIX}INGEST_ROWS"

# name in runtime.Options → default and description. Spelled out, for reading Options imports Arrow;
# a test holds the two together.
KEYS: dict[str, tuple[int | float | str, str]] = {
    "max_parallel_partitions": (4, "How many partitions of data sources are read at once."),
    "batch_rows": (122_880, "Rows that make a batch; a batch lands in one transaction."),
    "batch_bytes": (32 << 20, "Bytes that make a batch, estimated."),
    "batch_seconds": (10.0, "Seconds after which a batch lands though it is not full."),
    "queue_bytes": (64 << 20, "Bytes of batches that may wait for a destination before readers stand still."),
    "on_error": ("continue", "Whether the other streams go on when one fails: continue or stop."),
    "on_bad_record": ("fail", "What happens to a row that does not fit: fail its stream, or reject the row."),
    "max_rejected": ("10%", "Rows a stream may reject before it fails, or a percentage ('5%'); 0: any number."),
    "retry_attempts": (5, "How often a partition is tried without progress."),
    "retry_seconds": (300.0, "How many seconds a partition is tried without progress."),
    "retry_delay": (1.0, "Seconds before the second attempt at most; doubled for each further one."),
    "stop_seconds": (20.0, "Seconds after Ctrl-C or SIGTERM within which the process ends, whatever hangs."),
    "progress_seconds": (10.0, "Seconds between two log lines about a stream that is being read."),
}


def add_keys(builder: ConfigurationBuilder) -> None:
    for name, (default, description) in KEYS.items():
        builder.add(key=f"{PREFIX}{name}".upper(), default_value=default, description=description)
    builder.add(
        key=STATE_FOLDER,
        default_value="",
        description="Folder for the states of flows whose destination cannot hold them and whose job has no "
        "persistent properties. Default: .vdk-datasource-state beside the flow file.",
    )
    builder.add(
        key=INGEST_ROWS,
        default_value=1000,
        description="Rows per call of an ingestion plugin that takes rows one list at a time.",
    )


def options_from(configuration: Configuration) -> Options:
    """The run's options. Read when a run begins: secrets override configuration late.

    :raises ConfigurationError: naming the key, its value and what it can be.
    """
    from ..contract import ConfigurationError
    from ..runtime import Options
    from ..runtime.run.counters import Tolerance

    said: dict[str, Any] = {name: configuration.get_value(f"{PREFIX}{name}".upper()) for name in KEYS}
    choices = {"on_error": ("continue", "stop"), "on_bad_record": ("fail", "reject")}
    for name, value in said.items():
        key = f"{PREFIX}{name}".upper()
        if name in choices:
            if value not in choices[name]:
                raise ConfigurationError(f"{key} = {value!r}: it can be {' or '.join(choices[name])}")
        elif name == "max_rejected":
            try:
                Tolerance.parse(value)
            except ValueError as error:
                raise ConfigurationError(f"{key} = {value!r}: {error}") from None
        else:
            _check_number(key, value, zero=name == "retry_delay")
    return Options(**said)


def _check_number(key: str, value: float, *, zero: bool) -> None:
    from ..contract import ConfigurationError

    limit = LONGEST if key.endswith(("_SECONDS", "_DELAY")) else LARGEST
    if not 0 <= value <= limit or (value == 0 and not zero):
        raise ConfigurationError(f"{key} = {value!r:.80}: it must be more than 0, and at most {limit}")
