"""S3 as a source and a target of DynamicFrames: format options, odd keys and broken files, case by case.

A case of tests/cases/glue_reads is a file: objects, what is read, and what comes of it (schema, rows, what printSchema
says, or an error). One job reads all of them.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from glue_jobs import Workshop

from millpond import runtime

pytestmark = [pytest.mark.spark, pytest.mark.slow]

CASES = Path(__file__).parents[1] / "cases" / "glue_reads"
NAMES = sorted(path.stem for path in CASES.glob("*.json"))
JOB = """
import contextlib, io, json, boto3
cases = json.loads(boto3.client("s3").get_object(Bucket="reads", Key="cases.json")["Body"].read())
for name, case in cases.items():
    read = case["read"]
    said = {}
    try:
        options = {"paths": [f"s3://reads/{name}/{path}" for path in read.get("paths", [""])]}
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            frame = glue.create_dynamic_frame.from_options("s3", options | read.get("connection_options", {}),
                read["format"], read.get("format_options", {}))
        said["warned"] = errors.getvalue().splitlines()
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            frame.show(50)
        said["rows"] = [json.loads(line) for line in out.getvalue().splitlines()]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            frame.printSchema()
        said["printed"] = out.getvalue().strip()
        said["schema"] = dict(frame.toDF().dtypes)
        said["count"] = frame.count()
    except Exception as error:
        said["error"] = f"{type(error).__name__}: {error}"
    print("case " + json.dumps([name, said]))
"""


def body(given: Any) -> bytes:
    if isinstance(given, str):
        return given.encode()
    packed = {"gzip": gzip.compress, "bzip2": bz2.compress, "base64": base64.b64decode}
    (made,) = (packed[kind](text.encode()) for kind, text in given.items() if kind in packed)
    return made[: given.get("cut")]


@pytest.fixture(scope="module")
def shop(aws: Callable[[str], Any]) -> Workshop:
    runtime.install("5.1", print)
    return Workshop(aws, "reads").open()


@pytest.fixture(scope="module")
def told(shop: Workshop) -> dict[str, Any]:
    """What the job says of each case."""
    cases = {name: json.loads((CASES / f"{name}.json").read_text()) for name in NAMES}
    for name, case in cases.items():
        for key, given in case["files"].items():
            shop.put(f"{name}/{key}", body(given))
    shop.put("cases.json", json.dumps(cases))
    shop.job("reads", JOB)
    out = shop.succeed("reads")
    return dict(json.loads(line.removeprefix("case ")) for line in out.splitlines() if line.startswith("case "))


def values(row: dict[str, Any]) -> dict[str, Any]:
    """Without nulls, which show may leave out."""
    return {name: value for name, value in row.items() if value is not None}


@pytest.mark.parametrize("name", NAMES)
def test_a_read(told: dict[str, Any], name: str) -> None:
    expected, found = json.loads((CASES / f"{name}.json").read_text())["expect"], told[name]
    if "error" in expected:
        assert expected["error"] in found.get("error", f"no error, but {found}")
        return
    assert "error" not in found, found["error"]
    if "rows" in expected:
        key = json.dumps
        assert sorted(map(key, map(values, found["rows"]))) == sorted(map(key, map(values, expected["rows"])))
    for what in {"schema", "count", "printed"} & expected.keys():
        assert found[what] == expected[what]
    lost = [line for line in found["warned"] if line.startswith("warning: rows of")]
    assert lost == expected.get("warned", [])


# ---- writing


WRITES = """
import json
rows = spark.sql('''SELECT * FROM VALUES
    (1, 'a,"b"', 1.50BD, date'2024-01-01', timestamp'2024-01-01 10:00:00', true, array('x', 'y'), X'00ff', 'k 1'),
    (2, '', null, null, null, null, null, null, 'k/2') AS t(id, name, amount, day, at, ok, tags, raw, k)''')
frame = DynamicFrame.fromDF(rows, glue, "rows")
flat = DynamicFrame.fromDF(rows.drop("tags", "raw"), glue, "flat")

def show(name, value):
    print("case " + json.dumps([name, value], default=str))

