"""MySQL, MariaDB and SQLite: connections, crawls, and jobs that read and write them, against real servers."""

from __future__ import annotations

import json
import socket
import sqlite3
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

sys.path.insert(0, str(Path(__file__).parent))
from glue_jobs import BOOKMARK, Workshop
from mariadb_server import MariaDb, binaries, running

from millpond import runtime
from millpond.cli import run

Aws = Callable[[str], Any]


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    if binaries() is None:
        warnings.warn("mariadbd is absent (Debian: mariadb-server-core): tests on MariaDB are skipped", stacklevel=1)
        pytest.skip("mariadbd is absent")
    with running() as server:
        server.execute("CREATE DATABASE shop")
        server.execute(
            """CREATE TABLE types (
                id int unsigned PRIMARY KEY COMMENT 'the key', ok tinyint(1), one bit(1), bits bit(9),
                big bigint unsigned, amount decimal(12,2), ratio double, f float, name varchar(20),
                kind enum('a','b'), doc json, day date, at datetime(6), stamp timestamp NULL, y year, raw varbinary(9),
                tm time, small smallint, body text) COMMENT 'all of them'""",
            """INSERT INTO types VALUES (1, 1, b'1', b'101', 18446744073709551615, 12.34, 2.5, 1.5, 'ä,"',
                'a', '{"x":1}', '2024-02-29', '2024-02-29 12:00:00.123456', '2024-02-29 12:00:00', 2024, x'00ff',
                '10:11:12', -5, 'long')""",
            "INSERT INTO types (id) VALUES (2)",
            "CREATE VIEW named AS SELECT id, name FROM types",
            "CREATE TABLE orders (id int PRIMARY KEY, day varchar(10), n int)",
            "CREATE TABLE many AS SELECT seq AS id, nullif(seq % 10, 0) AS ten, md5(seq) AS ref FROM seq_1_to_5000",
            database="shop",
        )
        yield server


@pytest.fixture(scope="module")
def connected(aws: Aws, mariadb: MariaDb) -> MariaDb:
    """The Glue connection `maria`, with a secret."""
    secret = {"username": mariadb.user, "password": mariadb.password}
    aws("secretsmanager").create_secret(Name="maria", SecretString=json.dumps(secret))
    connection(aws, "maria", mariadb.jdbc_url("shop", "mariadb"), SECRET_ID="maria")
    return mariadb


def connection(aws: Aws, name: str, url: str, **properties: str) -> None:
    given = {"JDBC_CONNECTION_URL": url, **properties}
    aws("glue").create_connection(
        ConnectionInput={"Name": name, "ConnectionType": "JDBC", "ConnectionProperties": given}
    )


def refusal(aws: Aws, name: str) -> str:
    with pytest.raises(ClientError) as caught:
        aws("glue").test_connection(ConnectionName=name)
    error = caught.value.response["Error"]
    assert error["Code"] == "InvalidInputException"
    return str(error["Message"])


def test_connections_to_mariadb(aws: Aws, connected: MariaDb) -> None:
    aws("glue").test_connection(ConnectionName="maria")
    who = {"USERNAME": connected.user, "PASSWORD": connected.password}
    connection(aws, "plain", connected.jdbc_url("shop"), **who)
    aws("glue").test_connection(ConnectionName="plain")
    place = f"127.0.0.1:{connected.port}"
    connection(aws, "wrong", connected.jdbc_url("shop"), USERNAME="tester", PASSWORD="hunter2-wrong")
    said = refusal(aws, "wrong")
    assert place in said and "Access denied for user 'tester'" in said and "hunter2" not in said
    connection(aws, "none", connected.jdbc_url("nothing"), **who)
    assert f"{place}: Unknown database 'nothing'" in refusal(aws, "none")
    connection(aws, "tls", connected.jdbc_url("shop"), JDBC_ENFORCE_SSL="true", **who)
    assert "SSL is required" in refusal(aws, "tls")  # this server has no certificate


