# What a script finds besides the transforms: a GlueContext is a SQLContext, records have their fields as attributes,
# sources and sinks of either form, and the frames that only DataFrames pass through.
from pyspark.sql import SQLContext

from awsglue import dataframe_transforms
from awsglue.transforms import describe_transform, get_transform, get_transforms

people = frame([{"name": "Ann", "age": 31}, {"name": "Bob", "age": 17}])
people.toDF().createOrReplaceTempView("people")
print(isinstance(glueContext, SQLContext), glueContext.sql("SELECT max(age) FROM people").collect()[0][0])
print(hasattr(glueContext, "no_such_method"), glueContext.currentTimeMillis() > 1_700_000_000_000)
print(people.filter(lambda one: one.age > 18).toDF().collect())


def older(record):
    record.age = record.age + 1
    record["adult"] = record.age >= 18
    return record


print(sorted(map(str, get_transform("map").apply(people, older, False).toDF().collect())))
print(len(get_transforms()) > 20, describe_transform("SplitRows")["transform"]["name"])
mapped = dataframe_transforms.ApplyMapping.apply(people.toDF(), [("age", "bigint", "years", "string")])
print(mapped.schema.simpleString(), mapped.count())

sink = glueContext.getSink("s3", path="s3://workshop/names/", format="json")
sink.setFormat("json")
sink.writeDataFrame(people.toDF(), glueContext)
source = glueContext.getSource("s3", "json", "people", paths=["s3://workshop/names/"])
print(source.getFrame().count(), len(source.getSampleFrame(1).toDF().collect()))
rows = people.split_rows({"age": {">": 18}}, "grown", "young")
print(sorted(rows.keys()), sorted(get_transform("SplitRows").apply(people, {"age": {">": 18}}).keys()))
for refused in (
    lambda: glueContext.getStreamingSource("kinesis"),
    lambda: glueContext.create_dynamic_frame_from_catalog(table_name="t"),
    lambda: glueContext.create_sample_dynamic_frame_from_options("s3", {"paths": ["s3://workshop/names/"]}, format="json"),
):
    try:
        refused()
    except (NotImplementedError, ValueError) as error:
        print(type(error).__name__, error)
