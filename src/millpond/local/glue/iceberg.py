"""CreateTable with an IcebergInput: an empty Iceberg table, its first metadata file written into S3.

What AWS does for `OpenTableFormatInput={"IcebergInput": {"MetadataOperation": "CREATE", "Version": "2"}}`: the schema
comes from the columns of the TableInput, or as Iceberg has it from a CreateIcebergTableInput; the catalog's table says
`table_type=ICEBERG` and `metadata_location`. Any Iceberg client finds a table there that it can write to.

Format: the Iceberg Table Spec, "Table Metadata Fields", versions 1 and 2. Limits: nothing changes the metadata later;
that is the clients' work (UpdateTable's IcebergInput is refused).
"""

from __future__ import annotations

import itertools
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from millpond.local.service import AwsError, Endpoint

RESERVED = ("table_type", "metadata_location")
# Hive's plain types as Iceberg has them, and back (Iceberg's documentation, "Hive", "Type compatibility").
PLAIN = {
    **{name: name for name in ("boolean", "int", "float", "double", "date", "timestamp", "string", "binary")},
    **{"integer": "int", "tinyint": "int", "smallint": "int", "bigint": "long", "long": "long"},
    **{"timestamptz": "timestamptz", "uuid": "uuid", "time": "time"},
}
TO_HIVE = {"long": "bigint", "time": "string", "uuid": "string", "timestamptz": "timestamp", "fixed": "binary"}
TRANSFORM = re.compile(r"identity|void|year|month|day|hour|bucket\[[1-9][0-9]*\]|truncate\[[1-9][0-9]*\]")
FIRST_PARTITION_FIELD = 1000  # ids of partition fields begin there
DEEPEST = 30


