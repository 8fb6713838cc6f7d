"""Avro object container files (Apache Avro 1.11, "Specification"): their records and the type that their schema says.

Read: all types; codecs null, deflate, bzip2, xz, snappy, zstandard. Logical types as Glue's reader 1.8 has them (AWS
docs, "Using the Avro format in AWS Glue"): decimal, date, timestamp-millis (micros, too: as AWS writes them). Written:
what Spark types have in Avro, as null, deflate, snappy or bzip2.

Limits: no schema resolution between files: a record has its own file's fields.
"""

from __future__ import annotations

import bz2
import datetime
import decimal
import io
import json
import lzma
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

MAGIC = b"Obj\x01"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
BLOCK = 1 << 18  # bytes of a written block before compression
Reader = Callable[[io.BytesIO], Any]


class AvroError(ValueError):
    """The file is not Avro, is cut off, or has a codec that is not known."""


# ---- reading


def records(content: bytes) -> Iterator[dict[str, Any]]:
    """The records of a file. AvroError."""
    file = io.BytesIO(content)
    schema, codec, sync = _header(file)
    names: dict[str, Any] = {}
    read = _reader(schema, names)
    record = schema["type"] == "record" if isinstance(schema, dict) else False
    while file.tell() < len(content):
        count = _long(file)
        block = io.BytesIO(_unpacked(codec, _exactly(file, _long(file))))
        for _ in range(count):
            value = read(block)
            yield value if record else {"value": value}
        if _exactly(file, 16) != sync:
            raise AvroError("the file is damaged: a block does not end with the sync marker")


def _header(file: io.BytesIO) -> tuple[Any, str, bytes]:
    if file.read(4) != MAGIC:
        raise AvroError("the file is not an Avro object container file")
    meta: dict[str, bytes] = {}
    while count := _long(file):
        if count < 0:
            _long(file)
        for _ in range(abs(count)):
            key = _exactly(file, _long(file)).decode()
            meta[key] = _exactly(file, _long(file))
    return json.loads(meta["avro.schema"]), meta.get("avro.codec", b"null").decode(), _exactly(file, 16)


def _exactly(file: io.BytesIO, size: int) -> bytes:
    found = file.read(size) if size >= 0 else b""
    if len(found) != size:
        raise AvroError("the file ends in the middle")
    return found


def _long(file: io.BytesIO) -> int:
    shift = value = 0
    while True:
        (byte,) = _exactly(file, 1)
        value |= (byte & 127) << shift
        if byte < 128:
            return (value >> 1) ^ -(value & 1)
        shift += 7


def _unpacked(codec: str, block: bytes) -> bytes:
    try:
        match codec:
            case "null":
                return block
            case "deflate":
                return zlib.decompress(block, -15)
            case "bzip2":
                return bz2.decompress(block)
            case "xz":
                return lzma.decompress(block)
            case "snappy":
                return _snappy(block[:-4])
            case "zstandard":
                return _zstandard(block)
    except (zlib.error, OSError, lzma.LZMAError, EOFError, IndexError) as error:
        raise AvroError(f"the file is damaged: {error}") from None
    raise AvroError(f"the codec {codec} is not known")


def _snappy(block: bytes) -> bytes:
    import pyarrow as pa

    size = shift = at = 0
    while True:
        size |= (block[at] & 127) << shift
        if block[at] < 128:
            break
        shift, at = shift + 7, at + 1
    return bytes(pa.Codec("snappy").decompress(block, size, asbytes=True))


def _zstandard(block: bytes) -> bytes:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.BufferReader(block), "zstd") as stream:
        return bytes(stream.read())


def _reader(schema: Any, names: dict[str, Any]) -> Reader:
    """What reads one value of a schema."""
    if isinstance(schema, list):
        branches = [_reader(one, names) for one in schema]
        return lambda file: branches[_long(file)](file)
    kind = schema["type"] if isinstance(schema, dict) else schema
    if isinstance(kind, (dict, list)):
        return _reader(kind, names)
    if kind in PRIMITIVES:
        return _logical(schema, PRIMITIVES[kind]) if isinstance(schema, dict) else PRIMITIVES[kind]
    if kind in ("record", "error", "enum", "fixed"):
        return _named(schema, kind, names)
    if kind == "array":
        item = _reader(schema["items"], names)
        return lambda file: list(_blocks(file, item))
    if kind == "map":
        value = _reader(schema["values"], names)
        return lambda file: dict(_blocks(file, lambda at: (_text(at), value(at))))
    known = names.get(kind) or names.get(kind.rpartition(".")[2])
    if known is None:
        raise AvroError(f"the schema names the type {kind}, which it does not define")
    return lambda file: known[0](file)


