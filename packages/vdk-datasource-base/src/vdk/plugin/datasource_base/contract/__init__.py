# SPDX-License-Identifier: Apache-2.0
"""Layer 1, the contract: what a source author implements. Imports msgspec and pyarrow, nothing else."""

from .annotations import JSON_TYPE, is_record_class
from .config import DataSourceConfig, Duration, Secret
from .decode import decode_config
from .errors import (
    AuthenticationError,
    BadRecordError,
    ConcurrentRunError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
    DestinationError,
    ExpectationError,
    FlowFailedError,
    SnapshotLostError,
    StateError,
    VerificationError,
)
from .proof import Proof, ProofRows, VerifiableStream
from .records import RecordColumns, record_columns, values_of_record
from .schema import StreamSchema
from .source import DataSource, data_source
from .state import JSON, DataSourceState, PartitionState, State
from .stream import (
    COUNTER_PREFIX,
    BoundedPartition,
    DataSourcePayload,
    DataSourceStream,
    RejectedRows,
    StreamPartition,
)

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
    "ExpectationError",
    "FlowFailedError",
    "PartitionState",
    "Proof",
    "ProofRows",
    "RecordColumns",
    "RejectedRows",
    "Secret",
    "SnapshotLostError",
    "State",
    "StateError",
    "StreamPartition",
    "StreamSchema",
    "VerifiableStream",
    "VerificationError",
    "data_source",
    "decode_config",
    "is_record_class",
    "record_columns",
    "values_of_record",
]
