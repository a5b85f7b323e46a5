"""Records as rows: the schema of a class, and its instances as the data of payloads."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import pickle
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import attrs
import msgspec
import pyarrow as pa
import pytest

from support import Lab, Whole, payload
from vdk.plugin.datasource_base import (
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
    DataSourcePayload,
    FlowFailedError,
    StreamSchema,
)
from vdk.plugin.datasource_base.contract import JSON_TYPE
from vdk.plugin.datasource_base.parts.columns.convert import convert_rows

DAY = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)


class Kind(enum.Enum):
    PAID = "paid"
    OPEN = "open"


@dataclasses.dataclass
class Address:
    city: str
    zip: str | None = None


class Item(msgspec.Struct):
    price: float


@dataclasses.dataclass
class Order:
    id: int
    placed: dt.datetime
    total: Decimal
    address: Address | None = None
    items: list[Item] = dataclasses.field(default_factory=list)
    kind: Kind = Kind.PAID
    channel: Literal["web", "shop"] = "web"


class StructOrder(msgspec.Struct, rename="camel"):
    order_id: int
    address: Address | None = None


@attrs.define
class AttrsOrder:
    id: int
    note: str | None = None


class Patch(msgspec.Struct):
    id: int
    count: int | msgspec.UnsetType = msgspec.UNSET
    note: int | str | msgspec.UnsetType = msgspec.UNSET


@dataclasses.dataclass
class Node:
    id: int
    parent: Node | None = None
    children: list[Node] = dataclasses.field(default_factory=list)


class DictOrder(TypedDict):
    id: int
    city: NotRequired[str]


def city_of(order: Order) -> str:
    return order.address.city  # type: ignore[union-attr]  # fails for an order without an address


def orders(*cities: str | None) -> list[Order]:
    return [
        Order(number, DAY, Decimal("1.10"), None if city is None else Address(city))
        for number, city in enumerate(cities)
    ]


class TestSchema:
    def test_the_columns_of_each_kind_of_class(self) -> None:
        """Enumerations and literals have the type of their values, records are JSON, encoded names are columns."""
        assert StreamSchema.of(Order).fields.field("kind") == pa.field("kind", pa.string(), nullable=False)
        assert StreamSchema.of(Order).fields.field("channel") == pa.field("channel", pa.string(), nullable=False)
        assert StreamSchema.of(Order).fields.field("address") == pa.field("address", JSON_TYPE)
        assert StreamSchema.of(StructOrder).fields.names == ["orderId", "address"]
        assert StreamSchema.of(AttrsOrder).fields == pa.schema(
            [pa.field("id", pa.int64(), nullable=False), ("note", pa.string())]
        )
        assert StreamSchema.of(DictOrder).fields == pa.schema(
            [pa.field("id", pa.int64(), nullable=False), ("city", pa.string())]
        )

    @pytest.mark.parametrize(("tz", "zone"), [(False, None), (True, "UTC"), (None, "UTC")])
    def test_a_time_that_must_have_no_zone_is_a_column_without_one(self, tz: bool | None, zone: str | None) -> None:
        """msgspec refuses its times with a zone, so as UTC each would be another instant than was written."""
        local = msgspec.defstruct("Local", [("at", Annotated[dt.datetime, msgspec.Meta(tz=tz)])])
        assert StreamSchema.of(local).fields.field("at").type == pa.timestamp("us", tz=zone)

    def test_skip_rename_types_and_resolve(self) -> None:
        """A path has the type of its field, a function that of its return annotation, a lambda that of its values."""
        schema = StreamSchema.of(
            Order,
            primary_key=["order_id"],
            skip=["items", "address", "kind", "channel", "placed"],
            rename={"id": "order_id"},
            types={"total": pa.decimal128(10, 2)},
            resolve={"city": "address.city", "town": city_of, "double": lambda order: order.id * 2},
        )
        assert schema.fields == pa.schema(
            [
                pa.field("order_id", pa.int64(), nullable=False),
                pa.field("total", pa.decimal128(10, 2), nullable=False),
                ("city", pa.string()),
                ("town", pa.string()),
                ("double", pa.null()),
            ]
        )

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"skip": ["itms"]}, r"StreamSchema.of\(Order\): skip: 'itms' is not a field; did you mean 'items'"),
            ({"rename": {"ID": "x"}}, r"StreamSchema.of\(Order\): rename: 'ID' is not a field; expected one"),
            ({"types": {"totl": pa.int64()}}, r"types: 'totl' is not a column; did you mean 'total'"),
            ({"resolve": {"c": "address.citty"}}, r"'address.citty': 'citty' is not a field of Address; did you"),
            ({"rename": {"id": "total"}}, r"Order: rename = \{'id': 'total'\} gives two fields one name"),
        ],
    )  # fmt: skip
    def test_an_unknown_name_is_refused_with_the_remedy(self, options: dict[str, Any], error: str) -> None:
        with pytest.raises(ConfigurationError, match=error):
            StreamSchema.of(Order, **options)

    def test_a_schema_is_picklable(self) -> None:
        """A partition that holds one travels to another machine."""
        schema = StreamSchema.of(StructOrder, resolve={"city": "address.city"})
        copied = pickle.loads(pickle.dumps(schema))
        assert convert_rows([StructOrder(1, Address("Rome"))], copied, stream="s").table["city"].to_pylist() == ["Rome"]


class TestConvert:
    def test_records_land_as_their_mappings_do(self) -> None:
        """With and without a schema, for every kind of class."""
        nested = Order(7, DAY, Decimal("1.10"), Address("Rome"), [Item(float("nan"))])
        row = {
            **dataclasses.asdict(nested),
            "address": {"city": "Rome", "zip": None},
            "items": [{"price": float("nan")}],
            "kind": "paid",
        }
        for schema in (StreamSchema.of(Order), StreamSchema(StreamSchema.of(Order).fields), None):
            assert convert_rows([nested], schema, stream="s").table.equals(
                convert_rows([row], schema, stream="s").table
            )
        for record, plain in (
            (StructOrder(1), {"orderId": 1, "address": None}),
            (AttrsOrder(1, "x"), {"id": 1, "note": "x"}),
        ):
            for schema in (StreamSchema.of(type(record)), None):
                table = convert_rows([record], schema, stream="s").table
                assert table.equals(convert_rows([plain], schema, stream="s").table)

    def test_resolved_columns(self) -> None:
        """A path is NULL where a step is None; a function gets the record."""
        schema = StreamSchema.of(
            Order, skip=["address"], resolve={"city": "address.city", "id": lambda order: order.id + 1}
        )
        table = convert_rows(orders("Rome", None), schema, stream="s").table
        assert "address" not in table.schema.names
        assert table["city"].to_pylist() == ["Rome", None]
        assert table["id"].to_pylist() == [1, 2]

    def test_a_resolver_that_fails_rejects_its_row(self) -> None:
        """The row is as it would have landed; the error names column and key. Each resolver runs once a record."""
        calls = []

        def counted(order: Order) -> str:
            calls.append(order.id)
            return city_of(order)

        schema = StreamSchema.of(Order, primary_key=["id"], skip=["items", "placed"], resolve={"city": counted})
        converted = convert_rows(orders("Rome", None, "Oslo"), schema, stream="s")
        assert converted.table["city"].to_pylist() == ["Rome", "Oslo"]
        ((row, error),) = converted.rejected
        assert (row["id"], row["city"], "items" in row) == (1, None, False)
        assert str(error) == (
            "stream 's', column 'city', key {'id': 1}: the column's resolver raised AttributeError: 'NoneType' object "
            "has no attribute 'city'"
        )
        assert calls == [0, 1, 2]

    def test_a_value_that_does_not_fit_rejects_its_row(self) -> None:
        """Dataclasses check no types: the other records land."""
        wrong: Any = dataclasses.replace(orders("Rome")[0])
        wrong.id = "two"
        converted = convert_rows([*orders("Rome", "Oslo"), wrong], StreamSchema.of(Order), stream="s")
        assert converted.table["id"].to_pylist() == [0, 1]
        assert "column 'id'" in str(converted.rejected[0][1])

    def test_what_an_unreachable_system_raises_is_raised(self) -> None:
        """It is not the row's fault: the attempt is retried."""

        def fetch(order: Order) -> str:
            raise ConnectionFailedError("down")

        with pytest.raises(ConnectionFailedError):
            convert_rows(orders("Rome"), StreamSchema.of(Order, resolve={"city": fetch}), stream="s")

    def test_the_mappings_of_a_typed_dict(self) -> None:
        """They are renamed, skipped and resolved too; further keys stay columns of their own."""
        schema = StreamSchema.of(DictOrder, rename={"id": "key"}, skip=["city"], resolve={"town": "city"})
        rows = [{"id": 1, "city": "Rome", "extra": 1}, {"id": 2}]
        assert convert_rows(rows, schema, stream="s").table.to_pylist() == [
            {"key": 1, "town": "Rome", "extra": 1},
            {"key": 2, "town": None, "extra": None},
        ]

    def test_records_and_mappings_in_one_list(self) -> None:
        rows = [AttrsOrder(1, "x"), {"id": 2, "note": None}]
        table = convert_rows(rows, StreamSchema.of(AttrsOrder), stream="s").table
        assert table.to_pylist() == [{"id": 1, "note": "x"}, {"id": 2, "note": None}]


