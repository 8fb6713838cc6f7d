"""The types of a DynamicFrame's schema: Spark's, and `ChoiceType` for a field that has several.

`DynamicFrame.schema()` answers a StructType of these. They are values: equal when their JSON is; `jsonValue()` is what
`withSchema` options take (AWS docs, "PySpark extension types").
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

NOTHING: Mapping[str, Any] = MappingProxyType({})


class DataType:
    """A type, with properties that a source may have given it."""

    def __init__(self, properties: Mapping[str, Any] = NOTHING) -> None:
        self.properties = dict(properties)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.properties})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DataType) and self.jsonValue() == other.jsonValue()

    def __hash__(self) -> int:
        return hash(json.dumps(self.jsonValue(), sort_keys=True))

    @classmethod
    def typeName(cls) -> str:
        """The type's name as a schema prints it: `int`, `string`, `choice`..."""
        return cls.__name__.removesuffix("Type").lower()

    def jsonValue(self) -> dict[str, Any]:
        """The type as JSON has it: its name in `dataType`, and what it is made of."""
        return {"dataType": self.typeName(), **({"properties": self.properties} if self.properties else {})}

    @classmethod
    def fromJsonValue(cls, json_value: Mapping[str, Any]) -> DataType:
        """A type from its JSON."""
        return cls(json_value.get("properties", {}))


class AtomicType(DataType):
    """A type without parts."""


class NullType(AtomicType): ...


class UnknownType(AtomicType): ...


class StringType(AtomicType): ...


class BinaryType(AtomicType): ...


class BooleanType(AtomicType): ...


class ByteType(AtomicType): ...


class ShortType(AtomicType): ...


class IntegerType(AtomicType):
    @classmethod
    def typeName(cls) -> str:
        return "int"


class LongType(AtomicType): ...


class FloatType(AtomicType): ...


class DoubleType(AtomicType): ...


class DateType(AtomicType): ...


class TimestampType(AtomicType): ...


class DecimalType(AtomicType):
    def __init__(self, precision: int = 10, scale: int = 2, properties: Mapping[str, Any] = NOTHING) -> None:
        super().__init__(properties)
        self.precision, self.scale = precision, scale

    def __repr__(self) -> str:
        return f"DecimalType({self.precision}, {self.scale}, {self.properties})"

    def jsonValue(self) -> dict[str, Any]:
        return {**super().jsonValue(), "precision": self.precision, "scale": self.scale}

    @classmethod
    def fromJsonValue(cls, json_value: Mapping[str, Any]) -> DecimalType:
        return cls(json_value.get("precision", 10), json_value.get("scale", 2), json_value.get("properties", {}))


class EnumType(AtomicType):
    """One of a few strings."""

    def __init__(self, options: Iterable[str], properties: Mapping[str, Any] = NOTHING) -> None:
        super().__init__(properties)
        self.options = list(options)

    def jsonValue(self) -> dict[str, Any]:
        return {**super().jsonValue(), "options": self.options}

    @classmethod
    def fromJsonValue(cls, json_value: Mapping[str, Any]) -> EnumType:
        return cls(json_value["options"], json_value.get("properties", {}))


class Field:
    """One field of a struct."""

    def __init__(self, name: str, dataType: DataType, properties: Mapping[str, Any] = NOTHING) -> None:
        self.name, self.dataType, self.properties = name, dataType, dict(properties)

    def __repr__(self) -> str:
        return f"Field({self.name}, {self.dataType}, {self.properties})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Field) and self.jsonValue() == other.jsonValue()

    def __hash__(self) -> int:
        return hash(self.name)

    def jsonValue(self) -> dict[str, Any]:
        more = {"properties": self.properties} if self.properties else {}
        return {"name": self.name, "container": self.dataType.jsonValue(), **more}

    @classmethod
    def fromJsonValue(cls, json_value: Mapping[str, Any]) -> Field:
        return cls(json_value["name"], deserialize(json_value["container"]), json_value.get("properties", {}))


