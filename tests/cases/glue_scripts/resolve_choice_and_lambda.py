# Payments with a column of two types: resolve the choice, cut the currency with a lambda, nest by a mapping.
import sys

from awsglue.context import GlueContext
from awsglue.dynamicframe import DynamicFrame
from awsglue.job import Job
from awsglue.transforms import *
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext
from pyspark.sql.functions import udf
from pyspark.sql.types import StringType

args = getResolvedOptions(sys.argv, ["JOB_NAME", "target"])
glueContext = GlueContext(SparkContext.getOrCreate())
spark = glueContext.spark_session
job = Job(glueContext)
job.init(args["JOB_NAME"], args)

raw = glueContext.create_dynamic_frame.from_options(
    connection_type="s3", connection_options={"paths": ["s3://samples/in/payments.json"]}, format="json"
)
raw.printSchema()
resolved = raw.resolveChoice(specs=[("provider_id", "cast:long")])
resolved.printSchema()
both = raw.resolveChoice(specs=[("provider_id", "make_cols")])
print("columns", sorted(both.toDF().columns))
struct = raw.resolveChoice(specs=[("provider_id", "make_struct")])
print("struct", dict(struct.toDF().dtypes)["provider_id"])
text = raw.resolveChoice(choice="project:string")
print("text", dict(text.toDF().dtypes)["provider_id"])

frame = resolved.toDF().where("provider_id is not null")
cut = udf(lambda money: money[1:].replace(",", ""), StringType())
frame = frame.withColumn("acc", cut(frame["covered charges"])).withColumn("atp", cut(frame["total payments"]))
cleaned = DynamicFrame.fromDF(frame, glueContext, "cleaned")
nested = cleaned.apply_mapping([
    ("drg", "string", "drg", "string"),
    ("provider_id", "long", "provider.id", "long"),
    ("city", "string", "provider.city", "string"),
    ("acc", "string", "charges.covered", "double"),
    ("atp", "string", "charges.total", "double"),
])
nested.printSchema()
glueContext.write_dynamic_frame.from_options(
    frame=nested, connection_type="s3", connection_options={"path": args["target"] + "nested"}, format="parquet"
)
job.commit()
