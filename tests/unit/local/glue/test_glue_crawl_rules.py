"""Patterns, JDBC URLs and types, similarity: the rules of a crawl that need no files."""

from __future__ import annotations

import json
from unittest import mock

import pytest

from awsglue import _databases
from millpond.local.glue.crawl import grouping
from millpond.local.glue.crawl.changes import Tally
from millpond.local.glue.crawl.classify import Contents, Layout
from millpond.local.glue.crawl.entries import Crawl, jdbc_entry
from millpond.local.glue.crawl.grouping import File, group, similar, similarity
from millpond.local.glue.crawl.hive import Array, Column, Columns, Struct, spell, widen
from millpond.local.glue.crawl.names import collided, table_name
from millpond.local.glue.crawl.patterns import PatternError, RelationalPath, excluder, s3_path
from millpond.local.glue.jdbc import Column as DatabaseColumn
from millpond.local.glue.jdbc import JdbcError, Relation, mysql_type, parse_url, postgres_type, sqlite_type


@pytest.mark.parametrize(
    "pattern, path, expected",
    [
        ("*.csv", "a.csv", True),
        ("*.csv", "x/a.csv", False),
        ("**.csv", "x/y/a.csv", True),
        ("old/**", "old/x/y.csv", True),
        ("old/*", "old/x/y.csv", False),
        ("*/", "old/x.csv", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[a-c]x", "bx", True),
        ("[!a-c]x", "bx", False),
        ("[!a-c]x", "dx", True),
        ("{a,b}*.json", "b1.json", True),
        ("{a,b}*.json", "c1.json", False),
        ("a,b", "a,b", True),
        (r"\*.csv", "*.csv", True),
        (r"\*.csv", "a.csv", False),
        ("*.csv", ".csv", True),
        ("a.b", "axb", False),
        ("**", "anything/at/all", True),
    ],
)
def test_exclusions(pattern: str, path: str, expected: bool) -> None:
    assert excluder([pattern])(path) is expected


@pytest.mark.parametrize("pattern", ["{a", "[a", "a\\", "[z-a]x"])
def test_a_broken_exclusion_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        excluder([pattern])


def test_s3_paths() -> None:
    assert s3_path("s3://lake/a/b c/") == ("lake", "a/b c/")
    assert s3_path("s3://lake") == ("lake", "") and s3_path("lake/x") == ("lake", "x")
    for wrong in ("", "http://lake/x", "s3://", "s3:///x"):
        with pytest.raises(PatternError):
            s3_path(wrong)


def test_relational_paths() -> None:
    everything = RelationalPath.parse("shop/%", schemas=True)
    assert everything.fits(("crm", "customers")) and everything.relative(("crm", "customers")) == "crm/customers"
    schema = RelationalPath.parse("shop/crm/%", schemas=True)
    assert schema.fits(("crm", "x")) and not schema.fits(("sales", "x")) and not schema.fits(("CRM", "x"))
    assert schema.relative(("crm", "x")) == "x"
    some = RelationalPath.parse("shop/crm/cust%", schemas=True)
    assert some.fits(("crm", "customers")) and not some.fits(("crm", "orders"))
    assert RelationalPath.parse("shop/t", schemas=False).fits(("t",))
    for wrong in ("%/x", "", "a/b/c/d"):
        with pytest.raises(PatternError):
            RelationalPath.parse(wrong, schemas=True)


@pytest.mark.parametrize(
    "raw, expected",
    [
        ("integer", "int"),
        ("character varying(80)", "string"),
        ("numeric(10,2)", "decimal(10,2)"),
        ("numeric", "decimal(38,18)"),
        ("numeric(50,2)", "decimal(38,2)"),
        ("timestamp(3) without time zone", "timestamp"),
        ("timestamp with time zone", "timestamp"),
        ("time without time zone", "string"),
        ("integer[]", "array<int>"),
        ("numeric(5,1)[]", "array<decimal(5,1)>"),
        ("bit(1)", "boolean"),
        ("bit(8)", "string"),
        ("double precision", "double"),
        ("jsonb", "string"),
        ("bytea", "binary"),
    ],
)
def test_types_of_postgresql(raw: str, expected: str) -> None:
    assert postgres_type(raw) == expected


@pytest.mark.parametrize(
    "raw, expected",
    [
        ("int", "int"),
        ("int unsigned", "bigint"),
        ("bigint unsigned", "decimal(20,0)"),
        ("tinyint(1)", "boolean"),
        ("decimal(10,2)", "decimal(10,2)"),
        ("varchar(20)", "string"),
        ("datetime(6)", "timestamp"),
        ("enum('a','b')", "string"),
        ("longblob", "binary"),
        ("json", "string"),
    ],
)
def test_types_of_mysql(raw: str, expected: str) -> None:
    assert mysql_type(raw) == expected


@pytest.mark.parametrize(
    "raw, expected",
    [
        ("INTEGER", "bigint"),
        ("VARCHAR(20)", "string"),
        ("", "string"),
        ("DECIMAL(10,2)", "decimal(10,2)"),
        ("NUMERIC", "decimal(38,18)"),
        ("DATETIME", "timestamp"),
        ("DATE", "date"),
        ("BOOLEAN", "boolean"),
        ("DOUBLE PRECISION", "double"),
        ("BLOB", "binary"),
    ],
)
def test_types_of_sqlite(raw: str, expected: str) -> None:
    assert sqlite_type(raw) == expected


@pytest.mark.parametrize(
    "url, engine, place, database",
    [
        ("jdbc:postgresql://db.local:5433/shop?ssl=true", "postgresql", "db.local:5433", "shop"),
        ("jdbc:mysql://h/shop", "mysql", "h:3306", "shop"),
        ("jdbc:mariadb://h:3307/shop?useSSL=false", "mysql", "h:3307", "shop"),
        ("jdbc:postgresql://[::1]:5432/shop", "postgresql", "::1:5432", "shop"),
        ("jdbc:sqlite:/data/shop.db", "sqlite", "/data/shop.db", "shop"),
    ],
)
def test_jdbc_urls(url: str, engine: str, place: str, database: str) -> None:
    found = parse_url(url)
    assert (found.engine, found.place, found.database) == (engine, place, database)


@pytest.mark.parametrize(
    "url, place, database",
    [
        ("jdbc:sqlserver://h:1433;databaseName=shop;encrypt=true", "h:1433", "shop"),
        ("jdbc:sqlserver://h:1433/shop", "h:1433", "shop"),
        ("jdbc:oracle:thin:@//h:1521/svc", "h:1521", "svc"),
        ("jdbc:oracle:thin://@h:1521/svc", "h:1521", "svc"),
        ("jdbc:oracle:thin:@h:1521:SID", "h:1521", "SID"),
        ("jdbc:redshift://h/dev", "h:5439", "dev"),
    ],
)
def test_urls_of_engines_that_need_a_driver(url: str, place: str, database: str) -> None:
    found = _databases.parse_url(url)
    assert (found.place, found.database, found.carried) == (place, database, False)
    with pytest.raises(JdbcError, match=f"engine {found.engine} is not carried"):
        parse_url(url)


@pytest.mark.parametrize(
    "url",
    ["postgresql://h/db", "jdbc:postgresql://h:99999/db", "", "jdbc:sqlite:shop.db", "jdbc:postgresql:shop", "jdbc:x"],
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(JdbcError):
        parse_url(url)


def test_no_password_is_shown() -> None:
    target = parse_url("jdbc:postgresql://h:1/d", user="u", password="hunter/2")
    said = target.error(OSError("bad hunter/2 in postgresql://u:hunter%2F2@h"))
    assert "hunter" not in f"{target} {target!r} {said}" and "h:1: bad ***" in str(said)
    assert str(target.error(Exception(1045, "Access\n denied"))) == "h:1: Access denied (1045)"
    assert "sslmode=require" in parse_url("jdbc:postgresql://h/d", user="u", ssl=True).uri()


def columns(**types: str) -> Columns:
    return tuple(Column(name, kind, name) for name, kind in types.items())


def test_similarity_is_the_share_of_common_columns() -> None:
    one, other = columns(a="int", b="string", c="double"), columns(a="int", b="string", d="double")
    assert similarity(one, other) == 0.5 and not similar([one, other])
    assert similarity(one, columns(a="bigint", b="?", c="double")) == 1.0
    assert similarity(one, columns(a="int", b="string", c="string")) == 0.5
    assert similar([columns(a="int", b="int", c="int", d="int"), columns(a="int", b="int", c="int")])
    seven, ten = columns(**dict.fromkeys("abcdefg", "int")), columns(**dict.fromkeys("abcdefghij", "int"))
    assert similarity(seven, ten) == 0.7 and not similar([seven, ten])  # greater than, not equal


def test_more_than_five_schemas_are_not_similar() -> None:
    same = {f"c{n}": "int" for n in range(30)}
    assert similar([columns(**same, **{f"x{n}": "int"}) for n in range(5)])
    assert not similar([columns(**same, **{f"x{n}": "int"}) for n in range(6)])


def test_types_widen() -> None:
    assert widen("int", "bigint") == "bigint" and widen("bigint", "double") == "double"
    assert widen("int", "string") == "string" and widen("?", "int") == "int" and widen("date", "int") == "string"
    merged = widen(Struct((("a", "int"),)), Struct((("a", "double"), ("b", Array("?")))))
    assert spell(merged) == "struct<a:double,b:array<string>>"
    assert widen(Array("int"), "string") == "string"


def test_names() -> None:
    assert table_name("raw_", "Order Items-2024.csv") == "raw_order_items_2024_csv"
    assert len(table_name("p" * 100, "x" * 100)) == 128
    assert len(collided("x" * 128, "s3://a/b/")) == 128 and collided("t", "s3://a/") == collided("t", "s3://a/")


def test_the_entry_of_a_view_with_a_schema() -> None:
    """The real entry of the specification, section 8, which was crawled from SQL Server."""
    view = Relation("Schema", "Table", "view", (DatabaseColumn("row_id", "int", "int"),))
    crawl = Crawl("jdbc", "run")
    entry = jdbc_entry(
        view, name="jdbc_table", database="Database", engine="sqlserver", connection="jdbctest", crawl=crawl, extra=()
    )
    parameters = {
        "CrawlerSchemaDeserializerVersion": "1.0",
        "CrawlerSchemaSerializerVersion": "1.0",
        "UPDATED_BY_CRAWLER": "jdbc",
        "classification": "sqlserver",
        "compressionType": "none",
        "connectionName": "jdbctest",
        "typeOfData": "view",
    }
    assert entry.table == {
        "Name": "jdbc_table",
        "Owner": "owner",
        "Retention": 0,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [],
        "StorageDescriptor": {
            "Columns": [{"Name": "row_id", "Type": "int"}],
            "Location": "Database.Schema.Table",
            "Compressed": False,
            "NumberOfBuckets": -1,
            "SerdeInfo": {"Parameters": {}},
            "BucketColumns": [],
            "SortColumns": [],
            "StoredAsSubDirectories": False,
            "Parameters": parameters,
        },
        "Parameters": parameters,
    }


def test_a_tally_counts_every_table_and_names_the_first() -> None:
    tally = Tally()
    for n in range(50):
        tally.table("ADD", f"t{n}")
    tally.table("DELETE", "gone")
    tally.partitions["ADD"] += 7
    again = Tally.read(json.loads(json.dumps(tally.document())))
    assert again == tally and (again.count("ADD"), again.count("DELETE"), again.count("ADD", "DELETE")) == (50, 1, 51)
    assert len(json.dumps(tally.document())) < 500


def test_the_time_of_many_schemas_in_one_folder_does_not_explode() -> None:
    """Every file another schema: each is a table, and is held against a few others, not against all."""
    layout = Layout("json")
    files = [
        File(f"t/{n}.json", 1, Contents(layout, tuple(Column(f"c{n}_{m}", "int") for m in range(9)), 1, 1))
        for n in range(2000)
    ]
    with mock.patch.object(grouping, "similarity", wraps=similarity) as compared:
        assert len(group(files, "t/")) == 2000
    assert compared.call_count < 50 * len(files)
