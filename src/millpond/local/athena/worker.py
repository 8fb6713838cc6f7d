"""The process that runs one query: reads a plan (JSON, one line on stdin), answers one line on stdout, ends.

It stands alone (the standard library, DuckDB, pyarrow for ORC) and is started before it is needed, in an empty folder
with an empty environment. What it runs was generated from a parsed query; still DuckDB is locked first: only the exact
files of the plan can be opened, nothing can be set, attached or loaded. When its stdin closes, it ends.

A plan: `tables` (views over exact files, columns and types of the catalog), `sql`, `columns` (name and type of each),
`folder` (where results go), `write` (for CTAS, INSERT, UNLOAD: files instead), `memory`, `threads`, `temp`.
"""

# ruff: noqa: E501 (templates of SQL stay on one line)

from __future__ import annotations

import datetime
import gzip
import json
import os
import re
import shutil
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, NoReturn

if __name__ == "__main__":
    sys.modules["numpy"] = None  # type: ignore[assignment]  # duckdb imports it if it can: half of its start

import duckdb

Connection = Any  # duckdb.DuckDBPyConnection
BATCH = 4096
MAP_LIMIT = 256  # files whose addresses are looked up in a map
UNION_LIMIT = 40  # more partitions than this are joined by file name instead of UNION ALL


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def lit(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def listing(texts: Iterable[str]) -> str:
    return "[" + ", ".join(map(lit, texts)) + "]"


# --- text as Trino writes it ------------------------------------------------------------------------------------------


def java_number(shortest: str) -> str:
    """The shortest digits of a float as Java's Double.toString: 1.0E7, 1.0E-4, 123.45."""
    if shortest in {"inf", "-inf", "nan"}:
        return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}[shortest]
    sign, digits, exponent = Decimal(shortest).as_tuple()
    text = "".join(map(str, digits)).rstrip("0") or "0"
    point = len(digits) + int(exponent)  # digits before the decimal point
    minus = "-" if sign else ""
    if text == "0":
        return f"{minus}0.0"
    if -3 < point <= 7:
        text = text.ljust(point, "0") if point > 0 else "0" * (1 - point) + text
        cut = max(point, 1)
        return f"{minus}{text[:cut]}.{text[cut:] or '0'}"
    return f"{minus}{text[0]}.{text[1:] or '0'}E{point - 1}"


def double_text(value: float | None) -> str | None:
    if value is None:
        return None
    return repr(value) if 1e-3 <= abs(value) < 1e7 else java_number(repr(value))


def real_text(value: float | None) -> str | None:
    """A 32-bit float: the fewest digits that read back as the same float."""
    if value is None or value != value or value in {float("inf"), float("-inf")}:
        return double_text(value)
    wanted = struct.pack("f", value)
    shortest = next(t for p in range(1, 18) if struct.pack("f", float(t := f"{value:.{p}g}")) == wanted)
    return java_number(repr(float(shortest)))


def interval_text(value: datetime.timedelta) -> str:
    micros = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    sign, millis = ("-" if micros < 0 else ""), abs(micros) // 1000
    seconds, millis = divmod(millis, 1000)
    days, seconds = divmod(seconds, 86_400)
    return f"{sign}{days} {seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{millis:03}"


def timestamp_text(value: Any) -> str:
    return value.isoformat(sep=" ", timespec="milliseconds") if isinstance(value, datetime.datetime) else str(value)


PLAIN: dict[str, Callable[[Any], Any]] = {
    "boolean": lambda v: "true" if v else "false",
    "real": real_text,
    "double": double_text,
    "decimal": lambda v: f"{v:f}" if isinstance(v, Decimal) else str(v),
    "timestamp": timestamp_text,
    "date": lambda v: v.isoformat() if isinstance(v, datetime.date) else str(v),
    "varbinary": lambda v: v.hex(" "),
    "interval day to second": interval_text,
}


