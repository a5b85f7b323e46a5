# SPDX-License-Identifier: Apache-2.0
"""Partitions of a source as partitions of Spark: grouped, because a task has a price, and pickled without secrets.

A secret in a pickle is the number of the secret among those of the options. A task finds its value there, where it
resolves the same references as the driver. A few bits of a salted hash tell whether it does: otherwise a password could
be sent to the system of another one.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark import cloudpickle
from pyspark.sql.datasource import InputPartition

from vdk.plugin.datasource_base.contract import (
    ConfigurationError,
    DataSourceError,
    Secret,
    State,
    StreamPartition,
    StreamSchema,
)

MAX_BYTES = 1 << 20
"""The largest pickle of several partitions: the driver holds all of them, and sends each to an executor."""
MIN_SECRET = 4
"""A shorter secret is replaced where it is the whole text: it is a part of any text."""
DEFAULT_SPLITS = 64
"""Spark's partitions where the size of the cluster is unknown."""
PER_CORE = 4
"""Spark's partitions for each core: partitions of a source differ in size."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A partition of the source, and what is read of it.

    :param start: the state to read from. :param end: the state to read to; None: wherever the partition ends.
    """

    partition: StreamPartition
    start: State
    end: State | None = None


class Split(InputPartition):
    """What one task reads. ``content`` None: the whole stream, which the task splits itself."""

    def __init__(self, content: bytes | None, ids: Sequence[str] = ()) -> None:
        super().__init__(content)
        self.content = content
        self.ids = tuple(ids[:3])
        self.count = len(ids)

    def __repr__(self) -> str:
        return f"Split({', '.join(map(repr, self.ids))}{', …' if self.count > len(self.ids) else ''})"


@dataclass(frozen=True, slots=True)
class Content:
    """What is pickled for a task."""

    pieces: Sequence[Piece]
    schemas: Mapping[str | None, StreamSchema | None]


def make_splits(
    pieces: Sequence[Piece],
    schemas: Mapping[str | None, StreamSchema | None],
    secrets: Collection[str],
    count: int,
) -> list[Split]:
    """Pickle the pieces in at most ``count`` splits, or in more where a pickle would exceed ``MAX_BYTES``."""
    groups = [pieces[start::count] for start in range(min(count, len(pieces)))]
    splits = []
    while groups:
        group = groups.pop()
        content = dump(Content(group, schemas), secrets)
        if len(content) > MAX_BYTES and len(group) > 1:
            groups += [group[::2], group[1::2]]
            continue
        splits.append(Split(content, [piece.partition.id for piece in group]))
    return splits[::-1]


def dump(content: Content, secrets: Collection[str]) -> bytes:
    """:raises DataSourceError: for a partition that cannot be pickled."""
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, secrets).dump(content)  # type: ignore[no-untyped-call]  # cloudpickle has no types
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        name = type(content.pieces[0].partition).__name__
        raise DataSourceError(
            f"{name} cannot be sent to an executor: {error}; a partition holds its configuration, and opens its "
            "connection in read()"
        ) from None
    salt = os.urandom(_SALT_BYTES)
    return salt + _check(salt, secrets) + buffer.getvalue()


def load(content: bytes, secrets: Collection[str]) -> Content:
    """:raises ConfigurationError: if the secrets are not those with which it was pickled."""
    salt, check = content[:_SALT_BYTES], content[_SALT_BYTES : _SALT_BYTES + _CHECK_BYTES]
    if _check(salt, secrets) != check:
        raise ConfigurationError(
            "the secrets of the options are not those that the driver has; set the same variables and files on both"
        )
    loaded: Content = _Unpickler(io.BytesIO(content[_SALT_BYTES + _CHECK_BYTES :]), secrets).load()
    return loaded


_SALT_BYTES, _CHECK_BYTES = 8, 3


def _check(salt: bytes, secrets: Collection[str]) -> bytes:
    """Too few bits to guess a secret by."""
    return hashlib.sha256(salt + "\0".join(sorted(secrets)).encode("utf-8", "surrogatepass")).digest()[:_CHECK_BYTES]


class _Pickler(cloudpickle.Pickler):
    def __init__(self, file: io.BytesIO, secrets: Collection[str]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)  # type: ignore[no-untyped-call]  # nor here
        self._numbers = {secret: number for number, secret in enumerate(sorted(secrets))}
        long = sorted((secret for secret in secrets if len(secret) >= MIN_SECRET), key=len, reverse=True)
        self._pattern = re.compile(f"({'|'.join(map(re.escape, long))})") if long else None

    def persistent_id(self, value: Any) -> Any:
        if type(value) is Secret and (number := self._numbers.get(value.reveal())) is not None:
            return ("secret", number)
        if type(value) is not str or not self._numbers:
            return None
        if (number := self._numbers.get(value)) is not None:
            return ("text", number)
        if self._pattern is None or self._pattern.search(value) is None:
            return None
        # texts and secrets alternate
        parts = self._pattern.split(value)
        return ("texts", *(part if index % 2 == 0 else self._numbers[part] for index, part in enumerate(parts)))


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, secrets: Collection[str]) -> None:
        super().__init__(file)
        self._secrets = sorted(secrets)

    def persistent_load(self, key: Any) -> Any:
        kind, *parts = key
        texts = [self._secrets[part] if isinstance(part, int) else part for part in parts]
        return Secret(texts[0]) if kind == "secret" else "".join(texts)
