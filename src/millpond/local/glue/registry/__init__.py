"""The formats of the schema registry: what a definition must be, and which of two reads the other's data.

`definition(format, text)` parses one, and raises `SchemaError` where it is none; `reads(format, reader, writer)` says
whether a consumer that has one can read what a producer writes with the other.

Limits: of Protobuf only the syntax is known: `reads` raises `Unknown`, as it does for JSON Schemas that differ in
keywords which cannot be compared. May import: nothing of ours.
"""

from __future__ import annotations

import json
from typing import Any


class SchemaError(ValueError):
    """The definition is not valid; the message says why."""


class Unknown(Exception):
    """Nobody here can tell whether one reads the other; the message says because of what."""


def definition(kind: str, text: str) -> Any:
    """A definition, parsed. `kind`: AVRO, JSON or PROTOBUF. Raises SchemaError."""
    from millpond.local.glue.registry import avro, json_schema, protobuf

    if kind == "PROTOBUF":
        return protobuf.parse(text)
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise SchemaError("it is not a JSON document") from None
    return avro.parse(document) if kind == "AVRO" else json_schema.parse(document)


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def canonical(kind: str, text: str) -> str:
    """The text by which two definitions are the same: space and the order of members do not count."""
    if kind == "PROTOBUF":
        return " ".join(text.split())
    return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


def reads(kind: str, reader: str, writer: str) -> bool:
    """Whether data written with `writer` can be read with `reader`. Raises Unknown."""
    from millpond.local.glue.registry import avro, json_schema

    if canonical(kind, reader) == canonical(kind, writer):
        return True
    if kind == "PROTOBUF":
        raise Unknown("Protobuf definitions are not compared")
    wide, narrow = definition(kind, reader), definition(kind, writer)
    return avro.reads(wide, narrow) if kind == "AVRO" else json_schema.accepts(wide, narrow)