def write(frame, name, format, given=None, **options):
    try:
        path = {"path": f"s3://writes/{name}/", **options}
        glue.write_dynamic_frame.from_options(frame, "s3", path, format=format, format_options=given or {})
    except Exception as error:
        show(name, f"{type(error).__name__}: {error}")

write(flat, "csv", "csv")
write(flat, "csv_plain", "csv", {"quoteChar": -1, "writeHeader": False, "separator": "|"})
write(flat, "csv_gzip", "csv", {"strictCheckForQuoting": True}, compression="gzip")
write(frame, "json_bzip2", "json", compression="bzip2", partitionKeys=["k"])
write(frame, "parquet", "parquet", {"useGlueParquetWriter": True, "blockSize": "64MB", "compression": "gzip"})
write(frame, "glueparquet", "glueparquet", {"pageSize": 65536})
write(frame, "orc", "orc", compression="zlib")
write(frame, "avro", "avro", compression="deflate", partitionKeys=["k"])
write(frame, "avro_snappy", "avro", compression="snappy")
write(frame, "xml", "xml")
write(frame, "codec", "csv", compression="lzo")
write(frame, "key", "json", partitionKeys=["nothing"])
write(frame, "one_key", "json", partitionKeys="k")
write(frame, "size", "parquet", {"blockSize": "big"})
for name, format in {"parquet": "parquet", "orc": "orc", "avro": "avro", "avro_snappy": "avro"}.items():
    back = glue.create_dynamic_frame.from_options("s3", {"paths": [f"s3://writes/{name}/"]}, format).toDF()
    first = back.where("id = 1").first().asDict()
    show("back " + name, [{**first, "raw": first["raw"].hex()}, back.where("id = 2").first().asDict()["tags"]])
collection = DynamicFrameCollection({"one": frame, "two": flat}, glue)
glue.write_from_options(collection, "s3", {"path": "s3://writes/all"}, "json")
sink = glue.getSink("s3", path="s3://writes/sink/", enableUpdateCatalog=True, partitionKeys=["k"])
sink.setFormat("avro")
sink.setCatalogInfo(catalogDatabase="writes", catalogTableName="sunk")
sink.writeFrame(frame)
sunk = glue.create_dynamic_frame.from_catalog(database="writes", table_name="sunk", push_down_predicate="k = 'k 1'")
show("sunk", [sunk.toDF().first().asDict()["name"], sunk.count()])

lite = {"url": "jdbc:sqlite:" + getResolvedOptions(sys.argv, ["file"])["file"], "dbtable": "t"}
table = glue.create_dynamic_frame.from_options("sqlite", lite)
glue.write_dynamic_frame.from_options(table, "s3", {"path": "s3://writes/copied/"}, format="parquet")
for mode in ("overwrite", "overwrite", "append", "ignore"):
    table.toDF().write.mode(mode).parquet("s3://writes/spark/")
    show("spark " + mode, spark.read.parquet("s3://writes/spark/").count())
try:
    table.toDF().write.parquet("s3://writes/spark/")
except Exception as error:
    show("spark error", str(error).splitlines()[0])
table.toDF().where("id > 1").write.parquet("s3://writes/some/")
table.toDF().write.partitionBy("id").parquet("s3://writes/parts/")
table.toDF().write.option("compression", "gzip").parquet("s3://writes/zipped/")

