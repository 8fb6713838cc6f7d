# A streaming job on a folder: each batch is enriched and appended, the checkpoint remembers.
import sys

from awsglue.context import GlueContext
from awsglue.dynamicframe import DynamicFrame
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext
from pyspark.sql.types import IntegerType, StringType, StructField, StructType

args = getResolvedOptions(sys.argv, ["JOB_NAME", "TempDir", "target"])
glueContext = GlueContext(SparkContext.getOrCreate())
spark = glueContext.spark_session
job = Job(glueContext)
job.init(args["JOB_NAME"], args)
schema = StructType([StructField("id", IntegerType()), StructField("what", StringType())])
stream = spark.readStream.schema(schema).json("s3://samples/in/stream/")


def processBatch(data_frame, batchId):
    if data_frame.count() > 0:
        frame = DynamicFrame.fromDF(data_frame, glueContext, "from_data_frame")
        mapped = frame.apply_mapping([("id", "int", "id", "int"), ("what", "string", "kind", "string")])
        glueContext.write_dynamic_frame.from_options(
            frame=mapped, connection_type="s3", connection_options={"path": args["target"] + "stream"}, format="json"
        )
        print("batch", batchId, mapped.count())


query = (
    stream.writeStream.foreachBatch(processBatch)
    .option("checkpointLocation", args["TempDir"] + args["JOB_NAME"] + "/checkpoint/")
    .trigger(availableNow=True)
    .start()
)
query.awaitTermination()
job.commit()
