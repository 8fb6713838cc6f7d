"""CSV in and out, as AWS documents its format options ("Using the CSV format in AWS Glue").

All columns are strings: `col0`, `col1`... without a header; a header names the columns of its own file. Quotes are
doubled inside quotes, unless there is an `escaper`, which Spark's reader does not know outside of quotes: such files
are read by the parser here, as those with a header and `skipFirst` are. `quoteChar` -1 means that nothing is a quote,
read or written.

A row longer than the first one loses what is beyond, of which the job's error log tells; a shorter one has nulls (as
Spark reads them).

Limits: an empty field is null. `optimizePerformance` and `strictCheckForQuoting` change nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from pyspark.sql import DataFrame
from pyspark.sql import functions as f
from pyspark.sql import types as t

from awsglue._documents import Source, documents
from awsglue._run import warn

ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}
CHECKED = 1 << 28  # bytes that are looked at for rows that are too long
NEVER = "\x01"  # a separator that a line which is one value does not have


def on(given: Mapping[str, Any], *names: str, default: bool = False) -> bool:
    """Whether an option is switched on, under one of its names."""
    return any(str(given.get(name, default)).lower() in ("true", "1") for name in names)


def quote_of(given: Mapping[str, Any]) -> str:
    """The quote, or nothing."""
    said = str(given.get("quoteChar", '"'))
    return "" if said == "-1" else said


def by_header(source: Source) -> list[Source]:
    """The files, those with the same first line together: a header says what the columns of its own file are."""
    if len(source.paths) < 2 or source.paths[0].startswith("file:"):  # the latter: folders of unpacked files
        return [source]
    spark = source.reader()._spark
    jvm: Any = spark._jvm
    paths = sorted(source.paths)
    lines = jvm.millpond.spark.Driver.firstLines("\n".join(paths), spark._jsc.hadoopConfiguration())
    groups: dict[str, list[str]] = {}
    for path, line in zip(paths, lines.split("\n"), strict=True):
        groups.setdefault(line.removeprefix("\ufeff"), []).append(path)
    empty = groups.pop("", [])
    if not groups:
        return [source]
    next(iter(groups.values())).extend(empty)
    return [replace(source, paths=same) for same in groups.values()]


def read(source: Source, given: Mapping[str, Any]) -> DataFrame:
    """A frame of CSV files."""
    escape = str(given.get("escaper") or "")
    escape = "" if escape.lower() == "none" else escape
    header, skip = on(given, "withHeader"), on(given, "skipFirst")
    if escape or (header and skip):
        separator, quote = str(given.get("separator", ",")), quote_of(given)
        texts = source.texts()
        if header:
            tell_long_rows(texts, 0, separator, quote, escape=escape, multiline=True)
        return documents(texts, lambda text: _records(text, separator, quote, escape, header, skip))
    quote = quote_of(given)
    options = {
        "sep": str(given.get("separator", ",")),
        "multiLine": str(on(given, "multiline", "multiLine")).lower(),
        "quote": quote,
        "escape": quote,
    }
    frame = source.reader().format("csv").options(header=str(header).lower(), **options).load(source.paths)
    columns = 0 if header else sum(name.startswith("_c") for name in frame.columns)
    tell_long_rows(frame, columns, options["sep"], quote, multiline=options["multiLine"] == "true")
    if header:
        return frame
    names = [f"col{name[2:]}" if name.startswith("_c") else name for name in frame.columns]
    if not skip:
        return frame.toDF(*names)
    own = t.StructType([t.StructField(name, t.StringType()) for name in names if name not in frame.columns])
    # with a schema of our own the first line of each file is a header that nobody asks
    return source.reader().format("csv").schema(own).options(header="true", **options).load(source.paths)


def tell_long_rows(
    frame: DataFrame, columns: int, separator: str, quote: str, *, escape: str = "", multiline: bool = False
) -> None:
    """Warn of the files of a frame in which rows have more values than there are columns (0: than their first row has),
    for nothing else tells of what is lost. CHECKED bytes are looked at, and only for signs that are single bytes."""
    signs = [sign.encode() for sign in (separator, quote, escape)]
    uris = [unquote(uri) for uri in frame.inputFiles()]
    if not uris or not signs[0] or max(map(len, signs)) > 1:
        return
    numbers = [sign[0] if sign else 0 for sign in signs]
    spark = frame.sparkSession
    jvm: Any = spark._jvm
    said = jvm.millpond.spark.Driver.longRows(
        "\n".join(uris), columns, *numbers, multiline, CHECKED, spark._jsc.hadoopConfiguration()
    )
    for line in said.splitlines():
        uri, _, count = line.rpartition("\t")
        named = f"there are {columns} columns" if columns else "its header"
        warn(f"rows of {uri} have more values than {named}: what is beyond is left out ({count} rows)")


def _records(
    text: str, separator: str, quote: str, escape: str, header: bool, skip: bool
) -> Iterator[dict[str, str | None]]:
    rows = (row for row in fields(text.removeprefix("\ufeff"), separator, quote, escape) if row != [""])
    names = next(rows, []) if header else []
    if skip:
        next(rows, None)
    for row in rows:
        known = names or [f"col{n}" for n in range(len(row))]
        yield {name: value or None for name, value in zip(known, [*row, *[""] * (len(known) - len(row))], strict=False)}


def fields(text: str, separator: str, quote: str, escape: str) -> Iterator[list[str]]:
    """The rows of a CSV text. What follows `escape` is taken as it is, but for \\n, \\r, \\t and \\0."""
    row: list[str] = []
    value: list[str] = []
    at, inside = 0, False
    while at < len(text):
        sign = text[at]
        if escape and sign == escape and at + 1 < len(text):
            at += 1
            value.append(ESCAPES.get(text[at], text[at]))
        elif quote and sign == quote:
            if inside and text[at + 1 : at + 2] == quote:
                value.append(quote)
                at += 1
            else:
                inside = not inside
        elif inside:
            value.append(sign)
        elif text.startswith(separator, at):
            row.append("".join(value))
            value, at = [], at + len(separator) - 1
        elif sign in "\r\n":
            at += text.startswith("\r\n", at)
            yield [*row, "".join(value)]
            row, value = [], []
        else:
            value.append(sign)
        at += 1
    if row or value:
        yield [*row, "".join(value)]


# ---- writing


def writer(frame: DataFrame, given: Mapping[str, Any], keys: Iterable[str]) -> tuple[DataFrame, dict[str, str]]:
    """The frame to write and Spark's options for it; `keys` are the columns that become folders."""
    separator, header = str(given.get("separator", ",")), str(on(given, "writeHeader", default=True)).lower()
    quote = quote_of(given)
    if quote:
        return frame, {"sep": separator, "header": header, "quote": quote, "escape": quote, "emptyValue": ""}
    # Spark's writer has no "never": a line is one value, in a file whose separator no line has
    folders = list(keys)
    names = [name for name in frame.columns if name not in folders]
    texts = [f.coalesce(frame[f"`{name}`"].cast("string"), f.lit("")) for name in names]
    line = f.concat_ws(separator, *texts).alias(separator.join(names))
    options = {"sep": NEVER, "quote": "\0", "emptyValue": "", "header": header}
    options |= {"ignoreLeadingWhiteSpace": "false", "ignoreTrailingWhiteSpace": "false"}
    return frame.select(line, *(frame[f"`{name}`"] for name in folders)), options