def _named(schema: dict[str, Any], kind: str, names: dict[str, Any]) -> Reader:
    place: list[Reader] = []  # a record may hold itself
    names[schema["name"]] = names[schema["name"].rpartition(".")[2]] = place
    made: Reader
    if kind == "fixed":
        made = _logical(schema, lambda file: _exactly(file, schema["size"]))
    elif kind == "enum":
        made = lambda file: schema["symbols"][_long(file)]  # noqa: E731
    else:
        fields = [(one["name"], _reader(one["type"], names)) for one in schema["fields"]]
        made = lambda file: {name: read(file) for name, read in fields}  # noqa: E731
    place.append(made)
    return made


def _blocks(file: io.BytesIO, item: Reader) -> Iterator[Any]:
    while count := _long(file):
        if count < 0:
            _long(file)
        for _ in range(abs(count)):
            yield item(file)


def _text(file: io.BytesIO) -> str:
    return _exactly(file, _long(file)).decode("utf-8", "replace")


PRIMITIVES: dict[str, Reader] = {
    "null": lambda file: None,
    "boolean": lambda file: _exactly(file, 1) != b"\0",
    "int": _long,
    "long": _long,
    "float": lambda file: struct.unpack("<f", _exactly(file, 4))[0],
    "double": lambda file: struct.unpack("<d", _exactly(file, 8))[0],
    "bytes": lambda file: _exactly(file, _long(file)),
    "string": _text,
}


def _logical(schema: dict[str, Any], read: Reader) -> Reader:
    match schema.get("logicalType"):
        case "decimal":
            scale = schema.get("scale", 0)
            return lambda file: decimal.Decimal(int.from_bytes(read(file), "big", signed=True)).scaleb(-scale)
        case "date":
            return lambda file: (EPOCH + datetime.timedelta(days=read(file))).date()
        case "timestamp-millis":
            return lambda file: EPOCH + datetime.timedelta(milliseconds=read(file))
        case "timestamp-micros":
            return lambda file: EPOCH + datetime.timedelta(microseconds=read(file))
    return read


def declared(content: bytes) -> Any:
    """The schema of a file, as JSON. AvroError."""
    return _header(io.BytesIO(content))[0]


# ---- writing


def encoded(schema: dict[str, Any], rows: Iterable[Any], codec: str = "null") -> bytes:
    """A file of rows, which are tuples in the order of the schema's fields."""
    sync, out = os.urandom(16), io.BytesIO()
    out.write(MAGIC)
    meta = {"avro.schema": json.dumps(schema).encode(), "avro.codec": codec.encode()}
    _put_long(out, len(meta))
    for key, value in meta.items():
        _put_bytes(out, key.encode())
        _put_bytes(out, value)
    _put_long(out, 0)
    out.write(sync)
    block, count = io.BytesIO(), 0
    for row in rows:
        _put(block, schema, row)
        count += 1
        if block.tell() >= BLOCK:
            _flush(out, block, count, codec, sync)
            block, count = io.BytesIO(), 0
    _flush(out, block, count, codec, sync)
    return out.getvalue()


def _flush(out: io.BytesIO, block: io.BytesIO, count: int, codec: str, sync: bytes) -> None:
    if not count:
        return
    data = block.getvalue()
    if codec == "deflate":
        packer = zlib.compressobj(wbits=-15)
        data = packer.compress(data) + packer.flush()
    elif codec == "snappy":
        import pyarrow as pa

        data = bytes(pa.Codec("snappy").compress(data, asbytes=True)) + zlib.crc32(data).to_bytes(4, "big")
    elif codec == "bzip2":
        data = bz2.compress(data)
    _put_long(out, count)
    _put_bytes(out, data)
    out.write(sync)


def _put_long(out: io.BytesIO, value: int) -> None:
    rest = ((value << 1) ^ (value >> 63)) & ((1 << 64) - 1)
    while rest > 127:
        out.write(bytes(((rest & 127) | 128,)))
        rest >>= 7
    out.write(bytes((rest,)))


