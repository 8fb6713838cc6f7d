"""Formats whose records bring their own types: XML, Avro, grok logs and JSON with a path, as frames with choices.

All records are looked at once to find their types (Avro says them); a field with values of several types is a choice,
as in AWS's readers. A file that cannot be parsed is an error that names it, in AWS's words ("Unable to parse file").

Limits: a document (a file of XML or Avro, of JSON with `multiline` or `jsonPath`) is parsed in one piece, in memory.
Numbers in XML are typed as they are written. `jsonPath` knows names, indices and `[*]`.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError, iterparse

from pyspark.sql import DataFrame, DataFrameReader
from pyspark.sql import functions as f
from pyspark.sql import types as t

from awsglue import _avro, _choices, _grok

SHOWN = 80  # characters of a line in an error
Parse = Callable[[Any], Iterable[dict[str, Any]]]


class ParseFailed(ValueError):
    """A file that is not what the format says."""


# ---- types of records


class Shape:
    """What values a field was seen with."""

    __slots__ = ("fields", "item", "kinds", "whole")

    def __init__(self) -> None:
        self.kinds: set[type] = set()
        self.fields: dict[str, Shape] = {}
        self.item: Shape | None = None
        self.whole = 0  # the largest whole number

    def look(self, value: Any) -> None:
        kind = type(value)
        if kind is dict:
            for name, one in value.items():
                found = self.fields.get(name)
                if found is None:
                    found = self.fields[name] = Shape()
                if one is not None:
                    found.look(one)
        elif kind is list:
            self.item = self.item or Shape()
            for one in value:
                if one is not None:
                    self.item.look(one)
        elif kind is int:
            self.whole = max(self.whole, value if value >= 0 else ~value)
        self.kinds.add(kind)

    def type(self) -> t.DataType:
        """The Spark type; a field without a value is a string, one whose structs are empty none."""
        found: list[t.DataType] = []
        for kind in sorted(self.kinds, key=lambda one: one.__name__):
            if kind is dict:
                fields = ((name, one.type()) for name, one in self.fields.items())
                kept = [t.StructField(name, one) for name, one in fields if not _empty(one)]
                found.append(t.StructType(kept))
            elif kind is list:
                item = self.item.type() if self.item else t.StringType()
                found.append(t.ArrayType(t.StringType() if _empty(item) else item))
            elif kind is int:
                found.append(_whole(self.whole))
            else:
                found.append(_choices.infer(SAMPLES[kind]) if kind in SAMPLES else _choices.infer(kind()))
        made = _choices.together(found)
        return t.StringType() if isinstance(made, t.NullType) else made


SAMPLES: dict[type, Any] = {bool: True, float: 0.5, str: "", bytes: b""}


def _whole(largest: int) -> t.DataType:
    if largest < _choices.INT_MAX:
        return t.IntegerType()
    return t.LongType() if largest < _choices.LONG_MAX else t.DecimalType(38, 0)


def _empty(kind: t.DataType) -> bool:
    return isinstance(kind, t.StructType) and not kind.fields


# ---- reading


@dataclass(frozen=True)
class Source:
    """Where the records are: `reader` has the options of partitions, `paths` are files or folders. `attached` are more
    columns, as SQL that may use Spark's `_metadata`."""

    reader: Callable[[], DataFrameReader]
    paths: list[str]
    attached: Mapping[str, str] = field(default_factory=dict)

    def attach(self, frame: DataFrame) -> DataFrame:
        """A frame that was just loaded, with what is attached."""
        more = (f.expr(expression).alias(name) for name, expression in self.attached.items())
        return frame.select(*(frame[_choices.tick(name)] for name in frame.columns), *more) if self.attached else frame

    def lines(self) -> DataFrame:
        """A row a line, `value`."""
        return self.attach(self.reader().format("text").load(self.paths))

    def texts(self) -> DataFrame:
        """A row a file, `value`."""
        return self.attach(self.reader().format("text").option("wholetext", "true").load(self.paths))

    def contents(self) -> DataFrame:
        """A row a file, `value` in bytes."""
        found = self.attach(self.reader().format("binaryFile").load(self.paths))
        return found.withColumnRenamed("content", "value").drop("path", "modificationTime", "length")