def test_connections_to_sqlite(aws: Aws, tmp_path: Path) -> None:
    file = tmp_path / "shop one.db"
    connection(aws, "gone", f"jdbc:sqlite:{file}")
    assert f"{file}: unable to open database file" in refusal(aws, "gone") and not file.exists()
    sqlite3.connect(file).execute("CREATE TABLE t (a)").connection.close()
    aws("glue").test_connection(ConnectionName="gone")
    file.write_bytes(b"this is no database, whatever its name says" * 20)
    assert "file is not a database" in refusal(aws, "gone")


def crawled(aws: Aws, name: str, connection_name: str, path: str, **target: Any) -> dict[str, dict[str, Any]]:
    """Crawl into a database of the same name; the tables by name."""
    glue = aws("glue")
    glue.create_database(DatabaseInput={"Name": name})
    wanted = {"JdbcTargets": [{"ConnectionName": connection_name, "Path": path, **target}]}
    glue.create_crawler(Name=name, Role="arn:aws:iam::000000000000:role/glue", DatabaseName=name, Targets=wanted)
    glue.start_crawler(Name=name)
    until = time.monotonic() + 120
    while (found := glue.get_crawler(Name=name)["Crawler"])["State"] != "READY":
        assert time.monotonic() < until
        time.sleep(0.05)
    assert found["LastCrawl"]["Status"] == "SUCCEEDED", found["LastCrawl"]
    return {table["Name"]: table for table in glue.get_tables(DatabaseName=name)["TableList"]}


def columns_of(table: dict[str, Any]) -> dict[str, str]:
    return {one["Name"]: one["Type"] for one in table["StorageDescriptor"]["Columns"]}


def test_a_crawl_of_mariadb(aws: Aws, connected: MariaDb) -> None:
    tables = crawled(aws, "maria_lake", "maria", "shop/%", Exclusions=["many", "made"])
    assert {"shop_types", "shop_named", "shop_orders"} <= set(tables) and "shop_many" not in tables
    assert columns_of(tables["shop_types"]) == {
        **{"id": "bigint", "ok": "boolean", "one": "boolean", "bits": "bigint", "big": "decimal(20,0)"},
        **{"amount": "decimal(12,2)", "ratio": "double", "f": "float", "name": "string", "kind": "string"},
        **{"doc": "string", "day": "date", "at": "timestamp", "stamp": "timestamp", "y": "int", "raw": "binary"},
        **{"tm": "string", "small": "smallint", "body": "string"},
    }
    parameters = tables["shop_named"]["Parameters"]
    assert parameters["classification"] == "mysql" and parameters["typeOfData"] == "view"
    assert tables["shop_types"]["StorageDescriptor"]["Location"] == "shop.types"


def test_a_crawl_of_another_database_of_the_server(aws: Aws, connected: MariaDb) -> None:
    connected.execute("CREATE DATABASE IF NOT EXISTS other", "CREATE TABLE IF NOT EXISTS other.t (id int COMMENT 'k')")
    target = {"EnableAdditionalMetadata": ["COMMENTS", "RAWTYPES"]}
    tables = crawled(aws, "maria_other", "maria", "other/%", **target)
    assert list(tables) == ["other_t"]
    storage = tables["other_t"]["StorageDescriptor"]
    assert storage["Location"] == "other.t"
    assert storage["Columns"] == [{"Name": "id", "Type": "int", "Comment": "k", "Parameters": {"rawType": "int(11)"}}]


def test_a_crawl_of_sqlite(aws: Aws, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "lite.db")) as db:
        db.execute("CREATE TABLE Orders (id INTEGER PRIMARY KEY, amount DECIMAL(8,2), day DATE, note)")
        db.commit()
    connection(aws, "lite-crawl", f"jdbc:sqlite:{tmp_path / 'lite.db'}")
    tables = crawled(aws, "lite_lake", "lite-crawl", "lite/%")
    assert columns_of(tables["lite_orders"]) == {
        "id": "bigint",
        "amount": "decimal(8,2)",
        "day": "date",
        "note": "string",
    }
    assert tables["lite_orders"]["StorageDescriptor"]["Location"] == "lite.Orders"


