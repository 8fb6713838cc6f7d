# A visual job with managed transforms, which come from a bucket of AWS's; a join keeps both keys, routes are threads.
import sys
from awsglue.transforms import *
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext
from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.dynamicframe import DynamicFrameCollection
from awsglue.dynamicframe import DynamicFrame
from awsglue import DynamicFrame
from awsglue.gluetypes import *
from pyspark.sql import functions as SqlFuncs
import re
import concurrent.futures
import gs_derived
import gs_to_timestamp
import gs_format_timestamp
import gs_flatten
import gs_repartition


def find_null_fields(ctx, schema, path, output, null_strings, null_integers, frame):
    if isinstance(schema, StructType):
        for field in schema:
            below = path + "." if path != "" else path
            output = find_null_fields(ctx, field.dataType, below + field.name, output, null_strings, null_integers, frame)
    elif isinstance(schema, ArrayType):
        if isinstance(schema.elementType, StructType):
            output = find_null_fields(ctx, schema.elementType, path, output, null_strings, null_integers, frame)
    elif isinstance(schema, NullType):
        output.append(path)
    else:
        values = {row[path.split(".")[-1]] for row in frame.toDF().select(path).distinct().collect()}
        if isinstance(schema, StringType):
            if values.issubset(null_strings):
                output.append(path)
        elif isinstance(schema, IntegerType) or isinstance(schema, LongType) or isinstance(schema, DoubleType):
            if values.issubset(null_integers):
                output.append(path)
    return output


def drop_nulls(glueContext, frame, null_strings, null_integers, transformation_ctx) -> DynamicFrame:
    columns = find_null_fields(frame.glue_ctx, frame.schema(), "", [], null_strings, null_integers, frame)
    print("without", columns)
    return DropFields.apply(frame=frame, paths=columns, transformation_ctx=transformation_ctx)


class GroupFilter:
    def __init__(self, name, filters):
        self.name = name
        self.filters = filters


def threadedRoute(glue_ctx, source_DyF, group_filters) -> DynamicFrameCollection:
    frames = {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=5) as executor:
        waiting = {executor.submit(Filter.apply, source_DyF, one.filters): one for one in group_filters}
        for future in concurrent.futures.as_completed(waiting):
            frames[waiting[future].name] = future.result()
    return DynamicFrameCollection(frames, glue_ctx)


def MyTransform(glueContext, dfc) -> DynamicFrameCollection:
    frame = dfc.select(list(dfc.keys())[0]).toDF().withColumn("checked", SqlFuncs.lit(True))
    return DynamicFrameCollection({"CustomTransform0": DynamicFrame.fromDF(frame, glueContext, "checked")}, glueContext)


args = getResolvedOptions(sys.argv, ["JOB_NAME", "database", "target"])
sc = SparkContext()
glueContext = GlueContext(sc)
spark = glueContext.spark_session
job = Job(glueContext)
job.init(args["JOB_NAME"], args)

# Script generated for node AWS Glue Data Catalog
Orders_node1 = glueContext.create_dynamic_frame.from_catalog(
    database=args["database"], table_name="orders", transformation_ctx="Orders_node1"
)
# Script generated for node Amazon S3
Customers_node2 = glueContext.create_dynamic_frame.from_options(
    format_options={"jsonPath": "", "multiline": False}, connection_type="s3", format="json",
    connection_options={"paths": ["s3://samples/in/customers/"], "recurse": True}, transformation_ctx="Customers_node2",
)
Flatten_node3 = Customers_node2.gs_flatten(maxLevels=1, separator="_")
Dropped_node4 = drop_nulls(glueContext, Flatten_node3, {"", "null"}, {-1}, "Dropped_node4")
Orders_node1DF = Orders_node1.toDF()
Dropped_node4DF = Dropped_node4.toDF()
Join_node5 = DynamicFrame.fromDF(
    Orders_node1DF.join(Dropped_node4DF, (Orders_node1DF["customer"] == Dropped_node4DF["customer"]), "left"),
    glueContext, "Join_node5",
)
ChangeSchema_node6 = ApplyMapping.apply(
    frame=Join_node5,
    mappings=[
        ("order", "long", "id", "int"), ("customer", "string", "customer", "string"), ("price", "double", "price", "double"),
        ("qty", "long", "qty", "int"), ("at", "string", "at", "string"), ("note", "string", "note", "string"),
        ("address_city", "string", "city", "string"),
    ],
    transformation_ctx="ChangeSchema_node6",
)
Derived_node7 = ChangeSchema_node6.gs_derived(colName="total", expr="cast(price * qty as decimal(10,2))")
ToTimestamp_node8 = Derived_node7.gs_to_timestamp(colName="at", colType="autodetect")
Format_node9 = ToTimestamp_node8.gs_format_timestamp(colName="at", dateFormat="%Y-%m-%d", newColName="day")
Routed_node10 = threadedRoute(
    glueContext, source_DyF=Format_node9,
    group_filters=[
        GroupFilter(name="large", filters=lambda row: (row["total"] >= 10)),
        GroupFilter(name="default_group", filters=lambda row: (not (row["total"] >= 10))),
    ],
)
Large_node11 = SelectFromCollection.apply(dfc=Routed_node10, key="large", transformation_ctx="Large_node11")
Custom_node12 = MyTransform(glueContext, DynamicFrameCollection({"Large_node11": Large_node11}, glueContext))
Selected_node13 = SelectFromCollection.apply(dfc=Custom_node12, key=list(Custom_node12.keys())[0], transformation_ctx="s")
Balanced_node14 = Selected_node13.gs_repartition(numPartitionsStr="1")
Target_node15 = glueContext.write_dynamic_frame.from_options(
    frame=Balanced_node14, connection_type="s3", format="json",
    connection_options={"path": args["target"] + "large/", "partitionKeys": []}, transformation_ctx="Target_node15",
)
glueContext.write_dynamic_frame.from_options(
    frame=Routed_node10["default_group"].select_fields(["id", "note"]), connection_type="s3", format="json",
    connection_options={"path": args["target"] + "small/"},
)
job.commit()