class TestPayloads:
    def test_one_record_many_and_none(self, lab: Lab) -> None:
        """A record is a row of a payload alone and in a list; a state with each makes no difference."""
        schema = StreamSchema.of(AttrsOrder, primary_key=["id"])
        payloads = [
            DataSourcePayload(AttrsOrder(1), state={"n": 1}),
            DataSourcePayload(AttrsOrder(2), state={"n": 2}),
            DataSourcePayload([AttrsOrder(3), AttrsOrder(4)], state={"n": 4}),
            DataSourcePayload(AttrsOrder(2), kind="deletes", state={"n": 5}),
        ]
        lab.run(Whole("t", lambda state: payloads, schema, incremental=True))
        assert sorted(row["id"] for row in lab.tables["t"]) == [1, 3, 4]

    def test_a_failing_resolver_follows_on_bad_record(self, lab: Lab) -> None:
        """``fail`` ends the stream, ``reject`` lands the others; also before a transform."""
        stream = Whole(
            "t",
            lambda state: [DataSourcePayload(orders("Rome", None))],
            StreamSchema.of(Order, resolve={"city": city_of}),
        )
        with pytest.raises(FlowFailedError, match=r"column 'city'.*resolver raised AttributeError"):
            lab.run(stream)
        for transform in (None, lambda rows: [{"city": row["city"]} for row in rows]):
            summary = lab.run(stream, on_bad_record="reject", transform=transform)
            assert (summary.streams[0].rows_landed, summary.streams[0].rows_rejected) == (1, 1)

    def test_a_record_of_another_class_is_refused(self, lab: Lab) -> None:
        stream = Whole("t", lambda state: [DataSourcePayload(Address("Rome"))], StreamSchema.of(Order))
        with pytest.raises(
            FlowFailedError, match=r"yielded a record of the class Address, and its schema is that of Order"
        ):
            lab.run(stream)

    def test_a_payload_is_not_a_record(self, lab: Lab) -> None:
        """Although it is a dataclass: a list of payloads is a mistake."""
        wrong: Any = [payload({"n": 1})]
        with pytest.raises(FlowFailedError, match="a list with a DataSourcePayload in it"):
            lab.run(Whole("t", lambda state: [DataSourcePayload(wrong)]))