# ---- jobs


@pytest.fixture(scope="module")
def shop(aws: Aws) -> Workshop:
    runtime.install("5.1", print)
    return Workshop(aws, "relational").open()


JOB = """
import json
from pyspark.sql import functions as f
args = getResolvedOptions(sys.argv, ["JOB_NAME", "url", "user", "secret", "file", "closed"])
given = {"url": args["url"], "user": args["user"], "password": args["secret"]}
lite = {"url": "jdbc:sqlite:" + args["file"]}

def read(kind, **options):
    return glue.create_dynamic_frame.from_options(kind, options)

def show(name, value):
    print(name + "=" + json.dumps(value, default=str))

def refused(name, do):
    try:
        do()
        show(name, "no error")
    except Exception as error:
        show(name, f"{type(error).__name__}: {error}")

types = read("mysql", dbtable="types", **given).toDF()
show("schema", {one.name: one.dataType.simpleString() for one in types.schema})
row = types.where("id = 1").first().asDict()
show("row", {**row, "raw": row["raw"].hex()})
show("nulls", [name for name, value in types.where("id = 2").first().asDict().items() if value is not None])

catalog = glue.create_dynamic_frame.from_catalog(database="maria_jobs", table_name="shop_many",
    additional_options={"hashfield": "ref", "hashpartitions": "3"}).toDF()
show("hashfield", [catalog.count(), catalog.select("id").distinct().count()])
for name, options in {
    "hashexpression": {"dbtable": "many", "hashexpression": "ten", "hashpartitions": 4},
    "query": {"dbtable": "(select id from many where id <= 7) as few"},
    "sampleQuery": {"dbtable": "many", "sampleQuery": "select id from many where id <= 9;"},
    "partitioned": {"dbtable": "many", "sampleQuery": "select id from many where id <= 90 and", "hashfield": "id",
        "enablePartitioningForSampleQuery": True},
    "sampleSize": {"dbtable": "many", "sampleQuery": "select id from many where", "hashexpression": "id",
        "enablePartitioningForSampleQuery": True, "sampleSize": 5},
}.items():
    show(name, read("mariadb", **given, **options).count())

rows = spark.sql('''SELECT * FROM VALUES
    (1, "it's \\\\\\\\ 'quoted'", 1.50BD, date'2024-01-01', timestamp'2024-01-01 10:00:00.5', true, X'00ff'),
    (2, '', 2.25BD, null, null, false, null), (3, null, null, null, null, null, null)
    AS t(id, Name, amount, day, at, ok, raw)''')
frame = DynamicFrame.fromDF(rows, glue, "rows")
glue.write_dynamic_frame.from_jdbc_conf(frame, "maria", {"dbtable": "made", "database": "shop", "bulkSize": 2})
glue.write_dynamic_frame.from_options(frame, "mysql", {**given, "dbtable": "shop.made"})
made = read("mysql", dbtable="made", **given).toDF()
some = made.where("id < 3").select("id", "Name", "amount", "day", "at", "ok").distinct()
show("made", sorted(map(str, some.collect())))
show("kinds", dict(made.dtypes))
named = frame.select_fields(["id", "Name"])
glue.write_dynamic_frame.from_catalog(named, database="maria_jobs", table_name="shop_made")

def write(frame, table):
    glue.write_dynamic_frame.from_jdbc_conf(frame, "maria", {"dbtable": table, "database": "shop"})

refused("column", lambda: write(frame, "many"))
bad = DynamicFrame.fromDF(spark.createDataFrame([(5, "a"), (1, "b")], "id int, name string"), glue, "bad")
refused("duplicate", lambda: write(bad, "types"))
refused("table", lambda: read("mysql", dbtable="nothing", **given))
refused("denied", lambda: read("mysql", dbtable="types", **{**given, "password": "hunter2"}))
refused("closed", lambda: read("mysql", dbtable="types", **{**given, "url": args["closed"]}))
who = {"user": "u", "password": "hunter2", "dbtable": "t"}
refused("driver", lambda: read("sqlserver", url="jdbc:sqlserver://h:1433;databaseName=d", **who))
refused("redshift", lambda: read("redshift", url="jdbc:redshift://h:5439/d", **who))
refused("options", lambda: read("mysql", dbtable="t"))
refused("ends", lambda: read("mysql", sampleQuery="select 1", enablePartitioningForSampleQuery="true", **given))

few = read("sqlite", dbtable="Orders", **lite).toDF()
show("lite", [dict(few.dtypes), sorted(map(str, few.collect()))])
halves = [{"hashfield": field, "hashpartitions": 2} for field in ("id", "note")]
show("lite hash", [read("sqlite", dbtable="Orders", **half, **lite).count() for half in halves])
glue.write_dynamic_frame.from_options(frame, "sqlite", {**lite, "dbtable": "made"})
back = read("sqlite", dbtable="made", **lite).toDF()
show("lite back", [back.count(), back.where("id = 1").first().asDict()["at"], dict(back.dtypes)])
refused("lite type", lambda: read("sqlite", dbtable="loose", **lite))
# Spark's own JDBC source, for which AWS ships drivers
raw = spark.read.format("jdbc").options(**given, driver="com.mysql.cj.jdbc.Driver")
show("raw", raw.option("dbtable", "(select id from many where id < 4) t").load().count())
properties = {"user": args["user"], "password": args["secret"]}
halves = spark.read.jdbc(args["url"], "many", predicates=["id <= 2500", "id > 2500"], properties=properties)
show("raw predicates", [halves.count(), halves.rdd.getNumPartitions() > 0])
parts = spark.read.jdbc(args["url"], "many", "id", 1, 5000, 4, properties=properties)
show("raw partitions", parts.count())
show("raw query", spark.read.format("jdbc").option("query", "select 1 as one").options(**lite).load().first().one)
few = spark.createDataFrame([(1, "x"), (2, "y")], "id int, v string")
for mode in ("overwrite", "append", "overwrite", "ignore"):
    few.write.mode(mode).jdbc(args["url"], "raw_made", properties=properties)
few.write.format("jdbc").options(**lite, dbtable="raw_made").save()
one = few.limit(1).write.format("jdbc").options(**lite, dbtable="raw_made")
one.option("truncate", "true").mode("overwrite").save()
show("raw written", [spark.read.jdbc(args["url"], "raw_made", properties=properties).count(),
    spark.read.format("jdbc").options(**lite, dbtable="raw_made").load().count()])
refused("raw again", lambda: few.write.jdbc(args["url"], "raw_made", properties=properties))
refused("raw driver", lambda: spark.read.format("jdbc").options(url="jdbc:oracle:thin:@//h:1521/s", **who).load())
refused("raw option", lambda: raw.option("customSchema", "id STRING").load())
custom = {"url": args["url"], "userName": args["user"], "password": args["secret"], "dbTable": "many"}
show("custom", read("custom.jdbc", **custom).count())
conf = glue.extract_jdbc_conf("maria")
place = "jdbc:mariadb://" + args["url"].split("/")[2]
show("conf", {**conf, "password": conf["password"] == args["secret"], "url": conf["url"] == place})
"""


