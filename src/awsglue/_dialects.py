"""What differs between the databases that are carried: names, types, how rows come out as Arrow and go in.

PostgreSQL is read through ADBC and written with COPY; MySQL and MariaDB through PyMySQL, unbuffered, and written with
INSERTs of many rows; SQLite through sqlite3. Types are those that Spark's JDBC source gives on AWS as far as Spark has
them: NUMERIC becomes a decimal of its own precision (38,18 when it has none), `tinyint(1)` and `bit(1)` are boolean,
unsigned numbers the next larger type, instants UTC; what Arrow lacks is a string.

Limits: times of day, enumerations, JSON, UUIDs, intervals and geometry are strings. SQLite types values, not columns:
a value that is not of its column's declared type is an error that names both.
"""

from __future__ import annotations

import datetime
import decimal
import errno
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from awsglue._databases import Database, JdbcError, connect, explained, rows

BATCH = 20_000  # rows
SPLIT_PAGES = 2048  # of 8 KB: a table of PostgreSQL from 16 MB on is read by several connections
Stream = tuple[Any, Iterator[Any]]  # an Arrow schema, and batches of it


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a query: how to select it, and its Arrow type (None: as the driver says)."""

    name: str
    expression: str
    kind: Any = None


class Dialect:
    """Standard SQL; each database says what it does in another way. `source` is a table or `(query) AS source`."""

    quote = '"'
    created: ClassVar[dict[str, str]] = {}

    def quoted(self, name: str) -> str:
        """A SQL identifier."""
        return self.quote + name.replace(self.quote, self.quote * 2) + self.quote

    def table(self, name: str) -> str:
        """`schema.table` as identifiers; a name with quotes is taken as it is."""
        if self.quote in name or '"' in name:
            return name
        return ".".join(self.part(one) for one in name.split("."))

    def part(self, name: str) -> str:
        """One part of a table's name as a script writes it."""
        return self.quoted(name)

    def text(self, value: str) -> str:
        """A SQL string literal."""
        return "'" + value.replace("'", "''") + "'"

    def literal(self, value: str, kind: str) -> str:
        """A key that a bookmark keeps, as SQL: `kind` is what `last` said of it."""
        return value if kind == "number" else self.text(value)

    def describe(self, db: Any, source: str) -> list[Column]:
        """The columns of a table or query."""
        raise NotImplementedError

    @contextmanager
    def stream(self, database: Database, query: str, columns: Sequence[Column], snapshot: str = "") -> Iterator[Stream]:
        """The rows of a query, as they come; with `snapshot` those that `pages` saw. JdbcError."""
        raise NotImplementedError

    def pages(self, db: Any, source: str, parts: int) -> tuple[str, list[str]]:
        """Conditions that cut a large table into as many parts, to be read while `db` stays in its transaction, and a
        snapshot for all of them."""
        return "", [""]

    def bucket(self, field: str, expression: str, count: int) -> str:
        """A number from 0 to `count` - 1 of each row, by a column of any type or by a whole number."""
        raise NotImplementedError

    def last(self, db: Any, source: str, keys: Sequence[str], way: str) -> list[tuple[str, str]]:
        """Values and kinds of the keys in the row that is last in the order of the keys; nothing without rows."""
        names = [self.quoted(key) for key in keys]
        query = (
            f"SELECT {', '.join(names)} FROM {source} WHERE {' AND '.join(f'{name} IS NOT NULL' for name in names)}"
            f" ORDER BY {', '.join(f'{name} {way}' for name in names)} LIMIT 1"
        )
        found = rows(db, query)
        return [_kept(key, value) for key, value in zip(keys, found[0], strict=True)] if found else []

    def primary_key(self, db: Any, table: str) -> list[tuple[str, bool]]:
        """The columns of a table's primary key, and whether each is a whole number."""
        raise NotImplementedError

    def columns_of(self, db: Any, table: str) -> list[str]:
        """The columns of a table; none when it is not there."""
        raise NotImplementedError

    def type_of(self, column: str, kind: str) -> str:
        """The type that a column of Spark's type `kind` is created with."""
        if kind.startswith("decimal"):
            return kind.replace("decimal", "numeric")
        if kind not in self.created:
            raise NotImplementedError(f"column {column} of type {kind} cannot be written to a database")
        return self.created[kind]

    def insert(self, db: Any, table: str, columns: Sequence[str], batches: Iterable[Any], bulk: int) -> None:
        """Append Arrow batches, `bulk` rows a statement."""
        marks = ", ".join([self.mark] * len(columns))
        query = f"INSERT INTO {table} ({', '.join(self.quoted(one) for one in columns)}) VALUES ({marks})"
        with closing(db.cursor()) as cursor:
            for batch in batches:
                for start in range(0, batch.num_rows, bulk):
                    part = batch.slice(start, bulk)
                    cursor.executemany(query, list(zip(*(self.values(one) for one in part.columns), strict=True)))

    mark = "%s"

    def values(self, column: Any) -> list[Any]:
        """An Arrow column as parameters."""
        return list(column.to_pylist())


