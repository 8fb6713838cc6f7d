"""The columns of a table from a schema of the schema registry (AWS docs, "StorageDescriptor", SchemaReference).

An Avro record's fields have the types that Hive's Avro SerDe gives them; of a JSON Schema each property of the object
is a column: whole numbers are `bigint`, other numbers `double`, what has several types or none `string`.

Limits: Protobuf schemas are refused. Which types AWS gives to JSON Schemas is not published.
"""

from __future__ import annotations

import json
from typing import Any

from millpond.local.glue.crawl.hive import Array, Map, Struct, Type, of_avro, spell
from millpond.local.service import AwsError, unsupported

PLAIN = {"string": "string", "integer": "bigint", "number": "double", "boolean": "boolean"}


def columns_of(kind: str, definition: str) -> list[dict[str, str]]:
    """Columns with Name, Type and (where the schema explains one) Comment. InvalidInputException."""
    if kind == "PROTOBUF":
        raise unsupported("glue", "CreateTable", use="SchemaReference: a Protobuf schema has no columns here.")
    try:
        schema = json.loads(definition)
        fields = _of_record(schema) if kind == "AVRO" else _of_object(schema)
    except RecursionError:
        fields = []
    if not fields:
        raise AwsError("InvalidInputException", "The referenced schema has no fields that could be columns.")
    return [
        {"Name": name, "Type": spell(hive), **({"Comment": told[:255]} if told else {})} for name, hive, told in fields
    ]


def _of_record(schema: Any) -> list[tuple[str, Type, str]]:
    if not isinstance(schema, dict) or schema.get("type") != "record":
        return []
    return [(one["name"], of_avro(one["type"]), str(one.get("doc") or "")) for one in schema["fields"]]


def _of_object(schema: Any) -> list[tuple[str, Type, str]]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return []
    return [(name, _of_json(one), _description(one)) for name, one in properties.items() if name]


def _description(schema: Any) -> str:
    return str(schema.get("description") or "") if isinstance(schema, dict) else ""


def _of_json(schema: Any) -> Type:
    kind = schema.get("type") if isinstance(schema, dict) else None
    if isinstance(kind, list):  # a type, or null
        real = [one for one in kind if one != "null"]
        kind = real[0] if len(real) == 1 else None
    if kind == "array":
        return Array(_of_json(schema.get("items")))
    if kind == "object":
        fields = _of_object(schema)
        if fields:
            return Struct(tuple((name, hive) for name, hive, _ in fields))
        return Map("string", _of_json(schema.get("additionalProperties")))
    return PLAIN.get(kind, "string") if isinstance(kind, str) else "string"
