"""Layer 1, the contract: what a source author implements. Imports msgspec and pyarrow, nothing else."""

from ._config import DataSourceConfig, Duration, Secret
from ._decode import decode_config
from ._errors import (
    AuthenticationError,
    BadRecordError,
    ConcurrentRunError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
    DestinationError,
    FlowFailedError,
    StateError,
)
from ._partition_state import PartitionState
from ._payload import COUNTER_PREFIX, DataSourcePayload, RejectedRows
from ._schema import JSON_TYPE, StreamSchema
from ._source import DataSource, data_source
from ._state import DataSourceState
from ._stream import BoundedPartition, DataSourceStream, StreamPartition
from ._types import JSON, State

__all__ = [
    "COUNTER_PREFIX",
    "JSON",
    "JSON_TYPE",
    "AuthenticationError",
    "BadRecordError",
    "BoundedPartition",
    "ConcurrentRunError",
    "ConfigurationError",
    "ConnectionFailedError",
    "DataSource",
    "DataSourceConfig",
    "DataSourceError",
    "DataSourcePayload",
    "DataSourceState",
    "DataSourceStream",
    "DestinationError",
    "Duration",
    "FlowFailedError",
    "PartitionState",
    "RejectedRows",
    "Secret",
    "State",
    "StateError",
    "StreamPartition",
    "StreamSchema",
    "data_source",
    "decode_config",
]