class TestRowsThatWouldChange:
    """What a schema of a class must not do in silence."""

    def test_a_field_of_a_typed_dict_survives_a_transform(self, lab: Lab) -> None:
        """Its columns have their names before the transform, and are not renamed a second time behind it."""
        schema = StreamSchema.of(DictOrder, rename={"id": "order_id"})
        orders: list[Any] = [{"id": number, "city": "Bern"} for number in range(3)]
        lab.run(Whole("t", lambda state: [DataSourcePayload(orders)], schema), transform=lambda row: row)
        assert [row["order_id"] for row in lab.tables["t"]] == [0, 1, 2]

    def test_skip_may_be_one_name(self) -> None:
        """It is not taken for its letters, which fields may have as names, or as a part of them."""
        cls = dataclasses.make_dataclass("Shop", [("id", int), ("add", str), ("address", str)])
        assert StreamSchema.of(cls, skip="address").fields.names == ["id", "add"]

    def test_a_subclass_with_further_fields_is_refused(self) -> None:
        """Its values would be left out. One that adds none is a record like any."""

        @dataclasses.dataclass
        class Parcel(Address):
            weight: int = 0

        @dataclasses.dataclass
        class Home(Address):
            pass

        schema = StreamSchema.of(Address)
        with pytest.raises(DataSourceError, match=r"Parcel, whose fields weight the schema of Address lacks; write"):
            convert_rows([Parcel("Bern")], schema, stream="s")

        class Encoded(StructOrder, rename="kebab"):
            pass

        rows = convert_rows([Encoded(1)], StreamSchema.of(StructOrder), stream="s").table.to_pylist()
        assert rows == [{"orderId": 1, "address": None}]
        assert convert_rows([Home("Bern")], schema, stream="s").table.to_pylist() == [{"city": "Bern", "zip": None}]

    def test_unset_is_no_value(self) -> None:
        """Neither text nor JSON: the column has the type of the values that are set."""
        converted = convert_rows([Patch(1), Patch(2, 3)], StreamSchema.of(Patch), stream="s").table
        assert converted.schema.field("count").type == pa.int64()
        nothing = {"id": 1, "count": None, "note": None}
        assert converted.to_pylist() == [nothing, {"id": 2, "count": 3, "note": None}]
        assert convert_rows([Patch(1)], None, stream="s").table.to_pylist() == [nothing]

    def test_records_that_refer_to_each_other_land_without_these_fields(self, lab: Lab) -> None:
        """Also where their size is measured."""
        node = Node(1)
        node.children.append(Node(2, node))
        schema = StreamSchema.of(Node, skip=("parent", "children"))
        lab.run(Whole("t", lambda state: [DataSourcePayload(node)], schema))
        assert lab.tables["t"] == [{"id": 1}]

    def test_a_delete_needs_its_key_alone(self, lab: Lab) -> None:
        """A resolver of another column, which fails, keeps no row."""
        schema = StreamSchema.of(Patch, primary_key=["id"], resolve={"half": lambda patch: 1 / patch.count})
        rows = DataSourcePayload([Patch(1, 4), Patch(2, 2)], state={"n": 1})
        deletes = DataSourcePayload([Patch(1, 0)], kind="deletes", state={"n": 2})
        stream = Whole("t", lambda state: [rows, deletes], schema)
        lab.run(stream, write_mode="upsert", on_bad_record="reject")
        assert [row["id"] for row in lab.tables["t"]] == [2]
        assert "t__rejected" not in lab.tables


async def later(record: Any) -> int:
    return 1


@pytest.mark.parametrize("how", [5, later, None], ids=["a number", "a coroutine", "nothing"])
def test_a_resolver_that_returns_no_value_is_refused(how: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"resolve\['n'\] = .* is neither the path of a field nor a function"):
        StreamSchema.of(Address, resolve={"n": how})


@pytest.mark.parametrize("hint", ["1 x", "dt.nothing"])
def test_an_annotation_that_python_cannot_resolve_names_the_class(hint: str) -> None:
    cls = dataclasses.make_dataclass("Shop", [("id", hint)], namespace={"__module__": __name__})
    cls.__module__ = __name__
    with pytest.raises(ConfigurationError, match="Shop: the annotations cannot be resolved"):
        StreamSchema.of(cls)