def writer(of: dict[str, Any]) -> Callable[[Any], str]:
    """The function that writes a value of a type, `{"name": ..., "args": [...], "fields": [...]}`."""
    inner = [writer(a) for a in of.get("args") or ()]

    def show(one: Callable[[Any], str], value: Any) -> str:
        return "null" if value is None else one(value)

    match of["name"]:
        case "array":
            return lambda v: "[" + ", ".join(show(inner[0], x) for x in v) + "]"
        case "map":
            return lambda v: "{" + ", ".join(f"{show(inner[0], k)}={show(inner[1], x)}" for k, x in pairs(v)) + "}"
        case "row":
            names = of["fields"]
            return lambda v: "{" + ", ".join(
                f"{n}={show(w, x)}" for n, w, x in zip(names, inner, v.values() if isinstance(v, dict) else v, strict=True)
            ) + "}"  # fmt: skip
        case name:
            return PLAIN.get(name, str)


def pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    """DuckDB gives a map as a dict, or as two lists when its keys cannot be hashed."""
    if isinstance(value, dict) and set(value) == {"key", "value"} and isinstance(value.get("key"), list):
        return zip(value["key"], value["value"], strict=True)
    return value.items() if isinstance(value, dict) else value


# --- reading tables ---------------------------------------------------------------------------------------------------

FAMILIES = (
    ("text", r"VARCHAR|ENUM.*|UUID|JSON"), ("binary", r"BLOB"), ("integer", r"U?(TINYINT|SMALLINT|INTEGER|BIGINT)|HUGEINT"),
    ("double", r"DOUBLE|FLOAT"), ("decimal", r"DECIMAL.*"), ("boolean", r"BOOLEAN"), ("date", r"DATE"),
    ("timestamp", r"TIMESTAMP.*"), ("map", r"MAP\(.*"), ("row", r"STRUCT\(.*"), ("array", r".*\[\]"),
)  # fmt: skip


NESTED = {"array": "an array", "map": "a map", "row": "a struct"}
NO_NULL = "\x02\x01NULL"  # a text that no field has: what is empty is not NULL


def family(duckdb_type: str) -> str:
    # The last rows first: `STRUCT(...)[]` is an array.
    return next((name for name, shape in reversed(FAMILIES) if re.fullmatch(shape, duckdb_type)), duckdb_type)


def bad_data(said: str, duckdb_type: str) -> str:
    """An expression that fails with a text (SQL) when it is read, and only then."""
    return f"CAST(CAST(CAST('HIVE_BAD_DATA: ' || {said} || chr(1) AS INTEGER) AS VARCHAR) AS {duckdb_type})"


def reader(con: Connection, table: dict[str, Any], files: list[str], number: int) -> tuple[str, list[str]]:
    """The FROM of a group of files, and the expression of each column of the catalog over it."""
    match table["format"]:
        case "parquet":
            return parquet(con, table, files)
        case "orc":
            return orc(con, table, files, number)
        case "csv":
            return delimited(table, files)
        case "json":
            return json_lines(con, table, files)
    raise ValueError(table["format"])


def by_name(columns: list[dict[str, Any]], present: dict[str, tuple[str, str]], kind: str) -> list[str]:
    """Each column from the file's column of the same name in any case, NULL when the file has none."""
    out = []
    for column in columns:
        found = present.get(column["name"].lower())
        if found is None:
            out.append(f"CAST(NULL AS {column['duckdb']})")
            continue
        name, of = found
        have, want = family(of), family(column["duckdb"])
        if have != want and not {have, want} <= {"integer", "decimal"} and (have, want) != ("binary", "text"):
            said = f"Field {column['name']}'s type {of} in a {kind} file is incompatible with type {column['type']} defined in table schema"
            out.append(bad_data(lit(said), column["duckdb"]))
            continue
        out.append(converted(quoted(name), of, column["duckdb"]))
    return out


def converted(sql: str, of: str, to: str) -> str:
    if of.startswith("TIMESTAMP WITH") or of == "TIMESTAMPTZ":
        sql = f"timezone('UTC', {sql})"
    if of == "BLOB" and to == "VARCHAR":
        return f"decode({sql})"
    if to == "TIMESTAMP":  # Athena reads milliseconds
        return f"date_trunc('millisecond', CAST({sql} AS TIMESTAMP) + INTERVAL 500 MICROSECONDS)"
    return sql if of == to else f"CAST({sql} AS {to})"


