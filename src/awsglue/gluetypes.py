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


class EnumType(DataType):
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

    def __init__(self, base_type: DataType, properties: Mapping[str, Any] = NOTHING) -> None:
        super().__init__(properties)
        self.base_type = base_type

    def jsonValue(self) -> dict[str, Any]:
        return {**super().jsonValue(), "baseType": self.base_type.jsonValue()}

    @classmethod
    def fromJsonValue(cls, json_value: Mapping[str, Any]) -> EntityType:
        return cls(deserialize(json_value["baseType"]), json_value.get("properties", {}))


class ArrayType(DataType):
    def __init__(self, elementType: DataType | None = None, properties: Mapping[str, Any] = NOTHING) -> None:
        super().__init__(properties)
        self.elementType = elementType or UnknownType()

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

    def __init__(self, valueType: DataType | None = None, properties: Mapping[str, Any] = NOTHING) -> None:
        super().__init__(properties)
        self.valueType = valueType or UnknownType()
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