def make(endpoint: Endpoint, given: dict[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Write an Iceberg table's first metadata; the TableInput that names them. InvalidInputException."""
    version = asked.get("Version") or "2"
    if version not in ("1", "2"):
        raise AwsError("InvalidInputException", f"Iceberg table version {version} is not supported.")
    if any(name in RESERVED for name in given.get("Parameters") or {}):
        text = "Cannot use reserved parameters table_type or metadata_location while creating an iceberg table"
        raise AwsError("InvalidInputException", text)
    if given.get("PartitionKeys"):
        raise AwsError("InvalidInputException", "PartitionKeys cannot be given for an Iceberg table.")
    own = asked.get("CreateIcebergTableInput")
    storage = given.get("StorageDescriptor") or {}
    location = (own["Location"] if own else storage.get("Location") or "").rstrip("/")
    if re.fullmatch(r"s3://[^/]+(/.*)?", location) is None:
        raise AwsError("InvalidInputException", "An Iceberg table needs a Location in S3.")
    described = _of_iceberg(own) if own else _of_columns(storage.get("Columns") or [])
    metadata = _metadata(int(version), location, described, int(endpoint.clock.now() * 1000))
    where = f"{location}/metadata/00000-{uuid.uuid4()}.metadata.json"
    _write(endpoint, where, metadata)
    return {
        **given,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {**(given.get("Parameters") or {}), "table_type": "ICEBERG", "metadata_location": where},
        "StorageDescriptor": {**storage, "Location": location, "Columns": _glue_columns(described["schema"])},
    }


def _write(endpoint: Endpoint, where: str, metadata: dict[str, Any]) -> None:
    bucket, _, key = where.removeprefix("s3://").partition("/")
    try:
        endpoint.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(metadata).encode())
    except ClientError as error:
        why = error.response["Error"]["Message"]
        raise AwsError("InvalidInputException", f"The metadata cannot be written to {where}: {why}") from None


def _metadata(version: int, location: str, described: dict[str, Any], now_ms: int) -> dict[str, Any]:
    schema, spec, order = described["schema"], described["spec"], described["order"]
    fields = [field["field-id"] for field in spec["fields"]]
    metadata = {
        "format-version": version,
        "table-uuid": str(uuid.uuid4()),
        "location": location,
        "last-updated-ms": now_ms,
        "last-column-id": max(_ids(schema), default=0),
        "schemas": [schema],
        "current-schema-id": schema["schema-id"],
        "partition-specs": [spec],
        "default-spec-id": spec["spec-id"],
        "last-partition-id": max(fields, default=FIRST_PARTITION_FIELD - 1),
        "sort-orders": [order],
        "default-sort-order-id": order["order-id"],
        "properties": described["properties"],
        "current-snapshot-id": -1,
        "refs": {},
        "snapshots": [],
        "snapshot-log": [],
        "metadata-log": [],
    }
    if version == 1:
        return metadata | {"schema": schema, "partition-spec": spec["fields"]}
    return metadata | {"last-sequence-number": 0}


def _ids(node: Any) -> Iterator[int]:
    """All field ids of a schema, those of nested types too."""
    for name in ("id", "element-id", "key-id", "value-id"):
        if isinstance(node, dict) and isinstance(node.get(name), int):
            yield node[name]
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _ids(inner)


# -- from the catalog's columns ----------------------------------------------------------------------------------------


def _of_columns(columns: list[dict[str, Any]]) -> dict[str, Any]:
    if not columns:
        raise AwsError("InvalidInputException", "An Iceberg table needs columns.")
    # Iceberg gives the outer fields their ids first, then the nested ones.
    numbers = itertools.count(len(columns) + 1)
    fields = [
        {
            "id": number,
            "name": column["Name"],
            "required": False,
            "type": _Types(column.get("Type", ""), numbers).whole(),
        }
        | ({"doc": column["Comment"]} if column.get("Comment") else {})
        for number, column in enumerate(columns, 1)
    ]
    return {
        "schema": {"type": "struct", "schema-id": 0, "fields": fields},
        "spec": {"spec-id": 0, "fields": []},
        "order": {"order-id": 0, "fields": []},
        "properties": {"write.parquet.compression-codec": "zstd"},
    }


class _Types:
    """A Hive type read into an Iceberg one, its nested fields numbered."""

    def __init__(self, text: str, numbers: Iterator[int]) -> None:
        self.text, self.numbers = text, numbers
        self.tokens = re.findall(r"[\w$-]+|[<>():,]|\S", text.lower())
        self.depth = 0

    def whole(self) -> Any:
        found = self.kind()
        if self.tokens:
            raise self.wrong()
        return found

    def wrong(self) -> AwsError:
        return AwsError("InvalidInputException", f"The type '{self.text[:200]}' cannot be a type of an Iceberg table.")

    def take(self, *wanted: str) -> str:
        if not self.tokens or (wanted and self.tokens[0] not in wanted):
            raise self.wrong()
        taken: str = self.tokens.pop(0)
        return taken

    def kind(self) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.wrong()
        try:
            name = self.take()
            match name:
                case "decimal":
                    return self.decimal()
                case "char" | "varchar":
                    self.take("(")
                    self.number()
                    self.take(")")
                    return "string"
                case "array" | "map" | "struct":
                    return self.nested(name)
        finally:
            self.depth -= 1
        if (plain := PLAIN.get(name)) is None:
            raise self.wrong()
        return plain

    def number(self) -> int:
        text = self.take()
        if not (text.isascii() and text.isdigit() and len(text) < 9):
            raise self.wrong()
        return int(text)

    def decimal(self) -> str:
        precision, scale = 10, 0
        if self.tokens[:1] == ["("]:
            self.take("(")
            precision = self.number()
            if self.take(",", ")") == ",":
                scale = self.number()
                self.take(")")
        if not 0 < precision <= 38 or scale > precision:
            raise self.wrong()
        return f"decimal({precision}, {scale})"

    def nested(self, name: str) -> dict[str, Any]:
        self.take("<")
        match name:
            case "array":
                number = next(self.numbers)
                found = {"type": "list", "element-id": number, "element": self.kind(), "element-required": False}
            case "map":
                numbers = {"key-id": next(self.numbers), "value-id": next(self.numbers)}
                key = self.kind()
                self.take(",")
                found = {"type": "map", **numbers, "key": key, "value": self.kind(), "value-required": False}
            case _:
                found = {"type": "struct", "fields": self.fields()}
        self.take(">")
        return found

    def fields(self) -> list[dict[str, Any]]:
        found = []
        while True:
            name = self.take()
            self.take(":")
            found.append({"id": next(self.numbers), "name": name, "required": False, "type": self.kind()})
            if self.tokens[:1] != [","]:
                return found
            self.take(",")


# -- from Iceberg's own description ------------------------------------------------------------------------------------


def _of_iceberg(own: Mapping[str, Any]) -> dict[str, Any]:
    given = own["Schema"]
    fields = [_field(field) for field in given["Fields"]]
    schema = {"type": "struct", "schema-id": given.get("SchemaId", 0), "fields": fields}
    known = {field["id"] for field in fields}
    if len(known) != len(fields) or not fields:
        raise AwsError("InvalidInputException", "The fields of an Iceberg schema need ids, each its own.")
    if identifiers := given.get("IdentifierFieldIds"):
        _known(identifiers, known)
        schema["identifier-field-ids"] = identifiers
    return {
        "schema": schema,
        "spec": _spec(own.get("PartitionSpec") or {"Fields": []}, set(_ids(schema))),
        "order": _order(own.get("WriteOrder") or {"OrderId": 0, "Fields": []}, set(_ids(schema))),
        "properties": dict(own.get("Properties") or {}),
    }


def _field(given: Mapping[str, Any]) -> dict[str, Any]:
    field = {"id": given["Id"], "name": given["Name"], "required": bool(given.get("Required")), "type": given["Type"]}
    kind = given["Type"]
    if isinstance(kind, dict) and set(kind) == {"type"} and isinstance(kind["type"], str):
        kind = field["type"] = kind["type"]  # a document member holds a plain type in an object or by itself
    if not isinstance(kind, str | dict):
        raise AwsError("InvalidInputException", f"The type of the field {given['Name']} is not one of Iceberg's.")
    field["type"] = _iceberg_type(kind)
    return field | ({"doc": given["Doc"]} if given.get("Doc") else {})


def _iceberg_type(kind: Any, depth: int = 0) -> Any:
    """A type in Iceberg's own spelling, checked; nested types keep their ids."""
    if depth > DEEPEST:
        raise AwsError("InvalidInputException", "A type of the Iceberg schema is nested too deeply.")
    if isinstance(kind, str):
        plain = kind in {*PLAIN.values(), "uuid", "time"} or re.fullmatch(r"(fixed\[\d+\]|decimal\(\d+, ?\d+\))", kind)
        if not plain:
            raise AwsError("InvalidInputException", f"'{kind[:200]}' is not a type of Iceberg.")
        return kind
    try:
        match kind["type"]:
            case "list":
                return {**kind, "element": _iceberg_type(kind["element"], depth + 1)}
            case "map":
                inner = {name: _iceberg_type(kind[name], depth + 1) for name in ("key", "value")}
                return {**kind, **inner}
            case "struct":
                fields = [{**one, "type": _iceberg_type(one["type"], depth + 1)} for one in kind["fields"]]
                return {**kind, "fields": fields}
    except (KeyError, TypeError):
        pass
    raise AwsError("InvalidInputException", "A nested type of the Iceberg schema is not whole.")


def _known(wanted: list[int], known: set[int]) -> None:
    if strange := sorted(set(wanted) - known):
        raise AwsError("InvalidInputException", f"The Iceberg schema has no field with the id {strange[0]}.")


def _transform(text: str) -> str:
    if TRANSFORM.fullmatch(text) is None:
        raise AwsError("InvalidInputException", f"'{text[:200]}' is not a transform of Iceberg.")
    return text


def _spec(given: Mapping[str, Any], known: set[int]) -> dict[str, Any]:
    _known([field["SourceId"] for field in given["Fields"]], known)
    fields = [
        {
            "source-id": field["SourceId"],
            "field-id": field.get("FieldId", FIRST_PARTITION_FIELD + number),
            "name": field["Name"],
            "transform": _transform(field["Transform"]),
        }
        for number, field in enumerate(given["Fields"])
    ]
    return {"spec-id": given.get("SpecId", 0), "fields": fields}


def _order(given: Mapping[str, Any], known: set[int]) -> dict[str, Any]:
    _known([field["SourceId"] for field in given["Fields"]], known)
    fields = [
        {
            "transform": _transform(field["Transform"]),
            "source-id": field["SourceId"],
            "direction": field["Direction"],
            "null-order": field["NullOrder"],
        }
        for field in given["Fields"]
    ]
    # Order 0 is the one without fields (Iceberg Table Spec, "Sorting").
    return {"order-id": given["OrderId"] or (1 if fields else 0), "fields": fields}


# -- back to the catalog -----------------------------------------------------------------------------------------------


def _glue_columns(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The columns that Iceberg's own catalog client would write."""
    return [
        {"Name": field["name"], "Type": _hive(field["type"])}
        | ({"Comment": field["doc"]} if field.get("doc") else {})
        | {
            "Parameters": {
                "iceberg.field.current": "true",
                "iceberg.field.id": str(field["id"]),
                "iceberg.field.optional": str(not field["required"]).lower(),
            }
        }
        for field in schema["fields"]
    ]


def _hive(kind: Any) -> str:
    if isinstance(kind, str):
        return TO_HIVE.get(kind.split("[")[0], kind.replace(" ", ""))
    match kind["type"]:
        case "list":
            return f"array<{_hive(kind['element'])}>"
        case "map":
            return f"map<{_hive(kind['key'])},{_hive(kind['value'])}>"
    return f"struct<{','.join(one['name'] + ':' + _hive(one['type']) for one in kind['fields'])}>"