def parquet(con: Connection, table: dict[str, Any], files: list[str]) -> tuple[str, list[str]]:
    source = f"read_parquet({listing(files)}, union_by_name={'true' if len(files) > 1 else 'false'}, filename='file name', hive_partitioning=false)"
    rows = con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    present = {r[0].lower(): (r[0], r[1]) for r in rows}
    return source, by_name(table["columns"], present, "Parquet")


def orc(con: Connection, table: dict[str, Any], files: list[str], number: int) -> tuple[str, list[str]]:
    if sys.modules.get("numpy", ...) is None:
        del sys.modules["numpy"]
    import pyarrow.dataset

    found = pyarrow.dataset.dataset(files, format="orc")
    name = f"orc_{table['view']}_{number}"
    con.register(name, found)
    rows = con.execute(f"DESCRIBE SELECT * FROM {name}").fetchall()
    present = {r[0].lower(): (r[0], r[1]) for r in rows}
    return f'(SELECT *, CAST(NULL AS VARCHAR) AS "file name" FROM {name})', by_name(table["columns"], present, "ORC")


def delimited(table: dict[str, Any], files: list[str]) -> tuple[str, list[str]]:
    """Text by position. To LazySimpleSerDe an empty text is one, to OpenCSVSerde too, even quoted; what a row does not
    have is NULL."""
    o = table["options"]
    escape = o.get("escape") or ""
    if o["serde"] == "opencsv" and not any(holds(file, escape.encode()) for file in files):
        escape = o["quote"]  # OpenCSV reads a doubled quote, too; DuckDB knows one way at a time
    columns = ", ".join(f"'x{i}': 'VARCHAR'" for i in range(max(1, len(table["columns"]))))
    source = (
        f"read_csv({listing(files)}, auto_detect=false, header=false, skip={int(o.get('skip') or 0)}, "
        f"delim={lit(o['delimiter'])}, quote={lit(o.get('quote') or '')}, escape={lit(escape)}, "
        f"nullstr={lit(o.get('null') or NO_NULL)}, "
        f"null_padding=true, strict_mode=false, max_line_size=33554432, filename='file name', hive_partitioning=false, "
        f"columns={{{columns}}})"
    )
    return source, [parsed(f"x{i}", c, o, i) for i, c in enumerate(table["columns"])]


def holds(file: str, wanted: bytes) -> bool:
    """Whether a text file, as it is or packed, has this byte."""
    unpack: Callable[..., Any] = gzip.open if file.endswith(".gz") else open
    with unpack(file, "rb") as stream:
        return any(wanted in block for block in iter(lambda: stream.read(1 << 20), b""))


SHAPES = {
    "boolean": r"(?i)true|false", "date": r"\d{4,}-\d{1,2}-\d{1,2}", "integer": r"[+-]?\d+",
    "double": r"\s*[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|NaN|Infinity)\s*",
}  # fmt: skip
# "Open CSV SerDe for processing CSV": a DATE is a number of days, a TIMESTAMP one of milliseconds since 1970
SINCE_1970 = {
    "date": (r"-?\d{1,6}", "DATE '1970-01-01' + CAST({} AS INTEGER)"),
    "timestamp": (r"-?\d{1,15}", "epoch_ms(CAST({} AS BIGINT))"),
}


def parsed(sql: str, column: dict[str, Any], options: dict[str, Any], number: int) -> str:
    """A text field as the column's type. What cannot be read is NULL to LazySimpleSerDe and with
    `use.null.for.invalid.data`; otherwise it fails."""
    to, kind = column["duckdb"], family(column["duckdb"])
    if kind == "text":
        return sql
    if kind in NESTED:
        return bad_data(
            lit(f"Field {number} of type {column['type']} in text is not supported by the local engine"), to
        )
    if kind == "binary":
        return f"from_base64({sql})"
    value = typed(sql, kind, to, options)
    if not options["strict"]:
        return value
    said = f"'Error parsing field value ''' || {sql} || ''' for field {number}: not {column['type']}'"
    return f"coalesce({value}, CASE WHEN {sql} IS NOT NULL THEN {bad_data(said, to)} END)"


