# SPDX-License-Identifier: Apache-2.0
"""The column policy of a flow: ``columns`` says which columns land as they are, hashed, masked, or not at all.

It is applied to the source's rows before anything else sees them: the transform, errors, rejected rows, staged rows and
the destination have what it leaves. A column is named as the source names it, ``email``, or ``customers.email`` for one
stream; case does not matter, as in most destinations. ``*`` and ``customers.*`` are all other columns.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
from msgspec import UNSET

from ...contract import BadRecordError, ConfigurationError, StreamSchema
from ...contract.remedies import closest, suggest
from ...contract.toml import toml_key
from ..destination import ColumnAction
from .compute import pc
from .keyed_hash import HASH, KeyedHash
from .transform import Data

log = logging.getLogger(__name__)

Rejected = tuple[Mapping[str, Any], BadRecordError]
MASK = "***"
"""What every value of a masked column becomes; NULL stays NULL."""
MIN_SALT = 16
"""Characters of the shortest salt: a short one can be found by trying all."""
_OTHERS = "*"
_HIDDEN = "the source cannot convert the row; the reason is not shown, because it may repeat values that do not land"


@dataclass(frozen=True, slots=True)
class ColumnPolicy:
    """``columns`` of a flow.

    :param actions: what happens to the columns, by the name in the file. :param location: the flow's place in it.
    """

    actions: Mapping[str, ColumnAction]
    hashing: KeyedHash | None
    location: str
    found: set[str] = field(default_factory=set)
    """The names in the file that a column of any stream has had."""

    @classmethod
    def parse(
        cls, columns: Mapping[str, ColumnAction] | Sequence[str] | None, salt: str | None, location: str
    ) -> ColumnPolicy | None:
        """The policy of ``columns`` and ``salt``; None if there is none. A list is what lands, and all else is dropped.

        :raises ConfigurationError: for a name or a salt that is wrong.
        """
        if not columns:
            if columns is not None and not isinstance(columns, Mapping):
                raise ConfigurationError(f'{location}.columns: nothing would land; write columns = ["id", "total"]')
            return None
        actions: dict[str, ColumnAction] = (
            dict(columns) if isinstance(columns, Mapping) else {**dict.fromkeys(columns, "keep"), _OTHERS: "drop"}
        )
        _check_names(actions, location)
        hashes = [name for name, action in actions.items() if action == "hash"]
        if hashes and salt is None:
            raise ConfigurationError(
                f"{location}.columns: {hashes[0]!r} is hashed, and hashes without a salt can be reversed by trying all "
                'values; write salt = "${env:SALT}"'
            )
        if salt is not None and len(salt) < MIN_SALT:
            raise ConfigurationError(
                f"{location}.salt has {len(salt)} characters, and all short salts can be tried; make one of at least "
                f"{MIN_SALT}: python -c 'import secrets; print(secrets.token_hex(16))'"
            )
        if salt is not None and not hashes:
            log.warning("%s.salt has no effect: no column is hashed", location)
        return cls(actions, KeyedHash(salt) if salt is not None and hashes else None, location)

    def of_stream(self, name: str, *, alone: bool = False) -> StreamPolicy:
        """:param alone: whether the flow has no other stream, so that every name is for this one."""
        return StreamPolicy(self, name, alone)

    def check_known(self, schemas: Mapping[str, StreamSchema | None], *, all_streams: bool) -> None:
        """Refuse names that no column has. Streams that declare not all their columns may have any.

        :param schemas: stream → what it declares. :param all_streams: whether these are all streams of the flow.
        """
        for name in self.actions:
            own = [stream for stream in schemas if name.lower().startswith(f"{stream.lower()}.")]
            streams = own or list(schemas)
            if not streams or name == _OTHERS or name.endswith(f".{_OTHERS}") or not (own or all_streams):
                continue
            declared = [schema for stream in streams if (schema := schemas[stream]) is not None and not schema.open]
            if len(declared) < len(streams):
                continue
            names = {column for schema in declared for column in schema.fields.names}
            spelled = {spelling.lower() for column in names for spelling in (column, *(f"{s}.{column}" for s in own))}
            if name.lower() not in spelled:
                column = name[len(own[0]) + 1 :] if own else name
                raise ConfigurationError(f"{self.location}.columns: no column is {name!r}; {suggest(column, names)}")


def _check_names(actions: Mapping[str, ColumnAction], location: str) -> None:
    folded: dict[str, str] = {}
    for name, action in actions.items():
        if action == "refuse" and name != _OTHERS and not name.endswith(f".{_OTHERS}"):
            raise ConfigurationError(
                f'{location}.columns: "refuse" is for columns that the list does not name, and {name!r} is one; write '
                f'"*" = "refuse", or {toml_key(name)} = "drop"'
            )
        if not name.strip():
            raise ConfigurationError(f"{location}.columns: a column has the empty name {name!r}; remove it")
        if (other := folded.setdefault(name.lower(), name)) != name:
            raise ConfigurationError(
                f"{location}.columns: {other!r} and {name!r} are one column, as case does not matter; remove one of "
                "them"
            )


class StreamPolicy:
    """The policy as it applies to one stream, whose partitions share it. Several threads use it."""

    def __init__(self, policy: ColumnPolicy, stream: str, alone: bool) -> None:
        self._policy = policy
        self._alone = alone
        self._stream = stream
        folded = {name.lower(): (name, action) for name, action in policy.actions.items()}
        prefix = f"{stream.lower()}."
        self._named = {name: entry for name, entry in folded.items() if not name.endswith(_OTHERS)}
        self._own = {name.removeprefix(prefix): entry for name, entry in self._named.items() if name.startswith(prefix)}
        _, self._others = folded.get(f"{prefix}{_OTHERS}", folded.get(_OTHERS, ("", "keep")))
        self._changes: dict[Any, Callable[[Any], Any]] = {}  # by the name that the source gives
        self._declared: set[str] = set()

    def action(self, column: Any) -> ColumnAction:
        """What happens to a column, by the name that the source gives it."""
        name = str(column).lower()
        _, action = self._own.get(name) or self._named.get(name) or ("", self._others)
        return action

    def is_result(self, column: str, value: Any) -> bool:
        """Whether a value that has landed in a column may be what the policy left."""
        action = self.action(column)
        if value is None or action == "keep":
            return True
        if action == "hash":
            return isinstance(value, str) and HASH.fullmatch(value) is not None
        return action == "mask" and value == MASK

    def is_named(self, column: Any) -> bool:
        name = str(column).lower()
        return name in self._own or name in self._named

    def schema(self, schema: StreamSchema | None, *, state_columns: Sequence[str] = ()) -> StreamSchema | None:
        """What the table declares under the policy.

        :param state_columns: columns whose values are in the states, besides the cursor.
        :raises ConfigurationError: for a cursor that is not kept, and a key that is not kept or hashed.
        """
        if schema is None:
            return None
        self._check_special(schema, state_columns)
        self._declared |= {name.lower() for name in schema.fields.names}
        self._find(self._declared)
        fields = []
        for column in schema.fields:
            action = self.action(column.name)
            if action == "refuse":
                raise self._refused(column.name)
            if action == "keep":
                fields.append(column)
            elif action != "drop":
                fields.append(pa.field(column.name, pa.string(), column.nullable))
        if not fields and schema.fields.names:
            raise self._nothing_left()
        return replace(schema, fields=pa.schema(fields))

    def _check_special(self, schema: StreamSchema, state_columns: Sequence[str]) -> None:
        location, stream = self._policy.location, self._stream
        for name in dict.fromkeys([*([schema.cursor] if schema.cursor is not None else []), *state_columns]):
            if (action := self.action(name)) != "keep":
                part = "cursor" if name == schema.cursor else "key"
                raise ConfigurationError(
                    f"{location}.columns: {name!r} is the {part} of stream {stream!r}, whose values are in its stored "
                    f'states, so it cannot be {_DONE[action]}; write {toml_key(name)} = "keep", or read the table '
                    "whole, without a cursor"
                )
        for name in schema.primary_key:
            if (action := self.action(name)) not in ("keep", "hash"):
                raise ConfigurationError(
                    f"{location}.columns: {name!r} is in the primary key of stream {stream!r}, so it cannot be "
                    f'{_DONE[action]}; write {toml_key(name)} = "hash" or "keep"'
                )

    def data(self, data: Data) -> Data:
        """Rows (mappings) or a batch without what the policy takes away.

        :raises ConfigurationError: for a column that is to be refused, or that looks like one that no row has.
        """
        if isinstance(data, pa.Table):
            return self._table(data)
        changes = self._changes
        result = []
        for row in data:
            changed = {}
            for name, value in row.items():
                if name not in changes:
                    self._meet(dict.fromkeys(name for row in data for name in row))
                if (change := changes[name]) is not _dropped:
                    changed[name] = value if change is _kept else change(value)
            if row and not changed:
                raise self._nothing_left()
            result.append(changed)
        return result

    def _table(self, table: pa.Table) -> pa.Table:
        self._meet(table.schema.names)
        fields, columns = [], []
        for index, declared in enumerate(table.schema):
            column = table.column(index)
            action = self.action(declared.name)
            if action == "drop":
                continue
            if action != "keep":
                hashing = self._policy.hashing if action == "hash" else None
                column = hashing.column(column) if hashing is not None else _masked(column)
                declared = pa.field(declared.name, pa.string(), declared.nullable)
            fields.append(declared)
            columns.append(column)
        if table.num_columns and not columns:
            raise self._nothing_left()
        return pa.table(columns, schema=pa.schema(fields))

    def _meet(self, names: Iterable[Any]) -> None:
        """Decide what happens to columns that may be new."""
        new = [name for name in names if name not in self._changes]
        folded = [str(name).lower() for name in new]
        self._find(folded)
        self._check_similar(folded)
        for name in new:
            action = self.action(name)
            if action == "refuse":
                raise self._refused(name)
            if action == "drop" and not self.is_named(name):
                log.info("stream %r: column %r does not land, as columns does not name it", self._stream, str(name))
            self._changes[name] = self._change(action)

    def _change(self, action: ColumnAction) -> Callable[[Any], Any]:
        if action == "hash":
            assert self._policy.hashing is not None  # see ColumnPolicy.parse
            return self._policy.hashing.value
        return {"keep": _kept, "mask": _mask}.get(action, _dropped)

    def _refused(self, name: Any) -> ConfigurationError:
        return ConfigurationError(
            f"stream {self._stream!r} has the column {str(name)!r}, which {self._policy.location}.columns does not "
            f'name; write {toml_key(str(name))} = "keep", "hash", "mask" or "drop"'
        )

    def _find(self, folded: Iterable[str]) -> None:
        """Note which names of the file these columns have."""
        entries = (self._own.get(name) or self._named.get(name) for name in folded)
        self._policy.found.update(entry[0] for entry in entries if entry is not None)

    def _check_similar(self, folded: Iterable[str]) -> None:
        """Refuse a column that the file does not name and that is spelled like a name in it which no column has: most
        likely the name is misspelled, and the values would land as they are."""
        unseen = [name for name, entry in self._candidates() if entry[0] not in self._policy.found]
        if not unseen or self._others != "keep":
            return
        for name in folded:
            if not self.is_named(name) and (near := closest(name, unseen, limit=1, cutoff=0.65)):
                raise ConfigurationError(
                    f"stream {self._stream!r} has the column {name!r} and none named {near[0]!r}, which "
                    f"{self._policy.location}.columns names; write {name!r} there instead, or add "
                    f'{toml_key(name)} = "keep"'
                )

    def _candidates(self) -> list[tuple[str, tuple[str, ColumnAction]]]:
        """Names that a column of this stream may have, and which change it."""
        own = list(self._own.items())
        plain = [(name, entry) for name, entry in self._named.items() if "." not in name]
        return [(name, entry) for name, entry in own + plain if entry[1] != "keep"]

    def unseen(self) -> list[str]:
        """The names for this stream alone that no column has had."""
        entries = {**self._own, **(self._named if self._alone else {})}
        return sorted(
            {name for name, action in entries.values() if name not in self._policy.found and action != "keep"}
        )

    def rejected(self, rows: Iterable[Rejected]) -> list[Rejected]:
        """Rows that the source could not convert, and their errors, without what the policy takes away."""
        return [(self._rejected_row(row), self.error(error)) for row, error in rows]

    def _rejected_row(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        # without the declared columns it is not a row of the table, but a message or a record as it arrived
        is_row = bool(self._declared) and self._declared <= {str(name).lower() for name in row}
        changes = {name: self._change(self.action(name)) for name in row}
        if not is_row:
            changes |= {name: _mask for name, change in changes.items() if change is _kept and not self._knows(name)}
        return {name: changes[name](value) for name, value in row.items() if changes[name] is not _dropped}

    def error(self, error: BadRecordError) -> BadRecordError:
        """The source's error about a row, without values that the policy takes away."""
        column = error.column
        known = column is not None and self.action(column) == "keep"
        return BadRecordError(
            error.reason if known else _HIDDEN,
            stream=error.stream,
            column=column,
            key=self._key(error.key),
            value=error.value if known else None,
        )

    def _key(self, key: Any) -> Any:
        """The key or the position of a row. Positions, such as the offset of a message, are numbers."""
        if isinstance(key, Mapping):
            return {name: self._key_value(name, value) for name, value in key.items()}
        return key if key is None or isinstance(key, int) else MASK

    def _key_value(self, name: Any, value: Any) -> Any:
        if not self._knows(name):
            return value if isinstance(value, int) else MASK
        change = self._change(self.action(name))
        return MASK if change is _dropped else change(value)

    def _knows(self, name: Any) -> bool:
        """Whether a field of a rejected row is a column, rather than a part of what arrived."""
        return self.is_named(name) or str(name).lower() in self._declared

    def _nothing_left(self) -> ConfigurationError:
        return ConfigurationError(
            f"{self._policy.location}.columns leaves no column of stream {self._stream!r}; name one that lands, or "
            f'leave the stream out: streams = ["!{self._stream}"]'
        )


def _kept(value: Any) -> Any:
    return value


def _dropped(value: Any) -> None:
    """Stands for a column that does not land."""


def _mask(value: Any) -> str | None:
    return None if value is None or value is UNSET else MASK


def _masked(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(column.is_null(), pa.scalar(None, pa.string()), pa.scalar(MASK))


_DONE = {"hash": "hashed", "mask": "masked", "drop": "dropped", "refuse": "refused"}
