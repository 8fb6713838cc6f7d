"""The parts of the Athena room on their own: types, statements, text of values, result pages, parameters, patterns."""

from __future__ import annotations

import datetime as dt
import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.local.athena import formats, grammar, results, worker
from millpond.local.athena import statements as s
from millpond.local.athena.catalog import compatible, described_column, hidden, pruning, s3_location
from millpond.local.athena.failures import MalformedQuery, QueryFailure, from_duckdb
from millpond.local.athena.parameters import bound
from millpond.local.athena.plans import with_path
from millpond.local.athena.queries import Queries, TableUse, final
from millpond.local.athena.scopes import Column
from millpond.local.athena.types import BIGINT, DOUBLE, Type, common, decimal, parse
from millpond.local.service import AwsError


@pytest.mark.parametrize(
    ("given", "trino", "duckdb", "hive"),
    [
        ("int", "integer", "INTEGER", "int"),
        ("array<struct<a:int,b:map<string,double>>>", "array(row(a integer, b map(varchar, double)))",
         'STRUCT("a" INTEGER, "b" MAP(VARCHAR, DOUBLE))[]', "array<struct<a:int,b:map<string,double>>>"),
        ("row(a integer, b varchar(3))", "row(a integer, b varchar(3))", 'STRUCT("a" INTEGER, "b" VARCHAR)',
         "struct<a:int,b:varchar(3)>"),
        ("row(integer, double precision)", "row(integer, double)", 'STRUCT("field0" INTEGER, "field1" DOUBLE)',
         "struct<field0:int,field1:double>"),
        ("decimal(10,2)", "decimal(10,2)", "DECIMAL(10,2)", "decimal(10,2)"),
        ("decimal(5)", "decimal(5,0)", "DECIMAL(5,0)", "decimal(5,0)"),
        ("timestamp(3) with time zone", "timestamp(3) with time zone", "TIMESTAMPTZ", "timestamp with time zone"),
        ("float", "real", "FLOAT", "float"),
        ("struct<`odd name`:string>", "row(odd name varchar)", 'STRUCT("odd name" VARCHAR)', "struct<odd name:string>"),
    ],
)  # fmt: skip
def test_types_are_read_and_written(given: str, trino: str, duckdb: str, hive: str) -> None:
    found = parse(given)
    assert (str(found), found.duckdb, found.hive) == (trino, duckdb, hive)


NO_TYPES = ["", "nonsense", "array<", "array<int", "map<int>", "int)", "struct<a>", "array<int>>", "uniontype<int>"]


@pytest.mark.parametrize("text", NO_TYPES)
def test_what_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(QueryFailure, match="Unknown type"):
        parse(text)


def test_common_types_are_trinos() -> None:
    assert common(decimal(3, 1), parse("bigint")) == decimal(20, 1)
    assert common(BIGINT, DOUBLE) == DOUBLE
    assert common(parse("varchar(3)"), parse("varchar")) == parse("varchar")
    assert common(parse("date"), parse("timestamp")) == parse("timestamp")
    assert common(parse("varchar"), BIGINT) is None
    assert common(parse("array(integer)"), parse("array(double)")) == parse("array(double)")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e7, "1.0E7"), (9999999.0, "9999999.0"),
     (0.001, "0.001"), (0.0001, "1.0E-4"), (123.456, "123.456"), (-0.0, "-0.0"),
     (100.0, "100.0"), (1.5e300, "1.5E300"), (5e-324, "4.9E-324"), (float("inf"), "Infinity"), (float("nan"), "NaN"),
     (1.2345678e7, "1.2345678E7"), (0.00123, "0.00123")],
)  # fmt: skip
def test_doubles_are_written_as_java_does(value: float, text: str) -> None:
    if value == 5e-324:
        text = "5.0E-324"  # the shortest digits, as Java writes since 19
    assert worker.double_text(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_reads_back(value: float) -> None:
    text = worker.double_text(value)
    assert text is not None and float(text) == value


@pytest.fixture(scope="module")
def engine() -> Any:
    return worker.opened()


@given(value=st.floats(), small=st.floats(width=32))
def test_sql_writes_numbers_as_python_does(engine: Any, value: float, small: float) -> None:
    found = engine.execute("SELECT trino_double_text(?::DOUBLE), trino_real_text(?::FLOAT)", [value, small]).fetchone()
    assert found == (worker.double_text(value), worker.real_text(small))


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_real_reads_back(value: float) -> None:
    text = worker.real_text(value)
    assert text is not None and struct.pack("f", float(text)) == struct.pack("f", value)


def test_nested_values_are_written_as_trino_does() -> None:
    of: dict[str, Any] = {"name": "row", "fields": ["a", "b"], "args": [
        {"name": "array", "args": [{"name": "decimal"}]},
        {"name": "map", "args": [{"name": "varchar"}, {"name": "timestamp"}]}]}  # fmt: skip
    value = {"a": [Decimal("1E+2"), None], "b": {"k": dt.datetime(2026, 1, 2, 3, 4, 5, 6000)}}
    assert worker.writer(of)(value) == "{a=[100, null], b={k=2026-01-02 03:04:05.006}}"
    assert worker.writer({"name": "varbinary"})(b"\x00\xff") == "00 ff"
    assert worker.writer({"name": "interval day to second"})(dt.timedelta(days=-1, hours=1)) == "-0 23:00:00.000"


VALUES = st.none() | st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.lists(VALUES, min_size=1, max_size=4), max_size=6), st.integers(1, 4))
def test_a_result_file_reads_back_in_pages(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str | None]], size: int
) -> None:
    path = tmp_path_factory.mktemp("r") / "r.csv"
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write("".join(worker.line(tuple(r), [str] * len(r)) for r in rows))
    found: list[list[str | None]] = []
    at = 0
    while True:
        page, token = results.page(path, at, size, csv=True)
        assert len(page) <= size
        found += [[c.get("VarCharValue") for c in r["Data"]] for r in page]
        if token is None:
            break
        at = results.place(token)
    assert found == rows