glue.purge_table("writes", "sunk", {"partitionPredicate": "(k == 'k 1')", "retentionPeriod": 0})
left = glue.create_dynamic_frame.from_catalog(database="writes", table_name="sunk")
show("left", [row.k for row in left.toDF().collect()])
glue.purge_s3_path("s3://writes/all/one/", {"retentionPeriod": 24})
show("kept", boto3.client("s3").list_objects_v2(Bucket="writes", Prefix="all/one/")["KeyCount"])
glue.purge_s3_path("s3://writes/all/one/", {"retentionPeriod": 0, "manifestFilePath": "s3://writes/manifest/"})
"""


def test_writes(aws: Callable[[str], Any], tmp_path: Path) -> None:
    runtime.install("5.1", print)
    shop, s3 = Workshop(aws, "writes").open(), aws("s3")
    aws("glue").create_database(DatabaseInput={"Name": "writes"})
    with closing(sqlite3.connect(tmp_path / "t.db")) as db:
        db.execute("CREATE TABLE t (id INTEGER, v TEXT)")
        db.execute("INSERT INTO t VALUES (1, 'a'), (2, NULL)")
        db.commit()
    head = "import boto3\nfrom awsglue.dynamicframe import DynamicFrameCollection\n"
    shop.job("writes", head + WRITES, DefaultArguments={"--file": str(tmp_path / "t.db")})
    out = shop.succeed("writes")
    told = dict(json.loads(line.removeprefix("case ")) for line in out.splitlines() if line.startswith("case "))

    def text(prefix: str) -> str:
        keys = shop.keys(prefix)
        assert keys and not [key for key in keys if key.endswith("_SUCCESS")]
        bodies = ((key, s3.get_object(Bucket="writes", Key=key)["Body"].read()) for key in keys)
        unpack = {".gz": gzip.decompress, ".bz2": bz2.decompress}
        return "".join(unpack.get(Path(key).suffix, bytes)(body).decode() for key, body in bodies)

    assert sorted(set(text("csv/").splitlines())) == [
        '1,"a,""b""",1.50,2024-01-01,2024-01-01T10:00:00.000Z,true,k 1',
        "2,,,,,,k/2",
        "id,name,amount,day,at,ok,k",
    ]
    assert sorted(text("csv_plain/").splitlines()) == [
        '1|a,"b"|1.50|2024-01-01|2024-01-01 10:00:00|true|k 1',
        "2||||||k/2",
    ]
    assert all(key.endswith(".csv.gz") for key in shop.keys("csv_gzip/")) and "id,name" in text("csv_gzip/")
    folders = {key.rsplit("/", 1)[0] for key in shop.keys("json_bzip2/")}
    assert folders == {"json_bzip2/k=k 1", "json_bzip2/k=k%2F2"} and '"id":1' in text("json_bzip2/")
    (row, tags), avro = told["back parquet"], told["back avro_snappy"]
    assert row["amount"] == "1.50" and row["tags"] == ["x", "y"] and row["raw"] == "00ff" and tags is None
    assert told["back orc"] == told["back parquet"] == avro
    assert told["back avro"] == told["back parquet"] and len(shop.keys("avro/")) == 2
    assert all(".gz.parquet" in key for key in shop.keys("parquet/")) and shop.keys("glueparquet/")
    assert told["xml"] == "ValueError: format 'xml' is read only, on AWS, too"
    assert "compression 'lzo' of csv: use one of" in told["codec"] and "partitionKeys ['nothing']" in told["key"]
    assert "blockSize must be a number of bytes" in told["size"] and not shop.keys("size/")
    assert shop.keys("all/two/") and told["sunk"] == ['a,"b"', 1]
    assert told["left"] == ["k/2"] and len(shop.keys("one_key/")) == 2

    (copied,) = shop.keys("copied/")
    assert copied.endswith("-c000.snappy.parquet")
    assert [told[f"spark {mode}"] for mode in ("overwrite", "append", "ignore")] == [2, 4, 4]
    assert "already exists" in told["spark error"] and "spark/_SUCCESS" in shop.keys("spark/")
    assert len([key for key in shop.keys("parts/") if key.endswith(".parquet")]) == 2
    assert any(key.endswith(".gz.parquet") for key in shop.keys("zipped/"))
    table = {
        place: s3.get_object(Bucket="writes", Key=next(key for key in shop.keys(place) if key.endswith("parquet")))
        for place in ("copied/", "some/")
    }
    read = {place: pq.read_table(io.BytesIO(found["Body"].read())).to_pylist() for place, found in table.items()}
    assert read == {"copied/": [{"id": 1, "v": "a"}, {"id": 2, "v": None}], "some/": [{"id": 2, "v": None}]}
    assert told["kept"] > 0 and not shop.keys("all/one/")
    assert "s3://writes/all/one/" in text("manifest/Success.csv") and shop.keys("manifest/Failed.csv")