class StructType(DataType):
    """Named fields, in order."""

    def __init__(self, fields: Iterable[Field] = (), properties: Mapping[str, Any] = NOTHING) -> None:
        super().__init__(properties)
        self.fields = list(fields)

    def __repr__(self) -> str:
        return f"StructType([{','.join(map(str, self.fields))}], {self.properties})"

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    @property
    def field_map(self) -> dict[str, Field]:
        return {one.name: one for one in self.fields}

    def fieldNames(self) -> list[str]:
        return [one.name for one in self.fields]

    def add(self, field: Field) -> None:
        """One more field. ValueError when there is one of its name."""
        if self.hasField(field):
            raise ValueError(f"there is a field {field.name!r} already")
        self.fields.append(field)

    def hasField(self, field: str | Field) -> bool:
        return (field.name if isinstance(field, Field) else field) in self.field_map

    def getField(self, field: str) -> Field:
        """The field of a name. KeyError when there is none."""
        return self.field_map[field]

    def jsonValue(self) -> dict[str, Any]:
        return {**super().jsonValue(), "fields": [one.jsonValue() for one in self.fields]}

    @classmethod
    def fromJsonValue(cls, json_value: Mapping[str, Any]) -> StructType:
        return cls(map(Field.fromJsonValue, json_value["fields"]), json_value.get("properties", {}))


class EntityType(DataType):
    """A struct under a name."""

    def __init__(self, entity: str, base_type: DataType, properties: Mapping[str, Any]) -> None:
        super().__init__(properties)
        self.entity, self.base_type = entity, base_type

    def jsonValue(self) -> dict[str, Any]:
        return {**super().jsonValue(), "entity": self.entity, "baseType": self.base_type.jsonValue()}

    @classmethod
    def fromJsonValue(cls, json_value: Mapping[str, Any]) -> EntityType:
        base = deserialize(json_value["baseType"])
        return cls(json_value.get("entity", ""), base, json_value.get("properties", {}))


UNKNOWN = UnknownType()


class ArrayType(DataType):
    def __init__(self, elementType: DataType = UNKNOWN, properties: Mapping[str, Any] = NOTHING) -> None:
        super().__init__(properties)
        self.elementType = elementType

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.elementType}, {self.properties})"

    def jsonValue(self) -> dict[str, Any]:
        return {**super().jsonValue(), "elementType": self.elementType.jsonValue()}

    @classmethod
    def fromJsonValue(cls, json_value: Mapping[str, Any]) -> ArrayType:
        return cls(deserialize(json_value["elementType"]), json_value.get("properties", {}))


class SetType(ArrayType): ...


class MapType(DataType):
    """Strings to values."""

    def __init__(self, valueType: DataType = UNKNOWN, properties: Mapping[str, Any] = NOTHING) -> None:
        super().__init__(properties)
        self.valueType = valueType
        self.keyType: DataType = StringType()

    def __repr__(self) -> str:
        return f"MapType({self.valueType}, {self.properties})"

    def jsonValue(self) -> dict[str, Any]:
        return {**super().jsonValue(), "valueType": self.valueType.jsonValue()}

    @classmethod
    def fromJsonValue(cls, json_value: Mapping[str, Any]) -> MapType:
        return cls(deserialize(json_value["valueType"]), json_value.get("properties", {}))


class ChoiceType(DataType):
    """A field whose values have several types; `choices` is keyed by their names."""

    def __init__(self, choices: Iterable[DataType] = (), properties: Mapping[str, Any] = NOTHING) -> None:
        super().__init__(properties)
        self.choices: dict[str, DataType] = {}
        for one in choices:
            self.add(one)

    def __repr__(self) -> str:
        return f"ChoiceType([{','.join(map(str, self.choices.values()))}], {self.properties})"

    def add(self, new_choice: DataType) -> None:
        """One more type. ValueError when a type of its name is there."""
        if new_choice.typeName() in self.choices:
            raise ValueError(f"the choice has a {new_choice.typeName()} already")
        self.choices[new_choice.typeName()] = new_choice

    def merge(self, new_choices: DataType | Iterable[DataType]) -> None:
        """More types; those whose name is there are left out."""
        for one in [new_choices] if isinstance(new_choices, DataType) else new_choices:
            self.choices.setdefault(one.typeName(), one)

    def jsonValue(self) -> dict[str, Any]:
        return {**super().jsonValue(), "choices": [self.choices[name].jsonValue() for name in sorted(self.choices)]}

    @classmethod
    def fromJsonValue(cls, json_value: Mapping[str, Any]) -> ChoiceType:
        return cls(map(deserialize, json_value["choices"]), json_value.get("properties", {}))