def test_a_malformed_token_is_refused() -> None:
    for token in ("x", "bm8=", results.token(-1)):
        with pytest.raises(AwsError, match="NextToken is malformed"):
            results.place(token)


def test_statements_are_told_apart() -> None:
    assert s.read("-- a comment\nselect 1 -- more") == s.Select(" " * 12 + "\nselect 1")
    assert isinstance(s.read("WITH x AS (SELECT 1) SELECT * FROM x;"), s.Select)
    assert s.read('DROP TABLE IF EXISTS `a`."b"') == s.Drop("TABLE", ("a", "b"), True)
    assert s.read("SHOW TABLES IN db 'x*'") == s.Show("TABLES", ("db",), "x*")
    assert s.read("DESC db.t") == s.Show("DESCRIBE", ("db", "t"))
    assert s.read("EXECUTE q USING 1, 'a,b', ARRAY[1,2]") == s.Execute("q", ("1", "'a,b'", "ARRAY[1,2]"))
    assert s.read("EXPLAIN SELECT 1") == s.Refused("EXPLAIN")
    made = s.read("CREATE TABLE a.b WITH (format='ORC', partitioned_by=ARRAY['x','y']) AS SELECT 1 AS x WITH NO DATA")
    assert isinstance(made, s.CreateTableAs)
    assert (made.name, made.data, made.query.strip()) == (("a", "b"), False, "SELECT 1 AS x")
    assert made.options == {"format": "ORC", "partitioned_by": ["x", "y"]}
    insert = s.read("INSERT INTO t (a, b) SELECT 1, 2")
    assert isinstance(insert, s.Insert) and insert.columns == ("a", "b")
    unload = s.read("UNLOAD (SELECT (1)) TO 's3://b/' WITH (format='PARQUET')")
    assert isinstance(unload, s.Unload) and unload.query.strip() == "SELECT (1)"


MALFORMED = [
    "", ";", "-- only", "DROP", "DROP TABLE", "CREATE VIEW v", "SHOW", "ALTER TABLE t ADD", "DESCRIBE", "GRANT x",
    "CREATE EXTERNAL TABLE t (a)", "CREATE EXTERNAL TABLE t (a int", "MSCK TABLE t", "DROP TABLE a.b.c.d",
    "INSERT t SELECT 1", "UNLOAD (SELECT 1", "EXECUTE",
]  # fmt: skip


@pytest.mark.parametrize("sql", MALFORMED)
def test_what_athena_does_not_read_is_malformed(sql: str) -> None:
    with pytest.raises(MalformedQuery):
        s.read(sql)


def test_places_survive_what_stands_before_a_query() -> None:
    found = s.read("CREATE VIEW v AS\n  SELECT nope")
    assert isinstance(found, s.CreateView) and found.query == " " * 16 + "\n  SELECT nope"


