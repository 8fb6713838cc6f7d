# Write partitions, have the sink keep the catalog, then read one partition back by a predicate.
import sys

from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext

args = getResolvedOptions(sys.argv, ["JOB_NAME", "database", "target"])
sc = SparkContext()
glueContext = GlueContext(sc)
job = Job(glueContext)
job.init(args["JOB_NAME"], args)

events = glueContext.create_dynamic_frame.from_options(
    format_options={"withHeader": True, "separator": ","},
    connection_type="s3",
    format="csv",
    connection_options={"paths": ["s3://samples/in/events/"], "recurse": True},
    transformation_ctx="events",
).apply_mapping([
    ("id", "string", "id", "bigint"),
    ("what", "string", "what", "string"),
    ("year", "string", "year", "string"),
    ("month", "string", "month", "string"),
])
sink = glueContext.getSink(
    path=args["target"] + "events/",
    connection_type="s3",
    updateBehavior="UPDATE_IN_DATABASE",
    partitionKeys=["year", "month"],
    compression="snappy",
    enableUpdateCatalog=True,
    transformation_ctx="sink",
)
sink.setCatalogInfo(catalogDatabase=args["database"], catalogTableName="events")
sink.setFormat("glueparquet")
sink.writeFrame(events)

recent = glueContext.create_dynamic_frame.from_catalog(
    database=args["database"],
    table_name="events",
    push_down_predicate="(year == '2025' and month >= '11')",
    transformation_ctx="recent",
)
print("recent", recent.count())
few = glueContext.create_dynamic_frame.from_catalog(
    database=args["database"],
    table_name="events",
    additional_options={"catalogPartitionPredicate": "year='2024'"},
)
print("few", few.count())
glueContext.write_dynamic_frame.from_options(
    frame=recent, connection_type="s3", connection_options={"path": args["target"] + "recent"}, format="csv",
    format_options={"writeHeader": False, "quoteChar": -1, "separator": "|"},
)
job.commit()
