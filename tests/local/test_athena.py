"""Athena through boto3: queries over Glue tables and S3 files, results, failures, workgroups."""

from __future__ import annotations

import gzip
import io
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from millpond.aws import catalog as aws_catalog
from millpond.local.service import Endpoint

PARQUET = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
}
OUT = "s3://athena-results/out/"


class Lake:
    """A bucket and a database, and the few verbs that the tests speak."""

    def __init__(self, endpoint: Endpoint, aws: Callable[[str], Any]) -> None:
        self.endpoint, self.athena, self.glue, self.s3 = endpoint, aws("athena"), aws("glue"), aws("s3")
        for bucket in ("lake", "athena-results"):
            self.s3.create_bucket(Bucket=bucket)
        self.glue.create_database(DatabaseInput={"Name": "shop"})

    def put_parquet(self, key: str, table: pa.Table) -> None:
        sink = io.BytesIO()
        pq.write_table(table, sink)
        self.s3.put_object(Bucket="lake", Key=key, Body=sink.getvalue())

    def table(self, name: str, columns: dict[str, str], location: str, keys: dict[str, str] | None = None,
              storage: dict[str, Any] | None = None, parameters: dict[str, str] | None = None) -> None:  # fmt: skip
        described = [{"Name": n, "Type": t} for n, t in columns.items()]
        self.glue.create_table(DatabaseName="shop", TableInput={
            "Name": name, "TableType": "EXTERNAL_TABLE", "Parameters": parameters or {},
            "PartitionKeys": [{"Name": n, "Type": t} for n, t in (keys or {}).items()],
            "StorageDescriptor": {"Columns": described, "Location": location} | (storage or PARQUET)})  # fmt: skip

    def start(self, sql: str, **more: Any) -> str:
        arguments = {
            "QueryExecutionContext": {"Database": "shop"},
            "ResultConfiguration": {"OutputLocation": OUT},
        } | more
        return str(self.athena.start_query_execution(QueryString=sql, **arguments)["QueryExecutionId"])

    def wait(self, query_id: str) -> dict[str, Any]:
        while True:
            found = self.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            if found["Status"]["State"] not in {"QUEUED", "RUNNING"}:
                return dict(found)
            time.sleep(0.02)

    def done(self, sql: str, **more: Any) -> dict[str, Any]:
        return self.wait(self.start(sql, **more))

    def rows(self, sql: str, **more: Any) -> list[list[str | None]]:
        """The rows, without the header."""
        found = self.done(sql, **more)
        assert found["Status"]["State"] == "SUCCEEDED", found["Status"].get("StateChangeReason")
        pages = self.athena.get_paginator("get_query_results").paginate(QueryExecutionId=found["QueryExecutionId"])
        rows = [[c.get("VarCharValue") for c in r["Data"]] for page in pages for r in page["ResultSet"]["Rows"]]
        return rows[1:] if found["StatementType"] == "DML" else rows

    def reason(self, sql: str, **more: Any) -> str:
        found = self.done(sql, **more)
        assert found["Status"]["State"] == "FAILED", found
        return str(found["Status"]["StateChangeReason"])


@pytest.fixture(scope="module")
def lake(endpoint: Endpoint, aws: Callable[[str], Any]) -> Lake:
    lake = Lake(endpoint, aws)
    for day, start in (("2026-01-01", 0), ("2026-01-02", 10)):
        lake.put_parquet(f"orders/day={day}/a.parquet", pa.table({
            "Id": pa.array(range(start, start + 3), pa.int32()), "amount": [1.5, None, 2.25],
            "note": ['say "hi"', "", None]}))  # fmt: skip
    lake.s3.put_object(Bucket="lake", Key="orders/day=2026-01-01/_SUCCESS", Body=b"x")
    lake.table("orders", {"id": "int", "amount": "double", "note": "string"}, "s3://lake/orders/", {"day": "date"})
    lake.rows("msck repair table orders")
    return lake