def typed(sql: str, kind: str, to: str, options: dict[str, Any]) -> str:
    """A text in a type, NULL where it is no value of it."""
    if options["serde"] == "opencsv" and kind in SINCE_1970:
        digits, number = SINCE_1970[kind]
        return f"CASE WHEN regexp_full_match({sql}, {lit(digits)}) THEN {number.format(sql)} END"
    shape = SHAPES.get("double" if kind == "decimal" else kind)
    value = f"TRY_CAST({f'CASE WHEN regexp_full_match({sql}, {lit(shape)}) THEN {sql} END' if shape else sql} AS {to})"
    return f"date_trunc('millisecond', {value} + INTERVAL 500 MICROSECONDS)" if kind == "timestamp" else value


def json_lines(con: Connection, table: dict[str, Any], files: list[str]) -> tuple[str, list[str]]:
    """One object a line; names match in any case, the SerDe's `paths` tell the usual one of the files."""
    o = table["options"]
    cases = {path.lower(): path for path in o.get("paths") or ()}
    members = [json_member("json", cases.get(c["name"].lower(), c["name"]), c) for c in table["columns"]]
    named = "".join(f", {member} AS x{i}" for i, member in enumerate(members))
    source = f"(SELECT \"file name\"{named} FROM read_json_objects({listing(files)}, format='newline_delimited', filename='file name', maximum_object_size=33554432, ignore_errors={'true' if o.get('ignore') else 'false'}))"
    return source, [json_value(f"x{i}", c, o, i) for i, c in enumerate(table["columns"])]


def json_value(sql: str, column: dict[str, Any], options: dict[str, Any], number: int, depth: int = 0) -> str:
    """What `json_member` found as a column's type: of a struct the members that are not there are NULL, others are left
    out, and names match in any case (JsonSerDe). What is of another kind fails. `sql` is short, for it is repeated."""
    kind, inner = family(column["duckdb"]), column["args"]
    if kind not in NESTED:
        return parsed(sql, column, options, number)
    one = f"e{depth}"

    def each(values: str, of: dict[str, Any]) -> str:
        found = values if nested(of) else f"list_transform({values}, lambda {one}: json_extract_string({one}, '$'))"
        return f"list_transform({found}, lambda {one}: {json_value(one, of, options, number, depth + 1)})"

    if kind == "row":
        found = ", ".join(f"x{i} := {json_member(sql, c['name'], c)}" for i, c in enumerate(inner))
        values = (json_value(f"{one}.x{i}", c, options, number, depth + 1) for i, c in enumerate(inner))
        members = ", ".join(f"{quoted(c['name'])} := {value}" for c, value in zip(inner, values, strict=True))
        made = f"list_transform([struct_pack({found})], lambda {one}: struct_pack({members}))[1]"
    elif kind == "array":
        made = each(f"CAST({sql} AS JSON[])", inner[0])
    else:
        known = f"CAST({sql} AS MAP(VARCHAR, JSON))"
        keys = f"list_transform(map_keys({known}), lambda {one}: {parsed(one, inner[0], options, number)})"
        made = f"map({keys}, {each(f'map_values({known})', inner[1])})"
    said = f"'Error parsing field value ''' || CAST({sql} AS VARCHAR) || ''' for field {number}: not {NESTED[kind]}'"
    # the type of the whole once a column, not once a level
    refused = bad_data(said, "INTEGER")
    other = f" WHEN json_type({sql}) <> 'NULL' AND {refused} IS NULL THEN NULL" if options["strict"] else ""
    return f"CASE WHEN json_type({sql}) = '{'ARRAY' if kind == 'array' else 'OBJECT'}' THEN {made}{other} END"


def nested(column: dict[str, Any]) -> bool:
    return family(column["duckdb"]) in NESTED