def read(source: Source, kind: str, given: Mapping[str, Any]) -> DataFrame:
    """A frame of `json`, `xml`, `avro` or `grokLog`. ParseFailed, ValueError for options."""
    if kind == "avro":
        contents = source.contents()
        return _parsed(contents, _kinds(contents, lambda part: _declared(part)), _avro.records)
    if kind == "xml":
        return documents(source.contents(), Xml(given).rows)
    if kind == "groklog":
        return documents(source.lines(), _grok_log(given))
    path = _json_path(str(given["jsonPath"]))
    return documents(source.texts(), lambda text: _json_documents(text, path))


def broken(source: Source) -> str:
    """The first of the files that cannot be read to its end."""
    frame = source.reader().format("binaryFile").load(source.paths)
    for uri in sorted(row.path for row in frame.select("path").collect()):
        try:
            frame.sparkSession.read.format("text").load(uri).write.format("noop").mode("overwrite").save()
        except Exception:
            return unquote(uri)
    return ", ".join(source.paths)


def documents(frame: DataFrame, parse: Parse) -> DataFrame:
    return _parsed(frame, _schema(frame, parse), parse)


def _schema(frame: DataFrame, parse: Parse) -> t.StructType:
    """The type of all records, partition columns left out. ParseFailed for the first value that has none."""

    def looked(part: Iterable[Any]) -> Iterator[Any]:
        shape, name = Shape(), ""
        for value, name in part:
            try:
                for one in parse(value):
                    shape.look(one)
            except (ValueError, TypeError, KeyError, IndexError, RecursionError, ParseError) as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                line = f", in: {value[:SHOWN]}" if isinstance(value, str) else ""
                yield f"Unable to parse file: {unquote(name)}: {reason}{line}"
                return
        yield shape.type()

    return _kinds(frame, looked)


def _kinds(frame: DataFrame, looked: Callable[[Iterable[Any]], Iterator[Any]]) -> t.StructType:
    """What `looked` says of the partitions of (value, file): types, or a text of what is wrong."""
    kinds = frame.select("value", f.input_file_name()).rdd.mapPartitions(looked).collect()
    if failed := next((one for one in kinds if isinstance(one, str)), None):
        raise ParseFailed(failed)
    made = _choices.together(one for one in kinds if isinstance(one, t.StructType))
    taken = {name.lower() for name in frame.columns if name != "value"}
    fields = made.fields if isinstance(made, t.StructType) else []
    return t.StructType([one for one in fields if one.name.lower() not in taken])


def _declared(part: Iterable[Any]) -> Iterator[Any]:
    """The types of Avro files, which say them."""
    for value, name in part:
        try:
            kind = avro_type(_avro.declared(bytes(value)), {})
            for _ in _avro.records(bytes(value)):
                pass  # a file that is cut off is found here, where it can be named
        except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
            yield f"Unable to parse file: {unquote(name)}: {' '.join(str(error).split()) or type(error).__name__}"
            return
        yield kind if isinstance(kind, t.StructType) else t.StructType([t.StructField("value", kind)])


