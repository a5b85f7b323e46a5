"""What a source author is told when a class is made, and how records become schemas."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import pickle
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Optional

import msgspec
import pyarrow as pa
import pytest

from support import Part, counting
from vdk.plugin.datasource_base import (
    BadRecordError,
    ConfigurationError,
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceState,
    DataSourceStream,
    StreamPartition,
    StreamSchema,
    data_source,
)
from vdk.plugin.datasource_base.contract import JSON_TYPE


class TestStreams:
    def test_a_stream_that_overrides_neither_is_refused(self) -> None:
        """When the class is made, not when it is read."""
        with pytest.raises(TypeError, match=r"Nothing overrides neither of `read` and `partitions`"):

            class Nothing(DataSourceStream):
                name = "n"

    def test_a_stream_that_overrides_both_is_refused(self) -> None:
        """One of the two would never be called."""
        with pytest.raises(TypeError, match="Both overrides both"):

            class Both(DataSourceStream):
                def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
                    yield DataSourcePayload(None)

                def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
                    return ()

    def test_a_base_class_may_leave_the_choice_to_its_subclasses(self) -> None:
        """Which are checked in their turn; what a parent overrides counts."""

        class Base(DataSourceStream, abstract=True):
            name = "b"

        class Reads(Base):
            def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
                yield DataSourcePayload(None)

        class Further(Reads):
            name = "f"

        assert [partition.id for partition in Further().partitions({})] == [""]
        with pytest.raises(TypeError, match="neither"):

            class Forgetful(Base):
                pass

    def test_a_stream_that_is_split_is_not_read_itself(self) -> None:
        """Its partitions are."""

        class Parts(DataSourceStream):
            name = "p"

            def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
                return [Part("a", counting(1))]

        with pytest.raises(TypeError, match="'p' is split into partitions"):
            Parts().read({})

    def test_the_state_of_a_source_is_read_only(self) -> None:
        """And has an empty state for what never delivered."""
        state = DataSourceState({"orders": {"": {"next": 3}}})
        assert state.of("orders") == {"next": 3}
        assert state.of("orders", "x") == state.of("none") == {}
        assert (list(state), len(state)) == (["orders"], 1)
        with pytest.raises(TypeError):
            state["orders"]["x"] = {}  # type: ignore[index]  # it is read-only

    def test_a_source_is_declared_with_a_configuration_class(self) -> None:
        """Anything else is refused when the class is made."""
        with pytest.raises(ConfigurationError, match="is not a DataSourceConfig"):

            @data_source(name="x", config=dict)  # type: ignore[arg-type]  # what the contract forbids
            class Wrong(DataSource[DataSourceConfig]):
                def streams(self) -> list[DataSourceStream]:
                    return []


class Color(msgspec.Struct):
    name: str


@dataclasses.dataclass
class Order:
    id: int
    price: Annotated[decimal.Decimal, pa.decimal128(10, 2)]
    big: decimal.Decimal
    placed: dt.datetime
    day: dt.date | None
    at: dt.time
    took: Optional[dt.timedelta]  # noqa: UP045  # both spellings are in use
    paid: bool
    weight: float
    blob: bytes
    token: uuid.UUID
    tags: list[str]
    extra: dict[str, Any] | None
    color: Color
    either: int | str
    anything: Any
    small: Annotated[int, "words", pa.int16()] | None = None


class Renamed(msgspec.Struct, rename="camel"):
    order_id: int
    unit_price: Annotated[decimal.Decimal, pa.decimal128(8, 3)] | None = None
    limits: Annotated[int, msgspec.Meta(ge=1)] = 1


class TestSchemaOf:
    def test_a_dataclass_field_by_field(self) -> None:
        """Each annotation has its column type, and None makes it nullable."""
        schema = StreamSchema.of(Order, primary_key=["id"], cursor="placed")
        assert (schema.primary_key, schema.cursor) == (("id",), "placed")
        types = {field.name: (field.type, field.nullable) for field in schema.fields}
        assert types == {
            "id": (pa.int64(), False),
            "price": (pa.decimal128(10, 2), False),
            "big": (pa.decimal128(38, 9), False),
            "placed": (pa.timestamp("us", tz="UTC"), False),
            "day": (pa.date32(), True),
            "at": (pa.time64("us"), False),
            "took": (pa.duration("us"), True),
            "paid": (pa.bool_(), False),
            "weight": (pa.float64(), False),
            "blob": (pa.binary(), False),
            "token": (pa.string(), False),
            "tags": (JSON_TYPE, False),
            "extra": (JSON_TYPE, True),
            "color": (JSON_TYPE, False),
            "either": (JSON_TYPE, False),
            "anything": (JSON_TYPE, True),
            "small": (pa.int16(), True),
        }

    def test_a_struct_by_the_names_it_is_written_with(self) -> None:
        """A renamed field is a column of its new name."""
        fields = StreamSchema.of(Renamed, primary_key=("orderId",)).fields
        assert fields.names == ["orderId", "unitPrice", "limits"]
        assert fields.field("unitPrice") == pa.field("unitPrice", pa.decimal128(8, 3))

    @pytest.mark.parametrize("record", [dict, int, "Order", Order.__init__])
    def test_other_classes_are_refused(self, record: Any) -> None:
        """The message says what would be right."""
        with pytest.raises(ConfigurationError, match="neither a dataclass nor a msgspec"):
            StreamSchema.of(record)

    def test_a_type_without_a_column_is_named(self) -> None:
        """With its class and field, and how to say one."""

        @dataclasses.dataclass
        class Strange:
            number: complex

        globals()["Strange"] = Strange
        with pytest.raises(ConfigurationError, match=r"Strange.number.*has no column type; declare one: Annotated"):
            StreamSchema.of(Strange)

    def test_annotations_that_cannot_be_resolved_are_told(self) -> None:
        """As those of a class inside a function cannot."""

        class Inner(msgspec.Struct):
            x: int

        @dataclasses.dataclass
        class Outer:
            inner: Inner

        with pytest.raises(ConfigurationError, match="'Inner' is not defined; define it at module level"):
            StreamSchema.of(Outer)

    @pytest.mark.parametrize("wrong", [{"primary_key": ("nope",)}, {"cursor": "nope"}])
    def test_keys_must_be_columns(self, wrong: dict[str, Any]) -> None:
        """The message lists the columns there are."""
        with pytest.raises(ConfigurationError, match=r"\['nope'\], which are not columns; the columns are \['n'\]"):
            StreamSchema(pa.schema([("n", pa.int64())]), **wrong)

    def test_a_key_that_is_one_text_is_refused(self) -> None:
        """Each of its letters would be a column. The message has the line to write."""
        columns = pa.schema([("id", pa.int64())])
        record = msgspec.defstruct("Record", [("id", int)])
        with pytest.raises(ConfigurationError, match=r"write primary_key = \('id',\)"):
            StreamSchema(columns, "id")  # type: ignore[arg-type]  # as an author may write it
        with pytest.raises(ConfigurationError, match=r"write primary_key = \('id',\)"):
            StreamSchema.of(record, primary_key="id")

    def test_columns_are_named_once(self) -> None:
        """Arrow would allow two."""
        with pytest.raises(ConfigurationError, match=r"more than once in a schema: \['n'\]"):
            StreamSchema(pa.schema([("n", pa.int64()), ("n", pa.string())]))


def test_a_bad_record_says_where_and_what_in_one_line() -> None:
    """A long value is shortened, and the error survives a pickle's trip as text."""
    error = BadRecordError("does not fit", stream="s", column="c", key={"id": 1}, value="x" * 500)
    assert str(error).startswith("stream 's', column 'c', key {'id': 1}, value 'xxx")
    assert str(error).endswith("does not fit")
    assert len(str(error)) < 250
    assert str(pickle.loads(pickle.dumps(BadRecordError("r")))) == "r"
