"""The types of a schema as values: merged, extended, read back from their JSON; and records."""

from __future__ import annotations

import copy

import pytest

from awsglue.gluetypes import (
    ArrayType,
    ChoiceType,
    DataType,
    DecimalType,
    DynamicRecord,
    EntityType,
    Field,
    IntegerType,
    LongType,
    MapType,
    NullType,
    StringType,
    StructType,
    UnknownType,
    deserialize,
    mergeDataTypes,
    serialize,
)

PERSON = StructType([Field("id", IntegerType()), Field("name", StringType())])
MERGED = [
    (StringType(), StringType(), StringType()),
    (UnknownType(), LongType(), LongType()),
    (LongType(), NullType(), LongType()),
    (IntegerType(), StringType(), ChoiceType([IntegerType(), StringType()])),
    (ChoiceType([IntegerType(), StringType()]), LongType(), ChoiceType([IntegerType(), LongType(), StringType()])),
    (ArrayType(IntegerType()), ArrayType(StringType()), ArrayType(ChoiceType([IntegerType(), StringType()]))),
    (MapType(IntegerType()), MapType(), MapType(IntegerType())),
    (DecimalType(5, 2), DecimalType(6, 4), DecimalType(7, 4)),
    (
        PERSON,
        StructType([Field("id", StringType()), Field("age", LongType())]),
        StructType(
            [
                Field("id", ChoiceType([IntegerType(), StringType()])),
                Field("name", StringType()),
                Field("age", LongType()),
            ]
        ),
    ),
]


@pytest.mark.parametrize(("one", "two", "both"), MERGED, ids=str)
def test_merged(one: DataType, two: DataType, both: DataType) -> None:
    assert mergeDataTypes(one, two) == both


@pytest.mark.parametrize("kind", [*(both for _, _, both in MERGED), EntityType("person", PERSON, {})], ids=str)
def test_a_type_comes_back_from_its_json(kind: DataType) -> None:
    assert deserialize(serialize(kind)) == kind


def test_a_struct_takes_a_field_once() -> None:
    made = StructType([Field("id", IntegerType())])
    made.add(Field("name", StringType()))
    assert made == PERSON
    with pytest.raises(ValueError, match="field 'name'"):
        made.add(Field("name", LongType()))


def test_a_record_is_a_dict_whose_fields_are_attributes() -> None:
    record = DynamicRecord({"id": 1})
    record.name = "Ann"
    assert record == {"id": 1, "name": "Ann"}
    assert (record.id, record["name"]) == (1, "Ann")
    assert copy.deepcopy(record).name == "Ann"
    with pytest.raises(AttributeError, match="no field 'age'; it has id, name"):
        record.age  # noqa: B018
