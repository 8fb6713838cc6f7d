# JSON inside a text column: unbox it, unnest it, flatten DynamoDB's export form.
import sys

from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.transforms import RenameField, SimplifyDDBJson, Unbox, UnnestFrame
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext

args = getResolvedOptions(sys.argv, ["JOB_NAME", "target"])
glueContext = GlueContext(SparkContext.getOrCreate())
job = Job(glueContext)
job.init(args["JOB_NAME"], args)


def write(frame, name):
    glueContext.write_dynamic_frame.from_options(
        frame=frame, connection_type="s3", connection_options={"path": args["target"] + name}, format="json"
    )


boxed = glueContext.create_dynamic_frame.from_options(
    connection_type="s3",
    connection_options={"paths": ["s3://samples/in/messages.csv"]},
    format="csv",
    format_options={"withHeader": True, "quoteChar": "'"},
)
opened = Unbox.apply(frame=boxed, path="payload", format="json")
opened.printSchema()
flat = UnnestFrame.apply(frame=opened)
print("columns", sorted(flat.toDF().columns))
write(RenameField.apply(flat, "`payload.at.place`", "place"), "flat")

exported = glueContext.create_dynamic_frame.from_options(
    connection_type="s3", connection_options={"paths": ["s3://samples/in/export.json"]}, format="json"
)
write(SimplifyDDBJson.apply(frame=exported), "items")
job.commit()
