"""What a spare driver runs once, when it has nothing else to do: the paths that nearly each job takes, so that they are
loaded and compiled when a job comes. Its results are looked at by nobody. It leaves as soon as a run waits.
"""

import os
import sys

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as f

folder = sys.argv[1]
spark = SparkSession.builder.appName("warm").getOrCreate()
rows = spark.range(20000).selectExpr(
    "id",
    "id % 50 AS k",
    "cast(id AS decimal(12,2)) AS amount",
    "cast(id AS string) AS name",
    "current_timestamp() AS at",
)


def write() -> None:
    rows.write.mode("overwrite").parquet(f"{folder}/rows")
    spark.read.parquet(f"{folder}/rows").createOrReplaceTempView("rows")


def group() -> None:
    spark.table("rows").groupBy("k").agg(f.sum("amount"), f.count("*")).orderBy("k").collect()


def join() -> None:
    spark.sql("SELECT a.k, max(b.name) AS n FROM rows a JOIN rows b ON a.id = b.id GROUP BY a.k").collect()


def best() -> None:
    rank = f.row_number().over(Window.partitionBy("k").orderBy(f.desc("amount")))
    found = spark.table("rows").withColumn("n", rank).filter("n = 1")
    found.write.mode("overwrite").partitionBy("k").parquet(f"{folder}/best")


for step in (write, group, join, best, group, join, best):
    if os.path.exists(f"{folder}/enough"):
        break
    step()
spark.stop()
