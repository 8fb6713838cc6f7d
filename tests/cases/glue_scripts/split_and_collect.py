# Split rows and fields into collections, map and filter with functions, keep what a function could not take.
import sys

from awsglue.context import GlueContext
from awsglue.dynamicframe import DynamicFrame, DynamicFrameCollection
from awsglue.job import Job
from awsglue.transforms import *
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


people = glueContext.create_dynamic_frame.from_options("s3", {"paths": ["s3://samples/in/people.json"]}, format="json")

by_age = SplitRows.apply(people, {"age": {">=": 18, "<": 65}}, "working", "others")
print("rows", sorted(by_age.keys()))
write(SelectFromCollection.apply(dfc=by_age, key="working"), "working")
write(by_age.select("others"), "others")

by_field = SplitFields.apply(people, ["name", "age"], "who", "rest")
write(by_field["who"], "who")
write(SelectFields.apply(by_field["rest"], ["address.city"]), "cities")


def upper(record):
    record["name"] = record["name"].upper()
    record["initials"] = record["name"][0]
    del record["address"]
    return record


mapped = Map.apply(frame=people, f=upper)
print("errors before", mapped.errorsCount())
write(mapped, "upper")

broken = people.map(lambda record: {"inverse": 10 // (record["age"] - 7)})
print("kept", broken.count(), "errors", broken.errorsCount(), "stage", broken.stageErrorsCount())
print("error frame", broken.errorsAsDynamicFrame().count())

both = DynamicFrameCollection({"a": people, "b": people}, glueContext)
counted = FlatMap.apply(both, BaseTransform=DropFields, frame_name="frame", paths=["address"])
print("flat", sorted(counted.keys()), sorted(counted.select("a").toDF().columns))
few = MapToCollection.apply(both, lambda frame, ctx="": frame.filter(lambda record: record["age"] > 60))
print("few", few.select("b").count())
job.commit()