def avro_type(schema: Any, names: dict[str, Any]) -> t.DataType:
    """The Spark type of an Avro schema; a union of several types is a choice. ValueError for a recursive one."""
    if isinstance(schema, list):
        return _choices.together(avro_type(one, names) for one in schema if one != "null")
    kind = schema["type"] if isinstance(schema, dict) else schema
    if isinstance(kind, (dict, list)):
        return avro_type(kind, names)
    if isinstance(schema, dict) and (logical := _logical_type(schema)):
        return logical
    if kind == "record":
        names[schema["name"]] = None  # not done yet
        fields = [t.StructField(one["name"], avro_type(one["type"], names)) for one in schema["fields"]]
        names[schema["name"]] = names[schema["name"].rpartition(".")[2]] = t.StructType(fields)
        return t.StructType(fields)
    if kind in ("enum", "fixed"):
        names[schema["name"]] = t.StringType() if kind == "enum" else t.BinaryType()
        return names[schema["name"]]
    if kind == "array":
        return t.ArrayType(avro_type(schema["items"], names))
    if kind == "map":
        return t.MapType(t.StringType(), avro_type(schema["values"], names))
    if kind in AVRO_TYPES:
        return AVRO_TYPES[kind]
    if names.get(kind) is None:
        raise ValueError(f"the type {kind} holds itself, or is not defined")
    return names[kind]


AVRO_TYPES: Mapping[str, t.DataType] = {
    **{"null": t.StringType(), "boolean": t.BooleanType(), "int": t.IntegerType(), "long": t.LongType()},
    **{"float": t.FloatType(), "double": t.DoubleType(), "bytes": t.BinaryType(), "string": t.StringType()},
}


def _logical_type(schema: Mapping[str, Any]) -> t.DataType | None:
    match schema.get("logicalType"):
        case "decimal":
            return t.DecimalType(min(38, schema["precision"]), schema.get("scale", 0))
        case "date":
            return t.DateType()
        case "timestamp-millis" | "timestamp-micros":
            return t.TimestampType()
    return None


def _parsed(frame: DataFrame, schema: t.StructType, parse: Parse) -> DataFrame:
    if not schema.fields:
        return frame.sparkSession.createDataFrame([], t.StructType([]))

    def records(value: Any) -> Any:
        return [_choices.encode(one, schema) for one in parse(value)]

    made = f.explode(f.udf(records, t.ArrayType(schema))(frame["value"])).alias("record")
    rest = [frame[_choices.tick(name)] for name in frame.columns if name != "value"]
    inside = frame.select(made, *rest)
    fields = [inside["record"].getField(one.name).alias(one.name) for one in schema.fields]
    return inside.select(*fields, *(inside[_choices.tick(name)] for name in frame.columns if name != "value"))


# ---- JSON


def _objects(value: Any) -> list[dict[str, Any]]:
    found = value if isinstance(value, list) else [value]
    if wrong := next((one for one in found if not isinstance(one, dict)), None):
        raise ValueError(f"a record is an object, not {json.dumps(wrong)[:SHOWN]}")
    return [one for one in found if one is not None]


def _json_documents(text: str, path: list[Any]) -> Iterator[dict[str, Any]]:
    decoder, at = json.JSONDecoder(), 0
    text = text.removeprefix("\ufeff")
    while at < len(text):
        if text[at] in " \t\r\n,":
            at += 1
            continue
        value, at = decoder.raw_decode(text, at)
        for found in _followed([value], path):
            yield from _objects(found)


STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\['([^']*)'\]|\[\"([^\"]*)\"\]|\[(\d+)\]|(\[\*\]|\.\*)")


def _json_path(text: str) -> list[Any]:
    """The steps of a path: names, indices, None for `[*]`. NotImplementedError for more than that."""
    steps: list[Any] = []
    at = 1
    while at < len(text):
        match = STEP.match(text, at)
        if match is None or not text.startswith("$"):
            raise NotImplementedError(f"format_options jsonPath {text!r}: only names, indices and [*] are carried")
        dotted, single, double, index, every = match.groups()
        steps.append(None if every else int(index) if index else dotted or single or double or "")
        at = match.end()
    return steps


def _followed(values: Iterable[Any], path: list[Any]) -> Iterable[Any]:
    for step in path:
        found: list[Any] = []
        for value in values:
            if step is None:
                found += value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
            elif isinstance(step, int):
                found += value[step : step + 1] if isinstance(value, list) else []
            elif isinstance(value, dict) and step in value:
                found.append(value[step])
        values = found
    return values