def _put_bytes(out: io.BytesIO, value: bytes) -> None:
    _put_long(out, len(value))
    out.write(value)


def _put(out: io.BytesIO, schema: Any, value: Any) -> None:  # noqa: C901 a case a type, as the specification lists them
    if isinstance(schema, list):  # ours are null and one type
        _put_long(out, int(value is not None))
        if value is not None:
            _put(out, schema[1], value)
        return
    match schema["type"] if isinstance(schema, dict) else schema:
        case "boolean":
            out.write(b"\1" if value else b"\0")
        case "int" | "long":
            _put_long(out, _number(schema, value))
        case "float":
            out.write(struct.pack("<f", value))
        case "double":
            out.write(struct.pack("<d", value))
        case "string":
            _put_bytes(out, str(value).encode())
        case "bytes":
            _put_bytes(out, _raw(schema, value))
        case "array":
            _put_items(out, value, lambda one: _put(out, schema["items"], one))
        case "map":

            def put_pair(pair: tuple[str, Any]) -> None:
                _put_bytes(out, pair[0].encode())
                _put(out, schema["values"], pair[1])

            _put_items(out, value.items(), put_pair)
        case "record":
            for one, item in zip(schema["fields"], value, strict=True):
                _put(out, one["type"], item)


def _put_items(out: io.BytesIO, items: Any, put: Callable[[Any], Any]) -> None:
    listed = list(items)
    if listed:
        _put_long(out, len(listed))
        for one in listed:
            put(one)
    _put_long(out, 0)


def _put_pair(out: io.BytesIO, schema: Any, key: str, value: Any) -> None:
    _put_bytes(out, key.encode())
    _put(out, schema, value)


def _number(schema: Any, value: Any) -> int:
    if isinstance(value, datetime.datetime):
        instant = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return (instant - EPOCH) // datetime.timedelta(microseconds=1)
    if isinstance(value, datetime.date):
        return (value - EPOCH.date()).days
    return int(value)


def _raw(schema: Any, value: Any) -> bytes:
    if not isinstance(value, decimal.Decimal):
        return bytes(value)
    number = int(value.scaleb(schema["scale"]))
    return number.to_bytes((number + (number < 0)).bit_length() // 8 + 1, "big", signed=True)


def schema_of(kind: dict[str, Any], name: str = "topLevelRecord") -> dict[str, Any]:
    """The Avro schema of a Spark struct in Spark's JSON form; names that Avro refuses are an AvroError."""
    fields = []
    for one in kind["fields"]:
        if not one["name"].replace("_", "a").isalnum() or one["name"][:1].isdigit() or not one["name"].isascii():
            raise AvroError(f"the column {one['name']} has no name that Avro allows")
        fields.append({"name": one["name"], "type": ["null", _avro_type(one["type"], f"{name}.{one['name']}")]})
    return {"type": "record", "name": name.replace(".", "_"), "fields": fields}


SIMPLE: dict[str, Any] = {
    **{"string": "string", "boolean": "boolean", "integer": "int", "short": "int", "byte": "int", "long": "long"},
    **{"float": "float", "double": "double", "binary": "bytes", "void": "null"},
    "date": {"type": "int", "logicalType": "date"},
    "timestamp": {"type": "long", "logicalType": "timestamp-micros"},
    "timestamp_ntz": {"type": "long", "logicalType": "timestamp-micros"},
}


def _avro_type(kind: Any, name: str) -> Any:
    if isinstance(kind, str):
        if kind.startswith("decimal"):
            precision, scale = kind[len("decimal(") : -1].split(",")
            return {"type": "bytes", "logicalType": "decimal", "precision": int(precision), "scale": int(scale)}
        if kind not in SIMPLE:
            raise AvroError(f"a column of type {kind} cannot be written as Avro")
        return SIMPLE[kind]
    match kind["type"]:
        case "struct":
            return schema_of(kind, name)
        case "array":
            return {"type": "array", "items": ["null", _avro_type(kind["elementType"], name)]}
        case "map":
            return {"type": "map", "values": ["null", _avro_type(kind["valueType"], name)]}
    raise AvroError(f"a column of type {kind['type']} cannot be written as Avro")