@pytest.fixture(scope="module")
def told(aws: Aws, shop: Workshop, connected: MariaDb, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What JOB says: one run for all of it."""
    file = tmp_path_factory.mktemp("lite") / "lite.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute(
            "CREATE TABLE Orders (id INTEGER PRIMARY KEY, amount DECIMAL(8,2), at TIMESTAMP, ok BOOLEAN, note TEXT)"
        )
        db.execute("INSERT INTO Orders VALUES (1, 1.5, '2024-01-01 10:00:00', 1, 'a'), (2, NULL, NULL, NULL, NULL)")
        db.execute("CREATE TABLE loose (id INTEGER)")
        db.execute("INSERT INTO loose VALUES ('many')")
        db.commit()
    crawled(aws, "maria_jobs", "maria", "shop/%")
    storage = {"Columns": [{"Name": "id", "Type": "int"}], "Location": "shop.made"}
    parameters = {"classification": "mysql", "connectionName": "maria"}
    table = {"Name": "shop_made", "Parameters": parameters, "StorageDescriptor": storage}
    aws("glue").create_table(DatabaseName="maria_jobs", TableInput=table)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: refused
        closed = f"jdbc:mysql://127.0.0.1:{unused.getsockname()[1]}/shop"
        arguments = {
            **{"--url": connected.jdbc_url("shop"), "--user": connected.user, "--secret": connected.password},
            **{"--file": str(file), "--closed": closed},
        }
        shop.job("relational", JOB, DefaultArguments=arguments)
        out = shop.succeed("relational")
    return {
        name: json.loads(value)
        for name, sign, value in (line.partition("=") for line in out.splitlines())
        if sign and not name.startswith("millpond")
    }


@pytest.mark.spark
@pytest.mark.slow
def test_types_of_mariadb(told: dict[str, Any]) -> None:
    assert told["schema"] == {
        **{"id": "bigint", "ok": "boolean", "one": "boolean", "bits": "bigint", "big": "decimal(20,0)"},
        **{"amount": "decimal(12,2)", "ratio": "double", "f": "float", "name": "string", "kind": "string"},
        **{"doc": "string", "day": "date", "at": "timestamp", "stamp": "timestamp", "y": "int", "raw": "binary"},
        **{"tm": "string", "small": "smallint", "body": "string"},
    }
    assert told["row"] == {
        **{"id": 1, "ok": True, "one": True, "bits": 5, "big": "18446744073709551615", "amount": "12.34"},
        **{"ratio": 2.5, "f": 1.5, "name": 'ä,"', "kind": "a", "doc": '{"x":1}', "day": "2024-02-29"},
        **{"at": "2024-02-29 12:00:00.123456", "stamp": "2024-02-29 12:00:00", "y": 2024, "raw": "00ff"},
        **{"tm": "10:11:12", "small": -5, "body": "long"},
    }
    assert told["nulls"] == ["id"]


@pytest.mark.spark
@pytest.mark.slow
def test_parallel_reads_and_queries(told: dict[str, Any]) -> None:
    assert told["hashfield"] == [5000, 5000]
    names = ("hashexpression", "query", "sampleQuery", "partitioned", "sampleSize")
    assert [told[name] for name in names] == [5000, 7, 9, 90, 5]


@pytest.mark.spark
@pytest.mark.slow
def test_writes_to_mariadb(told: dict[str, Any], connected: MariaDb) -> None:
    assert told["made"] == [
        "Row(id=1, Name=\"it's \\\\ 'quoted'\", amount=Decimal('1.50'), day=datetime.date(2024, 1, 1),"
        " at=datetime.datetime(2024, 1, 1, 10, 0, 0, 500000), ok=True)",
        "Row(id=2, Name='', amount=Decimal('2.25'), day=None, at=None, ok=False)",
    ]
    assert told["kinds"]["ok"] == "boolean" and told["kinds"]["raw"] == "binary"
    assert connected.execute("SELECT count(*), hex(max(raw)) FROM made", database="shop") == [(9, "00FF")]
    assert "JdbcError" not in told["column"] and "has no column Name, amount" in told["column"]
    assert "Duplicate entry '1'" in told["duplicate"]
    assert connected.execute("SELECT count(*) FROM types WHERE id = 5", database="shop") == [(0,)]


@pytest.mark.spark
@pytest.mark.slow
def test_errors_name_place_and_reason_and_no_password(told: dict[str, Any], connected: MariaDb) -> None:
    place = f"JdbcError: 127.0.0.1:{connected.port}: "
    assert told["table"].startswith(f"{place}Table 'shop.nothing' doesn't exist")
    assert told["denied"].startswith(f"{place}Access denied for user 'tester'")
    assert "Connection refused" in told["closed"] and told["closed"].startswith("JdbcError: 127.0.0.1:")
    assert "sqlserver at h:1433 needs its JDBC driver" in told["driver"] and "--extra-jars" in told["driver"]
    assert told["redshift"] == "NotImplementedError: Redshift is not carried"
    assert told["options"] == "ValueError: connection_options lack url" and "must end with where or and" in told["ends"]
    assert not [value for value in told.values() if "hunter2" in str(value) or connected.password in str(value)]
    assert told["conf"]["password"] is True and told["conf"]["url"] is True
    assert told["conf"]["vendor"] == "mariadb" and told["conf"]["enforceSSL"] == "false"


@pytest.mark.spark
@pytest.mark.slow
def test_sparks_own_jdbc_source_without_a_driver(told: dict[str, Any], connected: MariaDb) -> None:
    assert told["raw"] == 3 and told["raw predicates"] == [5000, True] and told["raw partitions"] == 5000
    assert told["raw query"] == 1 and told["raw written"] == [2, 1] and told["custom"] == 5000
    assert "table raw_made is there already, and the mode of the write is error" in told["raw again"]
    assert "oracle at h:1521 needs its JDBC driver (oracle.jdbc.OracleDriver)" in told["raw driver"]
    assert "customschema of Spark's JDBC source needs the driver" in told["raw option"]
    assert connected.execute("SELECT id, v FROM raw_made", database="shop") == [(1, "x"), (2, "y")]


@pytest.mark.spark
@pytest.mark.slow
def test_sqlite_both_ways(told: dict[str, Any]) -> None:
    kinds, rows = told["lite"]
    assert kinds == {"id": "bigint", "amount": "decimal(8,2)", "at": "timestamp", "ok": "boolean", "note": "string"}
    assert rows[0].startswith("Row(id=1, amount=Decimal('1.50'), at=datetime.datetime(2024, 1, 1, 10, 0), ok=True")
    assert rows[1] == "Row(id=2, amount=None, at=None, ok=None, note=None)" and told["lite hash"] == [2, 2]
    count, at, back = told["lite back"]
    assert (count, at) == (3, "2024-01-01 10:00:00.500000") and back["ok"] == "boolean" and back["day"] == "date"
    assert "column id has a value that is not int64" in told["lite type"] and "lite.db: " in told["lite type"]


# ---- bookmarks


ORDERS = """
source = glue.create_dynamic_frame.from_catalog(database="maria_jobs", table_name="shop_orders",
    transformation_ctx="orders", additional_options={"jobBookmarkKeys": ["day", "id"]})
files = glue.create_dynamic_frame.from_options("s3", {"paths": ["s3://relational/in/"]}, "json",
    transformation_ctx="files")
print("orders", sorted(row.id for row in source.toDF().collect()), "files", files.count())
glue.write_dynamic_frame.from_options(source, "s3", connection_options={"path": "s3://relational/out/"}, format="json")
if "--no-commit" not in sys.argv:
    job.commit()
"""


@pytest.mark.spark
@pytest.mark.slow
def test_bookmarks_by_the_command_line(
    aws: Aws, shop: Workshop, told: dict[str, Any], connected: MariaDb, endpoint: Any, capsys: Any
) -> None:
    def millpond(*words: str) -> str:
        code = run(["bookmark", *words, "--data", str(endpoint.data)])
        said = capsys.readouterr()
        assert code == (3 if said.err else 0)
        return str(said.out + said.err)

    (endpoint.data / "endpoint.json").write_text(json.dumps({"pid": 0, "port": endpoint.port, "started": 0}))
    shop.job("orders", ORDERS, DefaultArguments=BOOKMARK, ExecutionProperty={"MaxConcurrentRuns": 2})
    assert "Continuation for job orders not found" in millpond("show", "orders")
    connected.execute("INSERT INTO orders VALUES (7, '2024-01-01', 1), (3, '2024-01-02', 1)", database="shop")
    shop.put("in/a.json", '{"a": 1}\n')
    first = shop.run("orders")
    assert "orders [3, 7] files 1" in shop.log(first["Id"])
    assert "bookmarks need MaxConcurrentRuns 1" in shop.log(first["Id"]) + shop.log(first["Id"], "error")
    assert f"up to day = 2024-01-02, id = 3 (asc)\nrewind to: {first['Id']}" in millpond("show", "orders")
    assert "0 rows of `orders`" in millpond("dry-run", "orders")

    connected.execute("INSERT INTO orders VALUES (4, '2024-01-02', 1), (1, '2024-01-03', 1)", database="shop")
    shop.put("in/b c.json", '{"a": 2}\n')
    said = millpond("dry-run", "orders")
    assert "orders: 2 rows of `orders`" in said and "files: 1 files" in said and "/in/b c.json" in said
    lost = shop.run("orders", Arguments={"--no-commit": "1"})
    assert "ends without job.commit()" in shop.log(lost["Id"], "error")
    assert "orders [1, 4] files 1" in shop.succeed("orders")
    millpond("rewind", "orders", first["Id"])
    assert "knows no source" in millpond("dry-run", "orders")  # the first run began with nothing
    assert "orders [1, 3, 4, 7] files 2" in shop.succeed("orders")
    millpond("reset", "orders")
    assert "knows no source" in millpond("dry-run", "orders")
    assert "orders [1, 3, 4, 7] files 2" in shop.succeed("orders")


class Cut:
    """A proxy before a database that cuts the connection after so many bytes of its answers."""

    def __init__(self, port: int, after: int) -> None:
        self.upstream, self.after, self.listener = port, after, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.upstream))
            threading.Thread(target=self._pump, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, self.after), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, left: int | None) -> None:
        try:
            while data := source.recv(4096):
                sink.sendall(data)
                left = None if left is None else left - len(data)
                if left is not None and left < 0:
                    break
        except OSError:
            pass
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@pytest.mark.spark
@pytest.mark.slow
def test_a_database_that_goes_away_mid_read(
    aws: Aws, shop: Workshop, told: dict[str, Any], connected: MariaDb, postgres: Any
) -> None:
    """A clear error, nothing visible, the bookmark unmoved; the next run reads all of it."""
    postgres.server.execute(
        postgres.name, "CREATE TABLE many AS SELECT g AS id, md5(g::text) AS ref FROM generate_series(1, 300000) g"
    )
    connected.execute("CREATE TABLE lots AS SELECT seq AS id, md5(seq) AS ref FROM seq_1_to_50000", database="shop")
    for engine, server, table, database, count in (
        ("postgresql", postgres, "many", postgres.name, 300_000),  # large enough for several connections
        ("mysql", connected, "lots", "shop", 50_000),
    ):
        name, cut = f"cut-{engine}", Cut(server.port, 400_000)
        url = f"jdbc:{engine}://127.0.0.1:{cut.port}/{database}"
        connection(aws, name, url, USERNAME=server.user, PASSWORD=server.password)
        shop.job(
            name,
            f"""
            rows = glue.create_dynamic_frame.from_options("{engine}",
                {{"useConnectionProperties": "true", "connectionName": "{name}", "dbtable": "{table}",
                  "jobBookmarkKeys": ["id"]}}, transformation_ctx="rows")
            print("rows", rows.count(), rows.toDF().select("id").distinct().count())
            path = {{"path": "s3://relational/{name}/"}}
            glue.write_dynamic_frame.from_options(rows, "s3", connection_options=path, format="parquet")
            job.commit()
            """,
            DefaultArguments=BOOKMARK,
        )
        failed = shop.run(name)
        assert failed["JobRunState"] == "FAILED" and f"JdbcError: 127.0.0.1:{cut.port}: " in failed["ErrorMessage"]
        assert server.password not in failed["ErrorMessage"] + shop.log(failed["Id"], "error")
        assert shop.keys(f"{name}/") == []
        with pytest.raises(ClientError, match="EntityNotFoundException"):
            aws("glue").get_job_bookmark(JobName=name)
        cut.after = 1 << 40
        assert f"rows {count} {count}" in shop.succeed(name)