def _kept(key: str, value: Any) -> tuple[str, str]:
    if isinstance(value, bool):
        return str(int(value)), "number"
    if isinstance(value, (int, float, decimal.Decimal)):
        return str(value), "number"
    if isinstance(value, bytes):
        raise ValueError(f"jobBookmarkKeys: {key} is binary")
    return str(value), "text"


# ---- PostgreSQL


class Postgres(Dialect):
    """See the module's docstring."""

    # By type OID: how to select it so that Arrow has it. What is not listed is selected as text.
    AS_IS = frozenset(
        {16, 17, 20, 21, 23, 25, 700, 701, 1042, 1043, 1082, 1114, 1184, 1000, 1005, 1007, 1009, 1015, 1016, 1022}
    )
    NUMERIC, BIT = 1700, 1560
    SELECTED: ClassVar = {26: "({})::bigint", 790: "({})::numeric::float8", 1560: "({0})::text"}

    created: ClassVar = {
        "string": "text",
        "int": "integer",
        "bigint": "bigint",
        "smallint": "smallint",
        "tinyint": "smallint",
        "double": "double precision",
        "float": "real",
        "boolean": "boolean",
        "date": "date",
        "timestamp": "timestamp",
        "timestamp_ntz": "timestamp",
        "binary": "bytea",
    }

    def part(self, name: str) -> str:
        folded = name != name.lower() and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$]*", name)
        return name if folded else self.quoted(name)  # Orders is orders, as in AWS's SELECT

    def literal(self, value: str, kind: str) -> str:
        return f"{self.text(value)}::{kind}"

    def describe(self, db: Any, source: str) -> list[Column]:
        with db.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {source} LIMIT 0")
            return [self._column(one) for one in cursor.description or []]

    def _column(self, said: Any) -> Column:
        import pyarrow as pa

        name = self.quoted(said.name)
        if said.type_code == self.NUMERIC:
            precision, scale = (said.precision, said.scale or 0) if said.precision else (38, 18)
            precision, scale = precision - min(scale, 0), max(scale, 0)
            # ADBC has no decimals: a whole number of the smallest unit where it fits, which is faster, else text
            expression = f"({name} * 1{'0' * scale})::bigint" if precision <= 18 else f"{name}::text"
            return Column(said.name, expression, pa.decimal128(min(precision, 38), scale))
        if said.type_code in self.AS_IS:
            return Column(said.name, name)
        if said.type_code == self.BIT and said.display_size == 1:
            return Column(said.name, f"({name} = B'1')")
        return Column(said.name, self.SELECTED.get(said.type_code, "({})::text").format(name))

    @contextmanager
    def stream(self, database: Database, query: str, columns: Sequence[Column], snapshot: str = "") -> Iterator[Stream]:
        import adbc_driver_manager
        import adbc_driver_postgresql.dbapi as adbc
        import pyarrow as pa

        try:
            with adbc.connect(database.uri()) as db, db.cursor() as cursor:
                if snapshot:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    cursor.execute(f"SET TRANSACTION SNAPSHOT {self.text(snapshot)}")
                cursor.execute(query)
                reader = cursor.fetch_record_batch()
                fields = [
                    pa.field(one.name, column.kind or _instant(one.type), one.nullable)
                    for one, column in zip(reader.schema, columns, strict=True)
                ]
                schema = pa.schema(fields)
                yield schema, (_cast(batch, schema) for batch in reader)
        except (adbc_driver_manager.Error, OSError) as error:  # OSError: the stream breaks off
            if getattr(error, "errno", None) == errno.ENOSPC:
                raise
            raise database.error(error) from None

    def pages(self, db: Any, source: str, parts: int) -> tuple[str, list[str]]:
        if source.startswith("(") or parts < 2 or db.info.server_version < 140000:
            return "", [""]
        query = "SELECT pg_relation_size(oid) / 8192 FROM pg_class WHERE oid = to_regclass(%s) AND relkind = 'r'"
        found = rows(db, query, (source,))
        if not found or found[0][0] < SPLIT_PAGES:
            return "", [""]
        ((snapshot,),) = rows(db, "SELECT pg_export_snapshot()")
        bounds = [found[0][0] * part // parts for part in range(parts)]
        ends = [f" AND ctid < '({page},0)'::tid" for page in bounds[1:]] + [""]
        return snapshot, [f"ctid >= '({page},0)'::tid{end}" for page, end in zip(bounds, ends, strict=True)]

    def bucket(self, field: str, expression: str, count: int) -> str:
        number = f"hashtext({self.quoted(field)}::text)" if field else f"({expression})"
        return f"mod(abs(coalesce({number}::bigint, 0)), {count})"

    def last(self, db: Any, source: str, keys: Sequence[str], way: str) -> list[tuple[str, str]]:
        names = [self.quoted(key) for key in keys]
        # Ordered inside: beside `key::text` a bare key would mean that output column, whose text sorts 99999 > 200000.
        inside = (
            f"SELECT {', '.join(names)} FROM {source} WHERE {' AND '.join(f'{name} IS NOT NULL' for name in names)}"
            f" ORDER BY {', '.join(f'{name} {way}' for name in names)} LIMIT 1"
        )
        wanted = ", ".join(f"{name}::text, pg_typeof({name})::text" for name in names)
        found = rows(db, f"SELECT {wanted} FROM ({inside}) AS last")
        return list(zip(found[0][::2], found[0][1::2], strict=True)) if found else []

    def primary_key(self, db: Any, table: str) -> list[tuple[str, bool]]:
        found = rows(
            db,
            "SELECT a.attname, a.atttypid FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid"
            " AND a.attnum = ANY (i.indkey) WHERE i.indrelid = to_regclass(%s) AND i.indisprimary",
            (table,),
        )
        return [(name, kind in (20, 21, 23)) for name, kind in found]

    def columns_of(self, db: Any, table: str) -> list[str]:
        query = (
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
            " ORDER BY attnum"
        )
        return [row[0] for row in rows(db, query, (table,))]

    def insert(self, db: Any, table: str, columns: Sequence[str], batches: Iterable[Any], bulk: int) -> None:
        into = ", ".join(self.quoted(column) for column in columns)
        with db.cursor() as cursor, cursor.copy(f"COPY {table} ({into}) FROM STDIN (FORMAT csv)") as copy:
            for batch in batches:
                copy.write(_csv(batch))


def _instant(kind: Any) -> Any:
    """Glue's clock is UTC, and Spark's timestamp an instant."""
    import pyarrow as pa

    return pa.timestamp("us", "UTC") if pa.types.is_timestamp(kind) else kind


def _cast(batch: Any, schema: Any) -> Any:
    import pyarrow as pa

    def cast(column: Any, kind: Any) -> Any:
        if column.type == kind:
            return column
        if pa.types.is_timestamp(column.type) and column.type.tz is None:
            return column.cast(pa.timestamp("us")).view(kind)
        if pa.types.is_decimal(kind) and pa.types.is_integer(column.type):  # a number of the smallest unit
            units = column.cast(pa.decimal128(19, 0))
            return pa.Array.from_buffers(kind, len(units), units.buffers(), units.null_count, units.offset)
        return column.cast(kind)

    return pa.record_batch([cast(*pair) for pair in zip(batch.columns, schema.types, strict=True)], schema=schema)


def _csv(batch: Any) -> bytes:
    """CSV as COPY reads it: null is nothing, an empty string is quoted, bytes are in hexadecimal."""
    import pyarrow as pa
    import pyarrow.csv as csv

    columns = [
        pa.array([None if v is None else f"\\x{v.hex()}" for v in one.to_pylist()], pa.string())
        if pa.types.is_binary(one.type)
        else one
        for one in batch.columns
    ]
    into = io.BytesIO()
    made = pa.record_batch(columns, names=batch.schema.names)
    csv.write_csv(made, into, csv.WriteOptions(include_header=False, quoting_style="needed"))
    return into.getvalue()


# ---- MySQL and MariaDB


class MySql(Dialect):
    """See the module's docstring."""

    quote = "`"
    created: ClassVar = {
        "string": "longtext",
        "int": "int",
        "bigint": "bigint",
        "smallint": "smallint",
        "tinyint": "tinyint",
        "double": "double",
        "float": "float",
        "boolean": "bit(1)",
        "date": "date",
        "timestamp": "datetime(6)",
        "timestamp_ntz": "datetime(6)",
        "binary": "longblob",
    }
    UNSIGNED, BINARY = 32, 63  # a field's flag, a field's character set

    def text(self, value: str) -> str:
        return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"

    def describe(self, db: Any, source: str) -> list[Column]:
        with closing(db.cursor()) as cursor:
            cursor.execute(f"SELECT * FROM {source} LIMIT 0")
            # the description of PEP 249 lacks signs and character sets; the packets behind it have them
            return [Column(one.name, self.quoted(one.name), self._kind(one)) for one in cursor._result.fields]

    def _kind(self, said: Any) -> Any:
        import pyarrow as pa
        from pymysql.constants import FIELD_TYPE as T

        unsigned = bool(said.flags & self.UNSIGNED)
        if said.type_code in (T.DECIMAL, T.NEWDECIMAL):
            precision = said.length - (said.scale > 0) - (not unsigned)
            return pa.decimal128(max(1, min(precision, 38)), min(said.scale, 38))
        if said.type_code == T.TINY:
            return pa.bool_() if said.length == 1 else pa.int16() if unsigned else pa.int8()
        if said.type_code == T.BIT:
            return pa.bool_() if said.length == 1 else pa.int64()
        if said.type_code == T.LONGLONG:
            return pa.decimal128(20, 0) if unsigned else pa.int64()
        known = {
            T.SHORT: pa.int32() if unsigned else pa.int16(),
            T.LONG: pa.int64() if unsigned else pa.int32(),
            **{T.INT24: pa.int32(), T.YEAR: pa.int32(), T.FLOAT: pa.float32(), T.DOUBLE: pa.float64()},
            **{T.DATE: pa.date32(), T.NEWDATE: pa.date32(), T.NULL: pa.string(), T.JSON: pa.string()},
            **dict.fromkeys((T.DATETIME, T.TIMESTAMP), pa.timestamp("us", "UTC")),
        }
        if said.type_code in known:
            return known[said.type_code]
        texts = (T.BLOB, T.LONG_BLOB, T.MEDIUM_BLOB, T.TINY_BLOB, T.STRING, T.VAR_STRING, T.VARCHAR, T.GEOMETRY)
        return pa.binary() if said.type_code in texts and said.charsetnr == self.BINARY else pa.string()

    @contextmanager
    def stream(self, database: Database, query: str, columns: Sequence[Column], snapshot: str = "") -> Iterator[Stream]:
        import pyarrow as pa
        from pymysql.converters import encoders
        from pymysql.cursors import SSCursor

        schema = pa.schema([(one.name, one.kind) for one in columns])
        nulls = database.parameter("zeroDateTimeBehavior").replace("_", "").lower() == "converttonull"

        def batches(cursor: Any) -> Iterator[Any]:
            while found := cursor.fetchmany(BATCH):
                parsed = [
                    _parsed(database, one, values, nulls)
                    for one, values in zip(columns, zip(*found, strict=True), strict=True)
                ]
                yield pa.record_batch(parsed, schema=schema)

        # without decoders the values come as the server writes them: Arrow parses columns faster than Python values
        with explained(database):
            db = connect(database, cursorclass=SSCursor, conv=encoders)
            cursor = db.cursor()
            try:
                cursor.execute(query)
                yield schema, batches(cursor)
            finally:
                if cursor._result is not None:  # a polite end would read all the rows that nobody wants any more
                    cursor._result.unbuffered_active = False
                db._force_close()

    def bucket(self, field: str, expression: str, count: int) -> str:
        number = f"crc32(cast({self.quoted(field)} AS char))" if field else f"({expression})"
        return f"mod(abs(coalesce({number}, 0)), {count})"

    def primary_key(self, db: Any, table: str) -> list[tuple[str, bool]]:
        schema, name = _parts(table, self.quote)
        query = (
            "SELECT c.column_name, c.data_type FROM information_schema.key_column_usage k"
            " JOIN information_schema.columns c USING (table_schema, table_name, column_name)"
            " WHERE k.constraint_name = 'PRIMARY' AND k.table_schema = coalesce(%s, database()) AND k.table_name = %s"
            " ORDER BY k.ordinal_position"
        )
        return [(column, kind.endswith("int")) for column, kind in rows(db, query, (schema, name))]

    def columns_of(self, db: Any, table: str) -> list[str]:
        schema, name = _parts(table, self.quote)
        query = (
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = coalesce(%s, database()) AND table_name = %s ORDER BY ordinal_position"
        )
        return [row[0] for row in rows(db, query, (schema, name))]

    def values(self, column: Any) -> list[Any]:
        import pyarrow as pa

        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", column.type.tz))
            return [None if one is None else one.replace(tzinfo=None) for one in column.to_pylist()]
        return list(column.to_pylist())


def _parts(table: str, quote: str) -> tuple[str | None, str]:
    """Schema and name of what `Dialect.table` made."""
    found = re.findall(f"{quote}((?:[^{quote}]|{quote}{quote})*){quote}|([^.{quote}]+)", table)
    names = [quoted.replace(quote * 2, quote) or plain for quoted, plain in found]
    return (names[-2] if len(names) > 1 else None), names[-1]


def _parsed(database: Database, column: Column, values: Sequence[Any], nulls: bool) -> Any:
    """A column of MySQL's own texts as Arrow. `nulls`: the date that is none is null, not an error."""
    import pyarrow as pa

    kind = column.kind
    if pa.types.is_binary(kind):
        return pa.array(values, kind)
    if values and any(isinstance(one, bytes) for one in values):
        if pa.types.is_integer(kind) or pa.types.is_boolean(kind):  # bit(n)
            numbers = [None if one is None else int.from_bytes(one, "big") for one in values]
            return pa.array(numbers, pa.int64()).cast(kind)
        values = [one.decode("utf-8", "replace") if isinstance(one, bytes) else one for one in values]
    if pa.types.is_temporal(kind):
        return _time(database, column, values, nulls)
    texts = pa.array(values, pa.string())
    return texts.cast(pa.int64()).cast(kind) if pa.types.is_boolean(kind) else texts.cast(kind)


def _time(database: Database, column: Column, values: Sequence[Any], nulls: bool) -> Any:
    import pyarrow as pa

    none = [one is not None and one.startswith("0000-00-00") for one in values]
    if any(none):
        if not nulls:
            raise JdbcError(
                f"{database.place}: column {column.name} has the date 0000-00-00, which is none: add"
                " zeroDateTimeBehavior=convertToNull to the JDBC URL to read null"
            )
        values = [None if is_none else one for one, is_none in zip(values, none, strict=True)]
    texts = pa.array(values, pa.string())
    return (
        texts.cast(pa.timestamp("us")).cast(column.kind)
        if pa.types.is_timestamp(column.kind)
        else texts.cast(column.kind)
    )


# ---- SQLite


class Sqlite(Dialect):
    """See the module's docstring."""

    mark = "?"
    created: ClassVar = {
        **dict.fromkeys(("int", "bigint", "smallint", "tinyint"), "INTEGER"),
        **dict.fromkeys(("double", "float"), "REAL"),
        "string": "TEXT",
        "boolean": "BOOLEAN",
        "date": "DATE",
        "timestamp": "TIMESTAMP",
        "timestamp_ntz": "TIMESTAMP",
        "binary": "BLOB",
    }

    def describe(self, db: Any, source: str) -> list[Column]:
        name = f"described{abs(hash(source))}"
        rows(db, f"CREATE TEMP VIEW {name} AS SELECT * FROM {source}")  # a view knows its columns' declared types
        try:
            found = rows(db, f"PRAGMA table_info({name})")
        finally:
            rows(db, f"DROP VIEW {name}")
        kinds = {one[1]: sqlite_kind(one[2]) if one[2] else self._seen(db, source, one[1]) for one in found}
        return [Column(name, self.quoted(name), kind) for name, kind in kinds.items()]

    def _seen(self, db: Any, source: str, name: str) -> Any:
        """The type of an expression, which has none declared: that of its values."""
        import pyarrow as pa

        found = {row[0] for row in rows(db, f"SELECT DISTINCT typeof({self.quoted(name)}) FROM {source}")} - {"null"}
        known = {"integer": pa.int64(), "real": pa.float64(), "blob": pa.binary()}
        if found == {"integer", "real"}:
            return pa.float64()
        return known.get(found.pop(), pa.string()) if len(found) == 1 else pa.string()

    @contextmanager
    def stream(self, database: Database, query: str, columns: Sequence[Column], snapshot: str = "") -> Iterator[Stream]:
        import pyarrow as pa

        schema = pa.schema([(one.name, one.kind) for one in columns])

        def batches(cursor: Any) -> Iterator[Any]:
            while found := cursor.fetchmany(BATCH):
                pairs = zip(columns, zip(*found, strict=True), strict=True)
                yield pa.record_batch([_typed(database, one, values) for one, values in pairs], schema=schema)

        with explained(database), closing(connect(database)) as db:
            db.create_function("millpond_hash", 1, lambda value: zlib.crc32(str(value).encode()), deterministic=True)
            yield schema, batches(db.execute(query))

    def bucket(self, field: str, expression: str, count: int) -> str:
        number = f"millpond_hash({self.quoted(field)})" if field else f"({expression})"
        return f"abs(coalesce({number}, 0)) % {count}"

    def primary_key(self, db: Any, table: str) -> list[tuple[str, bool]]:
        _, name = _parts(table, self.quote)
        found = rows(db, f"PRAGMA table_info({self.quoted(name)})")
        return [(one[1], "INT" in one[2].upper()) for one in found if one[5]]

    def columns_of(self, db: Any, table: str) -> list[str]:
        _, name = _parts(table, self.quote)
        return [one[1] for one in rows(db, f"PRAGMA table_info({self.quoted(name)})")]

    def values(self, column: Any) -> list[Any]:
        import pyarrow as pa

        if pa.types.is_timestamp(column.type):
            found = column.cast(pa.timestamp("us", column.type.tz)).to_pylist()
            return [None if one is None else str(one.replace(tzinfo=None)) for one in found]
        if pa.types.is_decimal(column.type) or pa.types.is_date(column.type):
            return [None if one is None else str(one) for one in column.to_pylist()]
        return list(column.to_pylist())


def sqlite_kind(declared: str) -> Any:
    """Arrow's type for a declared type ("Datatypes In SQLite", and the names that drivers give a meaning)."""
    import pyarrow as pa

    low = declared.lower()
    if numbers := re.match(r"(?:decimal|numeric)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?", low):
        precision, scale = (min(int(numbers[1]), 38), int(numbers[2] or 0)) if numbers[1] else (38, 18)
        return pa.decimal128(precision, scale)
    rules = (
        (("bool",), pa.bool_()),
        (("timestamp", "datetime"), pa.timestamp("us", "UTC")),
        (("date",), pa.date32()),
        (("int",), pa.int64()),
        (("char", "clob", "text"), pa.string()),
        (("blob",), pa.binary()),
        (("real", "floa", "doub"), pa.float64()),
    )
    return next((kind for words, kind in rules if any(word in low for word in words)), pa.string())


def _typed(database: Database, column: Column, values: Sequence[Any]) -> Any:
    import pyarrow as pa

    try:
        return pa.array([None if one is None else _one(column.kind, one) for one in values], column.kind)
    except (ValueError, TypeError, pa.ArrowException, decimal.DecimalException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        text = f"column {column.name} has a value that is not {column.kind}: {reason}"
        raise JdbcError(f"{database.place}: {text}; cast it in a query (sampleQuery)") from None


def _one(kind: Any, value: Any) -> Any:
    """A value of SQLite as its column's type has it; a time's number is milliseconds since 1970, as JDBC writes it."""
    import pyarrow as pa

    if pa.types.is_string(kind):
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if pa.types.is_boolean(kind):
        return value.lower() in ("true", "t", "yes", "1") if isinstance(value, str) else bool(value)
    if pa.types.is_decimal(kind):
        return round(decimal.Decimal(str(value)), kind.scale)
    if pa.types.is_timestamp(kind):
        if isinstance(value, (int, float)):
            return datetime.datetime.fromtimestamp(value / 1000, datetime.UTC)
        found = datetime.datetime.fromisoformat(value)
        return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
    if pa.types.is_date(kind):
        if isinstance(value, (int, float)):
            return datetime.datetime.fromtimestamp(value / 1000, datetime.UTC).date()
        return datetime.date.fromisoformat(value[:10])
    return value


DIALECTS: dict[str, Dialect] = {"postgresql": Postgres(), "mysql": MySql(), "sqlite": Sqlite()}