# ---- XML


class Xml:
    """AWS docs, "Using the XML format in AWS Glue"."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.tag = str(given.get("rowTag") or "")
        if not self.tag:
            raise ValueError("format_options lack rowTag")
        self.prefix, self.value_tag = str(given.get("attributePrefix", "_")), str(given.get("valueTag", "_VALUE"))
        self.encoding = str(given.get("encoding", "UTF-8"))

        def on(name: str, default: bool) -> bool:
            return str(given.get(name, default)).lower() == "true"

        self.attributes, self.nulls = not on("excludeAttribute", False), on("treatEmptyValuesAsNulls", False)
        self.trim, self.typed = on("ignoreSurroundingSpaces", False), on("inferSchema", True)

    def rows(self, content: bytes) -> Iterator[dict[str, Any]]:
        """The records of a file."""
        for _, element in iterparse(io.StringIO(bytes(content).decode(self.encoding).removeprefix("\ufeff"))):
            if _local(element.tag) == self.tag:
                found = self.value(element)
                if found is not None:
                    yield found if isinstance(found, dict) else {self.value_tag: found}
                element.clear()

    def value(self, element: Element) -> Any:
        """An element: its text, or a struct of its attributes and children; a child that repeats is an array."""
        made: dict[str, Any] = {}
        for name, text in element.attrib.items() if self.attributes else ():
            made[self.prefix + _local(name)] = self.text(text)
        children: dict[str, list[Any]] = {}
        for child in element:
            children.setdefault(_local(child.tag), []).append(self.value(child))
        made |= {name: found if len(found) > 1 else found[0] for name, found in children.items()}
        if not made:
            return self.text(element.text)
        if not children and (element.text or "").strip():
            made[self.value_tag] = self.text(element.text)
        return made

    def text(self, text: str | None) -> Any:
        """A number or a boolean where the text is one."""
        said = text or ""
        if not said.strip():
            return None if self.nulls or not said else said.strip() if self.trim else said
        found = _scalar(said.strip()) if self.typed else said
        return (said.strip() if self.trim else said) if isinstance(found, str) else found


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


INTEGER, NUMBER = re.compile(r"[+-]?\d{1,18}"), re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")


def _scalar(text: str) -> Any:
    if INTEGER.fullmatch(text):
        return int(text)
    if NUMBER.fullmatch(text):
        return float(text)
    return text == "true" if text in ("true", "false") else text


# ---- grok


NUMBERS: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("tinyint", "smallint", "int", "bigint"), int),
    **dict.fromkeys(("double", "float"), float),
    "boolean": lambda text: text.lower() == "true",
}


def _grok_log(given: Mapping[str, Any]) -> Parse:
    """AWS docs, format="grokLog": a line that the pattern does not fit is left out."""
    if not given.get("logFormat"):
        raise ValueError("format_options lack logFormat")
    if str(given.get("LineCount", "1")) != "1":
        raise NotImplementedError("format_options LineCount: only single-line records are carried")
    expression, fields = _grok.expanded(str(given["logFormat"]), str(given.get("customPatterns", "")))
    missing, strict = str(given.get("MISSING", "-")), str(given.get("StrictMode", "")).lower() == "true"

    def one(kind: str, text: str | None) -> Any:
        if text is None or text == missing:
            return None
        try:
            return NUMBERS.get(kind, str)(text)
        except ValueError:
            return None if strict else text

    def parse(line: str) -> Iterable[dict[str, Any]]:
        found = expression.search(line)
        if found is None:
            return []
        texts = (found[group] for group in sorted(expression.groupindex, key=expression.groupindex.__getitem__))
        return [{name: one(kind, text) for (name, kind), text in zip(fields, texts, strict=True)}]

    return parse