TYPES: dict[str, type[DataType]] = {
    kind.typeName(): kind
    for kind in (
        *(NullType, UnknownType, StringType, BinaryType, BooleanType, ByteType, ShortType, IntegerType, LongType),
        *(FloatType, DoubleType, DateType, TimestampType, DecimalType, EnumType, StructType, EntityType, ArrayType),
        *(SetType, MapType, ChoiceType),
    )
}


def mergeDataTypes(s1: DataType, s2: DataType) -> DataType:
    """The type of a field that has values of both: theirs where they are the same, else a choice; within structs,
    arrays and maps it goes on inside. What is unknown or null takes the other's type."""
    if s1 == s2 or isinstance(s2, UnknownType | NullType):
        return s1
    if isinstance(s1, UnknownType | NullType):
        return s2
    if isinstance(s1, ChoiceType) or isinstance(s2, ChoiceType):
        return _merged_choice(s1, s2)
    if isinstance(s1, StructType) and isinstance(s2, StructType):
        return _merged_struct(s1, s2)
    if isinstance(s1, ArrayType) and type(s1) is type(s2):
        return type(s1)(mergeDataTypes(s1.elementType, s2.elementType), s1.properties)
    if isinstance(s1, MapType) and isinstance(s2, MapType):
        return MapType(mergeDataTypes(s1.valueType, s2.valueType), s1.properties)
    if isinstance(s1, DecimalType) and isinstance(s2, DecimalType):
        scale = max(s1.scale, s2.scale)
        return DecimalType(max(s1.precision - s1.scale, s2.precision - s2.scale) + scale, scale, s1.properties)
    return s1 if s1.typeName() == s2.typeName() else ChoiceType([s1, s2])  # the same but for properties


def _merged_choice(s1: DataType, s2: DataType) -> ChoiceType:
    made = ChoiceType()
    for side in (s1, s2):
        for one in side.choices.values() if isinstance(side, ChoiceType) else [side]:
            known = made.choices.get(one.typeName())
            made.choices[one.typeName()] = mergeDataTypes(known, one) if known and known != one else one
    return made


def _merged_struct(s1: StructType, s2: StructType) -> StructType:
    """The fields of the first in its order, then what the second has more."""
    made = StructType(properties=s1.properties)
    for one in s1:
        other = s2.field_map.get(one.name)
        kind = one.dataType if other is None else mergeDataTypes(one.dataType, other.dataType)
        made.add(Field(one.name, kind, one.properties))
    for two in s2:
        if not made.hasField(two):
            made.add(two)
    return made


class DynamicRecord(dict[str, Any]):
    """A record as functions of Map and Filter get it: a dict whose fields are attributes, too."""

    def __getattr__(self, attr: str) -> Any:
        try:
            return self[attr]
        except KeyError:
            raise AttributeError(f"the record has no field {attr!r}; it has {', '.join(map(str, self))}") from None

    def __setattr__(self, attr: str, value: Any) -> None:
        self[attr] = value


def deserialize(json_value: Mapping[str, Any] | str) -> DataType:
    """A type from its JSON, as text or parsed. ValueError when the JSON names no type."""
    value = json.loads(json_value) if isinstance(json_value, str) else json_value
    kind = TYPES.get(str(value.get("dataType", "")).lower())
    if kind is None:
        raise ValueError(f"no type {value.get('dataType')!r}")
    return kind.fromJsonValue(value)


def serialize(data_type: DataType) -> str:
    """A type as JSON text."""
    return json.dumps(data_type.jsonValue())