def json_member(sql: str, name: str, column: dict[str, Any]) -> str:
    """A member of an object by its name: JSON for a nested type, else text. Where it is not there, by one that differs
    in case (JsonSerDe's case.insensitive). A name with a quote in it has no path."""
    extract = "json_extract" if nested(column) else "json_extract_string"
    if '"' in name:
        return f"CAST(NULL AS {'JSON' if nested(column) else 'VARCHAR'})"
    alike = f"lambda k: lower(k) = {lit(name.lower())} AND NOT contains(k, '\"')"
    other = f"'$.\"' || list_filter(json_keys({sql}), {alike})[1] || '\"'"
    return f"coalesce({extract}({sql}, {lit('$.' + quoted(name))}), {extract}({sql}, {other}))"


def make_view(con: Connection, table: dict[str, Any]) -> None:
    """A view with columns c0.. (the table's, then its partition keys, then "$path") over the plan's files."""
    parts = [p for p in table["parts"] if p["files"]]
    columns, keys = table["columns"], table["keys"]
    width = len(columns) + len(keys)
    types = [*(c["duckdb"] for c in columns), *(k["duckdb"] for k in keys), "VARCHAR"]
    if not parts:
        empty = ", ".join(f"CAST(NULL AS {t}) AS c{i}" for i, t in enumerate(types))
        con.execute(f"CREATE VIEW {table['view']} AS SELECT {empty} WHERE false")
        return
    if len(parts) <= UNION_LIMIT or table["format"] == "orc":
        selects = [
            select(
                con,
                table,
                part["files"],
                [f"CAST({text(v)} AS {k['duckdb']})" for v, k in zip(part["values"], keys, strict=True)],
                i,
            )
            for i, part in enumerate(parts)
        ]
        body = " UNION ALL ".join(selects)
    else:
        lookup = f"keys_{table['view']}"
        con.execute(f"CREATE TABLE {lookup} ({', '.join(['f VARCHAR', *(f'k{i} VARCHAR' for i in range(len(keys)))])})")
        rows = [f"({', '.join([lit(f), *map(text, p['values'])])})" for p in parts for f in p["files"]]
        con.execute(f"INSERT INTO {lookup} VALUES {', '.join(rows)}")
        files = [f for p in parts for f in p["files"]]
        values = [f"CAST({lookup}.k{i} AS {k['duckdb']})" for i, k in enumerate(keys)]
        body = select(con, table, files, values, 0, f' JOIN {lookup} ON {lookup}.f = source."file name"')
    if table.get("uris"):
        body = with_paths(con, table, body, width)
    con.execute(f"CREATE VIEW {table['view']} AS {body}")


def text(value: str | None) -> str:
    return "NULL" if value is None else lit(value)


def select(
    con: Connection, table: dict[str, Any], files: list[str], values: list[str], number: int, join: str = ""
) -> str:
    source, exprs = reader(con, table, files, number)
    items = [f"{e} AS c{i}" for i, e in enumerate([*exprs, *values, 'source."file name"'])]
    return f"SELECT {', '.join(items)} FROM {source} AS source{join}"


def with_paths(con: Connection, table: dict[str, Any], body: str, width: int) -> str:
    """ "$path": the file's path becomes its s3:// address. Not by a join as long as a map will do: DuckDB may read either
    side of one first, and the rows would come in another order each time."""
    if len(table["uris"]) <= MAP_LIMIT:
        known = ", ".join(f"{lit(f)}: {lit(u)}" for f, u in table["uris"].items())
        columns = ", ".join(f"b.c{i}" for i in range(width))
        return f"SELECT {columns}, (MAP {{{known}}})[b.c{width}] AS c{width} FROM ({body}) AS b"
    lookup = f"paths_{table['view']}"
    con.execute(f"CREATE TABLE {lookup} (f VARCHAR, u VARCHAR)")
    con.executemany(f"INSERT INTO {lookup} VALUES (?, ?)", [[f, u] for f, u in table["uris"].items()])
    columns = ", ".join([*(f"b.c{i}" for i in range(width)), f"p.u AS c{width}"])
    return f"SELECT {columns} FROM ({body}) AS b LEFT JOIN {lookup} AS p ON p.f = b.c{width}"


# --- running ----------------------------------------------------------------------------------------------------------