def test_parameters_are_bound_outside_quotes_only() -> None:
    assert bound("SELECT '?', ?, \"?\" -- ?", ["1"]).split() == ["SELECT", "'?',", "1", ",", '"?"', "--", "?"]
    assert bound("SELECT ? || ?", ["'a?b'", "DATE '2020-01-01'"]).split() == [
        "SELECT",
        "'a?b'",
        "||",
        "DATE",
        "'2020-01-01'",
    ]
    for bad in ("a", "1 OR true", "(SELECT 1)", "1; DROP TABLE x", "nope(1)", "1 FROM t", "'", "1, 2", ""):
        with pytest.raises(MalformedQuery):
            bound("SELECT ?", [bad])


def test_patterns_are_translated_or_refused() -> None:
    assert formats.mysql("%Y-%m-%d %H:%i:%s %%") == "%Y-%m-%d %H:%M:%S %%"
    assert formats.joda("yyyy-MM-dd'T'HH:mm''") == "%Y-%m-%dT%H:%M'"
    assert formats.replacement(r"[$1] \$ \\") == r"[\1] $ \\"
    assert formats.json_path("$.a['b c'][0].\"d\"") == '$."a"."b c"[0]."d"'
    for refuse, text in ((formats.joda, "GG"), (formats.json_path, "$..a"), (formats.json_path, "$.a[*]"),
                         (formats.replacement, "${n}"), (formats.directives, "%,d")):  # fmt: skip
        with pytest.raises(QueryFailure):
            refuse(text)


def test_duckdbs_words_do_not_leak() -> None:
    failure = from_duckdb("IOException", 'No files found that match the pattern "/home/me/x"', {})
    assert "/home/me" not in failure.reason and failure.code == "GENERIC_INTERNAL_ERROR"
    assert (
        from_duckdb("X", "Conversion Error: Could not convert string 'HIVE_BAD_DATA: no\x01' to INT32", {}).reason
        == "HIVE_BAD_DATA: no"
    )


def test_locations_files_and_partition_types() -> None:
    assert s3_location("s3://b/a/b/") == ("b", "a/b/") and s3_location("s3://b") == ("b", "")
    for bad in ("shop.crm.customers", "/etc", "file:///etc", "s3:///x", ""):
        with pytest.raises(QueryFailure):
            s3_location(bad)
    assert [hidden(k) for k in ("a/b", "_SUCCESS", "a/.x", "a/", "_x/a")] == [False, True, True, True, True]
    assert compatible("bigint", "int") and not compatible("int", "bigint") and not compatible("string", "bigint")


def test_the_sql_of_nested_json_is_as_long_as_its_schema() -> None:
    def length(depth: int) -> int:
        text = "int"
        for _ in range(depth):
            text = f"struct<{','.join(f'f{i}:string' for i in range(9))},inner:array<{text}>>"
        table = {"columns": [described_column("c", parse(text))], "options": {"serde": "json", "strict": True}}
        return sum(map(len, worker.json_lines(None, table, [])[1]))

    one, more = length(2) - length(1), length(9) - length(8)
    assert more < one * 1.2  # names of depth and the type's own text grow a little


def test_addresses_of_files_are_asked_for_where_they_are_read() -> None:
    def asked(sql: str) -> list[str]:
        columns = (Column("id", parse("int")), Column("$path", parse("string"), hidden=True))
        tables = {name: TableUse(f"t_{name}", columns, ("db", name)) for name in ("a", "b")}
        compiler = Queries(sql, "now", lambda parts, _: tables[parts[-1]], "db")
        return sorted(with_path(compiler, final(compiler.query(grammar.parse(sql), None))[0]))

    assert asked("SELECT * FROM a JOIN b ON a.id = b.id") == []
    assert asked("SELECT a.id FROM a, b WHERE b.\"$path\" LIKE '%x'") == ["t_b"]
    assert asked("WITH w AS (SELECT \"$PATH\" p, id FROM a) SELECT w.id FROM w WHERE p = 'x'") == ["t_a"]


def test_pruning_needs_every_use_to_be_restricted() -> None:
    use = TableUse("t0", (), ("db", "t"))
    use.conditions = [["day = '1'", "n > 3"], ["day = '2'"]]
    assert pruning(use) == "(day = '1' AND n > 3) OR (day = '2')"
    use.conditions.append([])
    assert pruning(use) == ""


def test_a_type_knows_athenas_name() -> None:
    assert [Type(n).athena for n in ("real", "unknown", "bigint")] == ["float", "varchar", "bigint"]
