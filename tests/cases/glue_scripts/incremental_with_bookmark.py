# New objects only, and into a table for each run's date: the everyday ingest.
import sys

from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.transforms import DropNullFields, ResolveChoice
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext

args = getResolvedOptions(sys.argv, ["JOB_NAME", "target"])
glueContext = GlueContext(SparkContext.getOrCreate())
job = Job(glueContext)
job.init(args["JOB_NAME"], args)
source = glueContext.create_dynamic_frame.from_options(
    connection_type="s3",
    connection_options={
        "paths": ["s3://samples/in/log/"], "recurse": True, "groupFiles": "inPartition", "groupSize": "1048576",
        "exclusions": '["**/skip*"]',
    },
    format="json",
    format_options={"attachFilename": "source_file"},
    transformation_ctx="source",
)
print("new", source.count())
if source.count():
    resolved = ResolveChoice.apply(frame=source, choice="make_struct", transformation_ctx="resolved")
    kept = DropNullFields.apply(frame=resolved, transformation_ctx="kept")
    timed = glueContext.add_ingestion_time_columns(kept.toDF(), "day")
    print("time columns", [name for name in timed.columns if name.startswith("ingest")])
    glueContext.write_dynamic_frame.from_options(
        frame=kept, connection_type="s3", connection_options={"path": args["target"] + "log"}, format="json",
        transformation_ctx="sink",
    )
job.commit()