def test_rows_types_and_null_are_as_athena_writes_them(lake: Lake) -> None:
    query = lake.done("SELECT id, amount, note, day FROM orders WHERE id < 3 ORDER BY 1")
    got = lake.athena.get_query_results(QueryExecutionId=query["QueryExecutionId"])["ResultSet"]
    rows = [[c.get("VarCharValue") for c in r["Data"]] for r in got["Rows"]]
    assert rows == [
        ["id", "amount", "note", "day"],
        ["0", "1.5", 'say "hi"', "2026-01-01"],
        ["1", None, "", "2026-01-01"],
        ["2", "2.25", None, "2026-01-01"],
    ]
    assert [c["Type"] for c in got["ResultSetMetadata"]["ColumnInfo"]] == ["integer", "double", "varchar", "date"]
    bucket, _, key = query["ResultConfiguration"]["OutputLocation"].removeprefix("s3://").partition("/")
    assert key == f"out/{query['QueryExecutionId']}.csv"
    body = lake.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    assert body.splitlines()[1:] == [
        '"0","1.5","say ""hi""","2026-01-01"',
        '"1",,"","2026-01-01"',
        '"2","2.25",,"2026-01-01"',
    ]
    assert lake.s3.head_object(Bucket=bucket, Key=f"{key}.metadata")["ContentLength"] > 0


def test_partitions_are_pruned_before_bytes_are_counted(lake: Lake) -> None:
    every = lake.done("SELECT count(*) FROM orders")["Statistics"]["DataScannedInBytes"]
    one = lake.done("SELECT count(*) FROM orders WHERE day = DATE '2026-01-02'")["Statistics"]["DataScannedInBytes"]
    none = lake.done("SELECT count(*) FROM orders WHERE day > DATE '2027-01-01'")["Statistics"]["DataScannedInBytes"]
    assert every == 2 * one and none == 0
    both = lake.done("SELECT 1 FROM orders a JOIN orders b ON a.id = b.id WHERE a.day = DATE '2026-01-02'")
    assert both["Statistics"]["DataScannedInBytes"] == every
    assert lake.rows("SELECT count(*) FROM orders WHERE day = DATE '2026-01-02' OR id = 0") == [["4"]]
    assert lake.rows("SELECT count(*) FROM orders WHERE day BETWEEN DATE '2026-01-01' AND DATE '2026-01-01'") == [["3"]]


def test_the_path_of_a_row(lake: Lake) -> None:
    assert lake.rows('SELECT DISTINCT "$path" FROM shop.orders ORDER BY 1') == [
        ["s3://lake/orders/day=2026-01-01/a.parquet"], ["s3://lake/orders/day=2026-01-02/a.parquet"]]  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT nope FROM orders", "COLUMN_NOT_FOUND: line 1:8: Column 'nope' cannot be resolved or requester is not "
                                    "authorized to access requested resources"),
        ("SELECT 1 FROM nope", "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.shop.nope' does not exist"),
        ("SELECT 1 FROM no.nope", "SCHEMA_NOT_FOUND: line 1:15: Schema 'no' does not exist"),
        ("SELECT\n  nope(1)", "FUNCTION_NOT_FOUND: line 2:3: Function 'nope' not registered"),
        ("SELECT id / 0 FROM orders", "DIVISION_BY_ZERO: Division by zero"),
        ("SELECT note = 1 FROM orders", "TYPE_MISMATCH: line 1:8: Cannot apply operator: varchar = integer"),
        ("SELECT cast(note AS integer) FROM orders WHERE id = 0",
         "INVALID_CAST_ARGUMENT: Cannot cast 'say \"hi\"' to INT"),
        ("SELECT id, count(*) FROM orders", "EXPRESSION_NOT_AGGREGATE: 'id' must be an aggregate expression or "
                                            "appear in GROUP BY clause"),
        ("EXPLAIN SELECT 1", "NOT_SUPPORTED: EXPLAIN is not supported by the local engine"),
    ],
)  # fmt: skip
def test_failures_have_athenas_names(lake: Lake, sql: str, reason: str) -> None:
    assert lake.reason(sql) == reason


