# Changes of a day over yesterday's state: mergeDynamicFrame by key, deletions by a filter, purge of the old files.
import sys

from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext

args = getResolvedOptions(sys.argv, ["JOB_NAME", "target"])
glueContext = GlueContext(SparkContext.getOrCreate())
job = Job(glueContext)
job.init(args["JOB_NAME"], args)


def read(path):
    return glueContext.create_dynamic_frame.from_options("s3", {"paths": [path]}, "json")


state, changes = read("s3://samples/in/state/"), read("s3://samples/in/changes/")
merged = state.mergeDynamicFrame(changes, ["id"])
alive = merged.filter(f=lambda record: record["op"] != "D").drop_fields(["op"])
glueContext.purge_s3_path("s3://samples/out/state/", {"retentionPeriod": 0})
glueContext.write_dynamic_frame_from_options(
    frame=alive.coalesce(1), connection_type="s3", connection_options={"path": args["target"] + "state"},
    format="csv", format_options={"quoteChar": '"'},
)
alive.spigot("s3://samples/out/sample/", options={"topk": 1, "prob": 1.0})
print("partitions", alive.coalesce(1).getNumPartitions(), alive.repartition(3).getNumPartitions())
job.commit()