# java_number() in SQL, over the number `x`, its text without sign `t` and its significant digits `d`. Written in SQL,
# because a Python function would make every spare worker import numpy.
FLOAT_TEXT = """CASE
    WHEN isnan(x) THEN 'NaN'
    WHEN isinf(x) THEN CASE WHEN x < 0 THEN '-Infinity' ELSE 'Infinity' END
    WHEN x = 0 OR (abs(x) >= 0.001 AND abs(x) < 10000000) THEN CAST(x AS VARCHAR)
    ELSE CASE WHEN x < 0 THEN '-' ELSE '' END || d[1] || '.' || CASE WHEN length(d) > 1 THEN substr(d, 2) ELSE '0' END
        || 'E' || CASE
            WHEN contains(t, 'e') THEN CAST(split_part(t, 'e', 2) AS INTEGER)
            WHEN abs(x) >= 1 THEN length(split_part(t, '.', 1)) - 1
            ELSE length(ltrim(split_part(t, '.', 2), '0')) - length(split_part(t, '.', 2)) - 1 END
    END"""


def opened() -> Connection:
    """An in-memory DuckDB with the settings and functions that every query needs: a spare worker has it ready."""
    con: Connection = duckdb.connect(
        ":memory:", config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    )
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET ieee_floating_point_ops = true")
    con.execute("SET preserve_insertion_order = true")
    con.execute(f"CREATE MACRO trino_float_text(x, t, d) AS {FLOAT_TEXT}")
    digits = "trim(replace(split_part(CAST(abs(x) AS VARCHAR), 'e', 1), '.', ''), '0')"
    for name in ("double", "real"):
        con.execute(f"CREATE MACRO trino_{name}_text(x) AS trino_float_text(x, CAST(abs(x) AS VARCHAR), {digits})")
    return con


def open_locked(plan: dict[str, Any], con: Connection | None = None) -> Connection:
    """The connection for one plan, which reaches only the plan's files: settings first, the lock last."""
    con = con or opened()
    con.execute(f"SET temp_directory = {lit(plan['temp'])}")
    con.execute(f"SET memory_limit = {lit(plan['memory'])}")
    con.execute(f"SET threads = {int(plan['threads'])}")
    files = [f for t in plan["tables"] for p in t["parts"] for f in p["files"]]
    con.execute(f"SET allowed_paths = {listing(files)}")
    con.execute(f"SET allowed_directories = {listing([plan['folder']])}")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    for table in plan["tables"]:
        make_view(con, table)
    return con


# Columns of these types become text inside DuckDB and are written by its own CSV writer; the rest is written row by row.
AS_TEXT = {
    "boolean": "CAST({0} AS VARCHAR)", "tinyint": "CAST({0} AS VARCHAR)", "smallint": "CAST({0} AS VARCHAR)",
    "integer": "CAST({0} AS VARCHAR)", "bigint": "CAST({0} AS VARCHAR)", "decimal": "CAST({0} AS VARCHAR)",
    "varchar": "{0}", "char": "{0}", "date": "CAST({0} AS VARCHAR)", "json": "CAST({0} AS VARCHAR)",
    "timestamp": "strftime({0}, '%Y-%m-%d %H:%M:%S.%g')",
    "double": "trino_double_text({0})", "real": "trino_real_text({0})",
}  # fmt: skip


def write_result(con: Connection, plan: dict[str, Any]) -> dict[str, Any]:
    """Athena's CSV: every value quoted, NULL empty, names in the first line."""
    out = os.path.join(plan["folder"], "result")
    names = ",".join(cell(c["name"]) for c in plan["columns"]) + "\n"
    kinds = [c["type"]["name"] for c in plan["columns"]]
    if all(kind in AS_TEXT for kind in kinds):
        return {"rows": write_flat(con, plan, kinds, names, out)}
    writers = [writer(c["type"]) for c in plan["columns"]]
    rows = 0
    with open(out, "w", encoding="utf-8", newline="") as file:
        file.write(names)
        for batch in batches(con.execute(plan["sql"])):
            file.write("".join(line(row, writers) for row in batch))
            rows += len(batch)
    return {"rows": rows}


