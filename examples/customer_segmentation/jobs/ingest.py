"""Copy one table of the shop from PostgreSQL to the lake, as Parquet.

With a bookmark key only the rows behind the last committed key are read and appended; without one the table is copied
whole and replaces the previous copy. `--partition_by` names a timestamp column whose month becomes the partition.
"""

import sys

from pyspark.context import SparkContext
from pyspark.sql import functions as F

from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions

args = getResolvedOptions(sys.argv, ["JOB_NAME", "database", "table", "target", "bookmark_key", "partition_by"])
glue = GlueContext(SparkContext.getOrCreate())
job = Job(glue)
job.init(args["JOB_NAME"], args)

bookmarked = args["bookmark_key"] != "none"
options = {"jobBookmarkKeys": [args["bookmark_key"]], "jobBookmarkKeysSortOrder": "asc"} if bookmarked else {}
source = glue.create_dynamic_frame.from_catalog(
    database=args["database"],
    table_name=args["table"],
    additional_options=options,
    transformation_ctx=f"read_{args['table']}" if bookmarked else "",
)
rows = source.toDF()

partitions = []
if args["partition_by"] != "none":
    rows = rows.withColumn("month", F.date_format(args["partition_by"], "yyyy-MM"))
    partitions = ["month"]

if rows.columns and not rows.isEmpty():
    writer = rows.coalesce(1).write.mode("append" if bookmarked else "overwrite")
    writer.partitionBy(*partitions).parquet(args["target"])
else:
    print(f"{args['table']}: nothing new")

job.commit()
