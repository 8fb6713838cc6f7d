"""Flat documents of the json protocol, read and written without a walk through botocore's model.

A request of texts alone (StartExecution, DescribeExecution and many more) that has nothing unusual about it is read
here, and an answer's texts and moments are written here: a fifth of what a quick operation costs. Whatever is unusual
is left to `protocol`, which knows what is wrong with it, and says so in AWS's words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.model import StructureShape

Decode = Callable[[str], Any]
Reader = Callable[[bytes], dict[str, Any] | None]
Writer = Callable[[Mapping[str, Any]], str]
WriteMember = Callable[[Any, Any], str]


def reader(shape: StructureShape, decode: Decode) -> Reader | None:
    """Reads a body into parameters that keep the model's constraints; it answers None where it cannot tell. `decode`
    reads JSON, or raises ValueError. None instead of a reader: not all members of the shape are texts."""
    if any(member.type_name != "string" for member in shape.members.values()):
        return None
    texts = {
        member.serialization.get("name", name): (name, *_lengths(member.metadata))
        for name, member in shape.members.items()
    }
    required = frozenset(shape.metadata.get("required", ()))

    def read(body: bytes) -> dict[str, Any] | None:
        if not body.isascii():
            return None
        try:
            document = decode(body.decode("ascii"))
        except (ValueError, RecursionError):
            return None
        if type(document) is not dict:
            return None
        params: dict[str, Any] = {}
        for key, value in document.items():
            if value is None or (text := texts.get(key)) is None:
                continue
            name, least, most = text
            if type(value) is not str or not least <= len(value) <= most or not value.isascii():
                return None
            params[name] = value
        return params if required <= params.keys() else None

    return read


def _lengths(metadata: Mapping[str, Any]) -> tuple[int, float]:
    return metadata.get("min", 0), metadata.get("max", math.inf)


def writer(shape: StructureShape, otherwise: WriteMember) -> Writer:
    """Writes a result as JSON. `otherwise` writes a member (its shape, its value) that is neither a text nor a moment
    in seconds."""
    members: dict[str, tuple[str, type | None, Any]] = {
        name: (f"{encode_basestring(member.serialization.get('name', name))}:", _kind(member), member)
        for name, member in shape.members.items()
    }

    def write(result: Mapping[str, Any]) -> str:
        parts: list[str] = []
        for name, value in result.items():
            if value is None or (found := members.get(name)) is None:
                continue
            key, kind, member = found
            if kind is str and type(value) is str:
                parts.append(key + encode_basestring(value))
            elif kind is float and type(value) is float:
                parts.append(key + repr(round(value, 3)))
            else:
                parts.append(key + otherwise(member, value))
        return f"{{{','.join(parts)}}}"

    return write


def _kind(member: Any) -> type | None:
    """The type of values that are written here."""
    if member.type_name == "string":
        return str
    in_seconds = member.serialization.get("timestampFormat", "unixtimestamp") == "unixtimestamp"
    return float if member.type_name == "timestamp" and in_seconds else None