def write_flat(con: Connection, plan: dict[str, Any], kinds: list[str], names: str, out: str) -> int:
    items = ", ".join(AS_TEXT[kind].format(f"c{i}") for i, kind in enumerate(kinds))
    body = f"{out}.body"
    con.execute(
        f"COPY (SELECT {items} FROM ({plan['sql']})) TO {lit(body)} "
        "(FORMAT csv, HEADER false, QUOTE '\"', ESCAPE '\"', FORCE_QUOTE *, NULLSTR '')"
    )
    (rows,) = con.fetchone()
    with open(out, "wb") as file, open(body, "rb") as source:
        file.write(names.encode())
        shutil.copyfileobj(source, file, 2**20)
    os.unlink(body)
    return int(rows)


def batches(result: Connection) -> Iterator[list[tuple[Any, ...]]]:
    while batch := result.fetchmany(BATCH):
        yield batch


def cell(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def line(row: tuple[Any, ...], writers: list[Callable[[Any], str]]) -> str:
    return ",".join("" if v is None else cell(w(v)) for v, w in zip(row, writers, strict=True)) + "\n"


def write_files(con: Connection, plan: dict[str, Any]) -> dict[str, Any]:
    """The query's rows as files below a folder of ours, one folder a partition."""
    write = plan["write"]
    options = {
        "parquet": f"FORMAT parquet, COMPRESSION {write.get('compression') or 'zstd'}",
        "json": "FORMAT json",
        "csv": f"FORMAT csv, HEADER false, DELIMITER {lit(write.get('delimiter') or ',')}, QUOTE '', ESCAPE '', NULLSTR '\\N'",
    }[write["format"]]
    con.execute(f"CREATE TABLE written AS {plan['sql']}")
    (rows,) = con.execute("SELECT count(*) FROM written").fetchone()
    names = [c["name"] for c in plan["columns"]]
    keys = len(write.get("keys") or ())
    kept = names[: len(names) - keys]
    items = ", ".join(f"c{i} AS {quoted(n)}" for i, n in enumerate(kept))
    made: list[dict[str, Any]] = []
    if not keys:
        path = os.path.join(plan["folder"], "0")
        con.execute(f"COPY (SELECT {items} FROM written) TO {lit(path)} ({options})")
        made.append({"file": path, "values": []})
        return {"rows": rows, "files": made}
    columns = [f"c{i}" for i in range(len(kept), len(names))]
    groups = con.execute(
        f"SELECT DISTINCT {', '.join(f'CAST({c} AS VARCHAR)' for c in columns)} FROM written"
    ).fetchall()
    if len(groups) > 100:
        raise ValueError("HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of 100 open writers for partitions/buckets\x01")
    for number, values in enumerate(groups):
        path = os.path.join(plan["folder"], str(number))
        where = " AND ".join(
            f"CAST({c} AS VARCHAR) IS NOT DISTINCT FROM {text(v)}" for c, v in zip(columns, values, strict=True)
        )
        con.execute(f"COPY (SELECT {items} FROM written WHERE {where}) TO {lit(path)} ({options})")
        made.append({"file": path, "values": list(values)})
    return {"rows": rows, "files": made}


def run(plan: dict[str, Any], ready: Connection | None = None) -> dict[str, Any]:
    """Run one plan; every failure is an answer: the kind of error and DuckDB's text, for failures.from_duckdb."""
    started = time.perf_counter()
    try:
        con = open_locked(plan, ready)
        done = (write_files if plan.get("write") else write_result)(con, plan)
    except (duckdb.Error, ValueError, OverflowError, OSError, MemoryError, RecursionError) as error:
        return {"error": {"kind": type(error).__name__, "message": str(error)}}
    return done | {"seconds": time.perf_counter() - started}


def leave_with_parent() -> None:
    """End at once when the endpoint is gone: its end of stdin closes."""

    def watch() -> None:
        sys.stdin.read()
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()


def main() -> NoReturn:
    ready = opened()
    ready.execute("SELECT trino_double_text(1e0)").fetchall()
    text = sys.stdin.readline()
    if not text:
        os._exit(0)
    leave_with_parent()
    answer = run(json.loads(text), ready)
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