def test_a_failure_carries_athenas_error(lake: Lake) -> None:
    status = lake.done("SELECT nope(1)")["Status"]
    assert status["AthenaError"]["ErrorCategory"] == 2
    assert status["AthenaError"]["ErrorMessage"] == status["StateChangeReason"]


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT 1; SELECT 2", "", "SELECT (1", "COPY orders TO 'x'", "PRAGMA x"])
def test_what_does_not_parse_is_refused_at_the_start(lake: Lake, sql: str) -> None:
    with pytest.raises(ClientError) as caught:
        lake.start(sql or " ")
    assert caught.value.response["Error"]["Code"] == "InvalidRequestException"


def test_results_need_a_place(lake: Lake) -> None:
    with pytest.raises(ClientError, match="No output location provided"):
        lake.athena.start_query_execution(QueryString="SELECT 1")
    with pytest.raises(ClientError, match="Unable to verify/create output bucket no-such-bucket"):
        lake.start("SELECT 1", ResultConfiguration={"OutputLocation": "s3://no-such-bucket/"})
    with pytest.raises(ClientError, match="not a valid S3 path"):
        lake.start("SELECT 1", ResultConfiguration={"OutputLocation": "/tmp/x"})


def test_results_come_in_pages(lake: Lake) -> None:
    query = lake.done("SELECT n, 'a\nb' AS t FROM UNNEST(sequence(1, 7)) AS s(n) ORDER BY n")
    first = lake.athena.get_query_results(QueryExecutionId=query["QueryExecutionId"], MaxResults=3)
    assert len(first["ResultSet"]["Rows"]) == 3 and first["NextToken"]
    seen, token = [], ""
    while True:
        more = {"NextToken": token} if token else {}
        page = lake.athena.get_query_results(QueryExecutionId=query["QueryExecutionId"], MaxResults=3, **more)
        seen += [r["Data"][0]["VarCharValue"] for r in page["ResultSet"]["Rows"]]
        token = page.get("NextToken", "")
        if not token:
            break
    assert seen == ["n", *map(str, range(1, 8))]
    with pytest.raises(ClientError, match="NextToken is malformed"):
        lake.athena.get_query_results(QueryExecutionId=query["QueryExecutionId"], NextToken="bm9wZQ==")


def test_a_request_token_starts_one_query(lake: Lake) -> None:
    token = uuid.uuid4().hex * 2
    first = lake.start("SELECT 1", ClientRequestToken=token)
    assert lake.start("SELECT 1", ClientRequestToken=token) == first
    with pytest.raises(ClientError, match="Idempotent parameters do not match"):
        lake.start("SELECT 2", ClientRequestToken=token)


def test_parameters_are_literals(lake: Lake) -> None:
    assert lake.rows("SELECT id FROM orders WHERE id = ? AND note = ?", ExecutionParameters=["0", "'say \"hi\"'"]) == [
        ["0"]
    ]
    with pytest.raises(ClientError, match="not a literal"):
        lake.start("SELECT id FROM orders WHERE id = ?", ExecutionParameters=["0 OR true"])
    with pytest.raises(ClientError, match="Incorrect number of parameters"):
        lake.start("SELECT ?", ExecutionParameters=["1", "2"])


def test_prepared_statements(lake: Lake) -> None:
    lake.rows("PREPARE mine FROM SELECT count(*) FROM orders WHERE id >= ?")
    assert lake.rows("EXECUTE mine USING 10") == [["3"]]
    got = lake.athena.get_prepared_statement(StatementName="mine", WorkGroup="primary")["PreparedStatement"]
    assert got["QueryStatement"] == "SELECT count(*) FROM orders WHERE id >= ?"
    lake.rows("DEALLOCATE PREPARE mine")
    assert lake.reason("EXECUTE mine USING 10").startswith("NOT_FOUND")


def test_csv_by_its_serde(lake: Lake) -> None:
    lake.s3.put_object(Bucket="lake", Key="csv/a.csv", Body=b"id,name,at\n1,a,2026-01-01 10:00:00\nx,\\N,no\n3\n")
    lazy = {"InputFormat": "org.apache.hadoop.mapred.TextInputFormat", "OutputFormat": "x", "SerdeInfo": {
        "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
        "Parameters": {"field.delim": ","}}}  # fmt: skip
    lake.table("lazy", {"id": "int", "name": "string", "at": "timestamp"}, "s3://lake/csv/", storage=lazy,
               parameters={"skip.header.line.count": "1"})  # fmt: skip
    assert lake.rows("SELECT * FROM lazy ORDER BY id") == [
        ["1", "a", "2026-01-01 10:00:00.000"],
        ["3", None, None],
        [None, None, None],
    ]
    lake.s3.put_object(Bucket="lake", Key="open/a.csv", Body=b'1;"a;b"\n2;"c ""d"""\n')
    opened = {"InputFormat": "org.apache.hadoop.mapred.TextInputFormat", "OutputFormat": "x", "SerdeInfo": {
        "SerializationLibrary": "org.apache.hadoop.hive.serde2.OpenCSVSerde",
        "Parameters": {"separatorChar": ";", "quoteChar": '"'}}}  # fmt: skip
    lake.table("opened", {"id": "string", "name": "string"}, "s3://lake/open", storage=opened)
    assert lake.rows("SELECT * FROM opened ORDER BY 1") == [["1", "a;b"], ["2", 'c "d"']]


def test_open_csv_reads_types_as_documented(lake: Lake) -> None:
    """ "Open CSV SerDe for processing CSV": empty text is no number; dates are days, timestamps milliseconds."""
    body = b'id,text,day,at\n1,"","18276","1579059880000"\n2,,-1,0\n3\n'
    lake.s3.put_object(Bucket="lake", Key="opentypes/a.csv", Body=body)
    lake.s3.put_object(Bucket="lake", Key="openempty/a.csv", Body=b"n,day\n,2020-01-15\n")
    serde = "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'"
    columns = "(id int, text string, day date, at timestamp)"
    lake.done(f"CREATE EXTERNAL TABLE open_types {columns} {serde} LOCATION 's3://lake/opentypes/' "
              "TBLPROPERTIES ('skip.header.line.count'='1')")  # fmt: skip
    assert lake.rows("SELECT id, text, text IS NULL, day, at FROM open_types ORDER BY id") == [
        ["1", "", "false", "2020-01-15", "2020-01-15 03:44:40.000"],
        ["2", "", "false", "1969-12-31", "1970-01-01 00:00:00.000"],
        ["3", None, "true", None, None],
    ]
    for name, more in {"strict": "", "lenient": ", 'use.null.for.invalid.data'='TRUE'"}.items():
        lake.done(f"CREATE EXTERNAL TABLE open_{name} (n int, day date) {serde} LOCATION 's3://lake/openempty/' "
                  f"TBLPROPERTIES ('skip.header.line.count'='1'{more})")  # fmt: skip
    assert lake.reason("SELECT n FROM open_strict").startswith(
        "HIVE_BAD_DATA: Error parsing field value '' for field 0"
    )
    assert lake.reason("SELECT day FROM open_strict").startswith(
        "HIVE_BAD_DATA: Error parsing field value '2020-01-15'"
    )
    assert lake.rows("SELECT n, day FROM open_lenient") == [[None, None]]


def test_csv_with_escapes(lake: Lake) -> None:
    def stored(key: str, body: bytes, name: str, serde: str, **parameters: str) -> None:
        lake.s3.put_object(Bucket="lake", Key=key, Body=body)
        info = {"SerializationLibrary": f"org.apache.hadoop.hive.serde2.{serde}", "Parameters": parameters}
        storage = {"InputFormat": "org.apache.hadoop.mapred.TextInputFormat", "OutputFormat": "x", "SerdeInfo": info}
        lake.table(name, {"id": "string", "text": "string"}, f"s3://lake/{key.rpartition('/')[0]}/", storage=storage)

    lazy = {"field.delim": ",", "escape.delim": "\\"}  # what awswrangler registers for the CSV that it writes
    stored("lazyesc/a.csv", b'1,c \\"q\\"\\, x\n2,\\N\n', "lazy_escaped", "lazy.LazySimpleSerDe", **lazy)
    assert lake.rows("SELECT * FROM lazy_escaped ORDER BY 1") == [["1", 'c "q", x'], ["2", None]]
    stored("openesc/a.csv", b'1,"a \\"b\\", \\"\\""\n', "open_escaped", "OpenCSVSerde")
    assert lake.rows("SELECT * FROM open_escaped") == [["1", 'a "b", ""']]
    doubled = gzip.compress(b'1,"c ""d"", e"\n')  # as pandas writes it; escapeChar as AWS's examples give it
    stored("opendbl/a.csv.gz", doubled, "open_doubled", "OpenCSVSerde", escapeChar="\\")
    assert lake.rows("SELECT * FROM open_doubled") == [["1", 'c "d", e']]


def test_json_in_any_case(lake: Lake) -> None:
    lines = [{"Area": "York", "Total": 3, "Tags": ["a", "b"]}, {"Area": None, "Total": None}, {"AREA": "Bath"}]
    body = "\n".join(map(json.dumps, lines)).encode()
    lake.s3.put_object(Bucket="lake", Key="json/a.json", Body=body)
    serde = {"InputFormat": "org.apache.hadoop.mapred.TextInputFormat", "OutputFormat": "x", "SerdeInfo": {
        "SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe"}}  # fmt: skip
    lake.table("areas", {"area": "string", "total": "int", "tags": "array<string>"}, "s3://lake/json/", storage=serde)
    assert lake.rows("SELECT area, total, tags FROM areas ORDER BY area") == [
        ["Bath", None, None], ["York", "3", "[a, b]"], [None, None, None]]  # fmt: skip
    lake.s3.put_object(Bucket="lake", Key="badjson/a.json", Body=b'{"total": "many"}\n')
    lake.table("bad", {"total": "int"}, "s3://lake/badjson/", storage=serde)
    assert lake.reason("SELECT total FROM bad").startswith("HIVE_BAD_DATA: Error parsing field value 'many'")


def test_json_whose_structs_differ(lake: Lake) -> None:
    lines = [
        {"id": 1, "who": {"Name": "Ann", "tags": [{"k": 1, "more": True}, {"V": "x"}, None]}, "by": {"a": {"n": 1}}},
        {"ID": 2, "Who": {"AGE": 40, "tags": []}, "by": {}},
        {"id": 3, "who": None},
        {"id": 4},
    ]
    lake.s3.put_object(Bucket="lake", Key="structs/a.json", Body="\n".join(map(json.dumps, lines)).encode())
    lake.s3.put_object(Bucket="lake", Key="badstructs/a.json", Body=b'{"who": "text"}\n')
    serde = {"InputFormat": "org.apache.hadoop.mapred.TextInputFormat", "OutputFormat": "x", "SerdeInfo": {
        "SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe"}}  # fmt: skip
    who = "struct<Name:string,age:int,tags:array<struct<k:bigint,v:string>>>"
    columns = {"id": "int", "who": who, "by": "map<string,struct<n:double>>"}
    lake.table("structs", columns, "s3://lake/structs/", storage=serde)
    lake.table("badstructs", {"who": "struct<name:string>"}, "s3://lake/badstructs/", storage=serde)
    assert lake.rows("SELECT who.name, who.age, who.tags, by['a'].n FROM structs WHERE id = 1") == [
        ["Ann", None, "[{k=1, v=null}, {k=null, v=x}, null]", "1.0"]]  # fmt: skip
    counted = "SELECT who.name, who.age, cardinality(who.tags), cardinality(by) FROM structs WHERE id > 1"
    assert lake.rows(f"{counted} ORDER BY id") == [
        [None, "40", "0", "0"], [None] * 4, [None] * 4]  # fmt: skip
    assert lake.reason("SELECT who FROM badstructs").startswith("HIVE_BAD_DATA: Error parsing field value '\"text\"'")
    assert lake.rows("SELECT count(*) FROM badstructs") == [["1"]]
    lake.table("twice", {"s": "array<struct<A:int,a:int>>"}, "s3://lake/structs/", storage=serde)
    assert lake.reason("SELECT s FROM twice").endswith("has a struct with two members of the name 'a'")


def test_orc(lake: Lake) -> None:
    import pyarrow.orc as orc

    sink = io.BytesIO()
    orc.write_table(pa.table({"id": [1, 2], "name": ["a", None]}), sink)
    lake.s3.put_object(Bucket="lake", Key="orc/a.orc", Body=sink.getvalue())
    storage = {"InputFormat": "x", "OutputFormat": "x", "SerdeInfo": {
        "SerializationLibrary": "org.apache.hadoop.hive.ql.io.orc.OrcSerde"}}  # fmt: skip
    lake.table("orcs", {"id": "bigint", "name": "string"}, "s3://lake/orc/", storage=storage)
    assert lake.rows("SELECT * FROM orcs ORDER BY id") == [["1", "a"], ["2", None]]


def test_a_retyped_partition_column_is_a_mismatch(lake: Lake) -> None:
    lake.put_parquet("retyped/k=1/a.parquet", pa.table({"x": ["a"]}))
    lake.table("retyped", {"x": "string"}, "s3://lake/retyped/", {"k": "string"})
    lake.glue.create_partition(DatabaseName="shop", TableName="retyped", PartitionInput={
        "Values": ["1"], "StorageDescriptor": PARQUET | {
            "Columns": [{"Name": "x", "Type": "bigint"}], "Location": "s3://lake/retyped/k=1/"}})  # fmt: skip
    reason = lake.reason("SELECT * FROM retyped")
    assert reason.startswith("HIVE_PARTITION_SCHEMA_MISMATCH: There is a mismatch between the table and partition")
    assert "declared as type 'string', but partition 'k=1' declared column 'x' as type 'bigint'" in reason


def test_a_file_of_another_type_is_bad_data_only_when_it_is_read(lake: Lake) -> None:
    lake.put_parquet("wrong/a.parquet", pa.table({"x": ["a"], "y": [1]}))
    lake.table("wrong", {"x": "int", "y": "bigint", "z": "string"}, "s3://lake/wrong/")
    assert lake.reason("SELECT x FROM wrong").startswith("HIVE_BAD_DATA: Field x's type VARCHAR in a Parquet file")
    assert lake.rows("SELECT y, z FROM wrong") == [["1", None]]


def test_ctas_insert_and_unload(lake: Lake) -> None:
    made = lake.done("CREATE TABLE copied WITH (format = 'PARQUET', external_location = 's3://lake/copied/', "
                     "partitioned_by = ARRAY['day']) AS SELECT id, amount, day FROM orders")  # fmt: skip
    assert made["Status"]["State"] == "SUCCEEDED", made["Status"]
    assert made["StatementType"] == "DML" and made["SubstatementType"] == "CREATE_TABLE_AS_SELECT"
    assert lake.athena.get_query_results(QueryExecutionId=made["QueryExecutionId"])["UpdateCount"] == 6
    assert lake.rows("SHOW PARTITIONS copied") == [["day=2026-01-01"], ["day=2026-01-02"]]
    lake.rows("INSERT INTO copied SELECT 99, 1.0E0, DATE '2026-01-03'")
    assert lake.rows("SELECT count(*), max(id), max(day) FROM copied") == [["7", "99", "2026-01-03"]]
    assert lake.reason("INSERT INTO copied SELECT 'x', 1e0, DATE '2026-01-03'").startswith(
        "TYPE_MISMATCH: Insert query"
    )
    assert lake.reason("CREATE TABLE copied AS SELECT 1 AS a").startswith("TABLE_ALREADY_EXISTS")
    for form in ("TEXTFILE", "JSON"):
        lake.rows(f"CREATE TABLE as_{form} WITH (format = '{form}') AS SELECT id, note, day FROM orders WHERE id < 2")
        assert lake.rows(f"SELECT id, note, day FROM as_{form} ORDER BY id") == [
            ["0", 'say "hi"', "2026-01-01"], ["1", "", "2026-01-01"]]  # fmt: skip
    lake.rows("UNLOAD (SELECT id FROM orders) TO 's3://lake/unloaded/' WITH (format = 'PARQUET')")
    (file,) = lake.s3.list_objects_v2(Bucket="lake", Prefix="unloaded/")["Contents"]
    body = lake.s3.get_object(Bucket="lake", Key=file["Key"])["Body"].read()
    assert sorted(pq.read_table(io.BytesIO(body))["id"].to_pylist()) == [0, 1, 2, 10, 11, 12]
    again = lake.reason("UNLOAD (SELECT 1 AS a) TO 's3://lake/unloaded/' WITH (format = 'PARQUET')")
    assert again.startswith("HIVE_PATH_ALREADY_EXISTS")


def test_ddl_goes_to_the_glue_catalog(lake: Lake) -> None:
    lake.rows("CREATE DATABASE IF NOT EXISTS sales COMMENT 'it''s' LOCATION 's3://lake/sales/'")
    assert lake.glue.get_database(Name="sales")["Database"]["Description"] == "it's"
    lake.rows("""CREATE EXTERNAL TABLE IF NOT EXISTS sales.raw (
        id int COMMENT 'the key', info struct<a:int,b:array<string>>, price decimal(10,2))
      PARTITIONED BY (day string) ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\'
      STORED AS TEXTFILE LOCATION 's3://lake/sales/raw/' TBLPROPERTIES ('skip.header.line.count'='1')""")
    table = lake.glue.get_table(DatabaseName="sales", Name="raw")["Table"]
    columns = [(c["Name"], c["Type"]) for c in table["StorageDescriptor"]["Columns"]]
    assert columns == [("id", "int"), ("info", "struct<a:int,b:array<string>>"), ("price", "decimal(10,2)")]
    assert table["StorageDescriptor"]["SerdeInfo"]["Parameters"]["field.delim"] == "\t"
    lake.rows(
        "ALTER TABLE sales.raw ADD PARTITION (day = '2026-01-01') "
        "PARTITION (day = '2026-01-02') LOCATION 's3://lake/x/'"
    )
    assert lake.rows("SHOW PARTITIONS sales.raw") == [["day=2026-01-01"], ["day=2026-01-02"]]
    lake.rows("ALTER TABLE sales.raw DROP PARTITION (day = '2026-01-02')")
    lake.rows("ALTER TABLE sales.raw ADD COLUMNS (more double)")
    described = [row[0].split() for row in lake.rows("DESCRIBE sales.raw")]
    answer = lake.athena.get_query_results(QueryExecutionId=lake.done("DESCRIBE sales.raw")["QueryExecutionId"])
    names = [column["Name"] for column in answer["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]]
    assert names == ["col_name", "data_type", "comment"]  # and yet each row is one value with tabs
    shown = aws_catalog._spread(tuple(c.get("VarCharValue") for c in answer["ResultSet"]["Rows"][0]["Data"]), 3)
    assert [value.strip() for value in shown if value is not None] == ["id", "int", "the key"]
    assert ["more", "double"] in described and ["day", "string"] in described
    assert lake.rows("SHOW TABLES IN sales") == [["raw"]] and lake.rows("SHOW TABLES IN sales 'x*'") == []
    assert "LOCATION" in [row[0] for row in lake.rows("SHOW CREATE TABLE sales.raw")]
    assert lake.reason("DROP DATABASE sales").startswith("SCHEMA_NOT_EMPTY")
    lake.rows("DROP TABLE sales.raw")
    lake.rows("DROP TABLE IF EXISTS sales.raw")
    lake.rows("DROP DATABASE sales CASCADE")
    assert "sales" not in [row[0] for row in lake.rows("SHOW DATABASES")]


def test_views_are_expanded_with_their_own_names(lake: Lake) -> None:
    lake.rows("CREATE OR REPLACE VIEW big AS SELECT id AS number, note FROM orders WHERE id >= 10")
    assert lake.rows(
        "SELECT count(number) FROM big", QueryExecutionContext={"Database": "default"} | {"Database": "shop"}
    ) == [["3"]]
    assert lake.rows("SELECT count(number) FROM big", QueryExecutionContext={"Database": "`shop`"}) == [["3"]]
    assert lake.rows("SELECT b.number FROM shop.big AS b ORDER BY 1 LIMIT 1") == [["10"]]
    assert lake.rows("SHOW VIEWS") == [["big"]]
    assert lake.reason("CREATE VIEW big AS SELECT 1 AS a").startswith("TABLE_ALREADY_EXISTS")
    assert lake.reason("CREATE VIEW other AS SELECT nope FROM orders").startswith("COLUMN_NOT_FOUND")
    lake.rows("DROP VIEW big")


def test_workgroups_named_queries_and_the_catalog(lake: Lake) -> None:
    athena = lake.athena
    assert athena.get_work_group(WorkGroup="primary")["WorkGroup"]["State"] == "ENABLED"
    athena.create_work_group(
        Name="team", Configuration={"ResultConfiguration": {"OutputLocation": "s3://athena-results/team/"}}
    )
    query = lake.done("SELECT 1", WorkGroup="team")
    assert query["ResultConfiguration"]["OutputLocation"].startswith("s3://athena-results/team/")
    assert athena.list_query_executions(WorkGroup="team")["QueryExecutionIds"] == [query["QueryExecutionId"]]
    athena.update_work_group(WorkGroup="team", State="DISABLED")
    with pytest.raises(ClientError, match="is disabled"):
        lake.start("SELECT 1", WorkGroup="team")
    with pytest.raises(ClientError, match="is not empty"):
        athena.delete_work_group(WorkGroup="team")
    athena.delete_work_group(WorkGroup="team", RecursiveDeleteOption=True)
    with pytest.raises(ClientError, match="is not found"):
        athena.get_work_group(WorkGroup="team")
    named = athena.create_named_query(Name="n", Database="shop", QueryString="SELECT 1")["NamedQueryId"]
    assert athena.get_named_query(NamedQueryId=named)["NamedQuery"]["QueryString"] == "SELECT 1"
    assert named in athena.list_named_queries()["NamedQueryIds"]
    athena.delete_named_query(NamedQueryId=named)
    meta = athena.get_table_metadata(CatalogName="AwsDataCatalog", DatabaseName="shop", TableName="orders")[
        "TableMetadata"
    ]
    assert [c["Name"] for c in meta["PartitionKeys"]] == ["day"]
    with pytest.raises(ClientError) as caught:
        athena.get_table_metadata(CatalogName="AwsDataCatalog", DatabaseName="shop", TableName="nope")
    assert caught.value.response["Error"]["Code"] == "MetadataException"


def test_a_running_query_can_be_stopped(lake: Lake) -> None:
    many = "UNNEST(sequence(1, 100000))"
    sql = f"SELECT count(*) FROM {many} a(x) CROSS JOIN {many} b(y) CROSS JOIN {many} c(z) WHERE x * y % 7 = z"
    query_id = lake.start(sql)
    lake.athena.stop_query_execution(QueryExecutionId=query_id)
    assert lake.wait(query_id)["Status"]["State"] == "CANCELLED"
    with pytest.raises(ClientError, match="Final query state: CANCELLED"):
        lake.athena.get_query_results(QueryExecutionId=query_id)


def test_tables_about_tables(lake: Lake) -> None:
    assert lake.rows('SELECT day FROM "orders$partitions" ORDER BY 1') == [["2026-01-01"], ["2026-01-02"]]
    assert lake.rows("SELECT max(day) FROM shop.\"orders$partitions\" WHERE day < DATE '2026-01-02'") == [
        ["2026-01-01"]
    ]
    sql = (
        "SELECT column_name, data_type, extra_info FROM information_schema.columns "
        "WHERE table_name = 'orders' ORDER BY ordinal_position"
    )
    assert lake.rows(sql) == [["id", "integer", None], ["amount", "double", None], ["note", "varchar", None],
                              ["day", "date", "partition key"]]  # fmt: skip
    assert ["shop"] in lake.rows("SELECT schema_name FROM information_schema.schemata")
    sql = "SELECT table_type FROM information_schema.tables WHERE table_schema = 'shop' AND table_name = 'orders'"
    assert lake.rows(sql) == [["BASE TABLE"]]
    assert lake.reason("SELECT 1 FROM information_schema.nope").startswith("TABLE_NOT_FOUND")


HOSTILE = [
    'a"; DROP TABLE x; --',
    "o'clock",
    "new\nline",
    "tab\there",
    "perc%ent*[x]?",
    "ünï",
    "x" * 200,
    "${y}",
    "-- c",
    "\\",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_partition_values_and_texts_answer_like_neutral_ones(lake: Lake, name: str) -> None:
    number = HOSTILE.index(name)
    folder = f"hostile{number}/{name}/".replace("\n", "_")
    lake.put_parquet(f"{folder}f{name[:40].replace('/', '_')}.parquet".replace("\n", "_"), pa.table({"v": [1, 2]}))
    lake.table(f"hostile{number}", {"v": "bigint"}, f"s3://lake/hostile{number}/", {"k": "string"})
    lake.glue.create_partition(DatabaseName="shop", TableName=f"hostile{number}", PartitionInput={
        "Values": [name], "StorageDescriptor": PARQUET | {
            "Columns": [{"Name": "v", "Type": "bigint"}], "Location": f"s3://lake/{folder}"}})  # fmt: skip
    before = [r[0] for r in lake.endpoint.store.read("SELECT sql FROM sqlite_master ORDER BY name")]
    text = name.replace("'", "''")
    assert lake.rows(f"SELECT k, sum(v) FROM hostile{number} WHERE k = '{text}' GROUP BY k") == [[name, "3"]]
    assert lake.rows(f"SELECT '{text}' AS \"{name.replace(chr(34), chr(34) * 2)}\"") == [[name]]
    assert [r[0] for r in lake.endpoint.store.read("SELECT sql FROM sqlite_master ORDER BY name")] == before
