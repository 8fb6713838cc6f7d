# The shape of what Glue Studio's visual editor generates: helpers, SQL over frames, data quality, a catalog target.
import sys

from awsglue import DynamicFrame
from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.transforms import *
from awsglue.utils import getResolvedOptions
from awsgluedq.transforms import EvaluateDataQuality
from pyspark.context import SparkContext
from pyspark.sql import functions as SqlFuncs


def sparkSqlQuery(glueContext, query, mapping, transformation_ctx) -> DynamicFrame:
    for alias, frame in mapping.items():
        frame.toDF().createOrReplaceTempView(alias)
    result = spark.sql(query)
    return DynamicFrame.fromDF(result, glueContext, transformation_ctx)


def sparkAggregate(glueContext, parentFrame, groups, aggs, transformation_ctx) -> DynamicFrame:
    aggsFuncs = []
    for column, func in aggs:
        aggsFuncs.append(getattr(SqlFuncs, func)(column))
    result = (
        parentFrame.toDF().groupBy(*groups).agg(*aggsFuncs)
        if len(groups) > 0
        else parentFrame.toDF().agg(*aggsFuncs)
    )
    return DynamicFrame.fromDF(result, glueContext, transformation_ctx)


args = getResolvedOptions(sys.argv, ["JOB_NAME"])
sc = SparkContext()
glueContext = GlueContext(sc)
spark = glueContext.spark_session
job = Job(glueContext)
job.init(args["JOB_NAME"], args)

DEFAULT_DATA_QUALITY_RULESET = """
    Rules = [
        ColumnCount > 0
    ]
"""

AmazonS3_node1 = glueContext.create_dynamic_frame.from_options(
    format_options={"quoteChar": '"', "withHeader": True, "separator": ",", "optimizePerformance": False},
    connection_type="s3",
    format="csv",
    connection_options={"paths": ["s3://samples/in/orders.csv"], "recurse": True},
    transformation_ctx="AmazonS3_node1",
)
ChangeSchema_node2 = ApplyMapping.apply(
    frame=AmazonS3_node1,
    mappings=[
        ("order", "string", "order_id", "int"),
        ("customer", "string", "customer", "string"),
        ("total", "string", "total", "decimal(10,2)"),
        ("ordered", "string", "ordered", "date"),
    ],
    transformation_ctx="ChangeSchema_node2",
)
DropDuplicates_node3 = DynamicFrame.fromDF(
    ChangeSchema_node2.toDF().dropDuplicates(["order_id"]), glueContext, "DropDuplicates_node3"
)
Filter_node4 = Filter.apply(
    frame=DropDuplicates_node3, f=lambda row: (row["total"] > 0), transformation_ctx="Filter_node4"
)
SqlQuery0 = """
select customer, order_id, total, year(ordered) as ordered_in from myDataSource
"""
SQLQuery_node5 = sparkSqlQuery(
    glueContext, query=SqlQuery0, mapping={"myDataSource": Filter_node4}, transformation_ctx="SQLQuery_node5"
)
Aggregate_node6 = sparkAggregate(
    glueContext, parentFrame=SQLQuery_node5, groups=["customer"], aggs=[["total", "sum"], ["order_id", "count"]],
    transformation_ctx="Aggregate_node6",
)
RenameField_node7 = RenameField.apply(
    frame=Aggregate_node6, old_name="`sum(total)`", new_name="total", transformation_ctx="RenameField_node7"
)
RenameField_node8 = RenameField.apply(
    frame=RenameField_node7, old_name="`count(order_id)`", new_name="orders", transformation_ctx="RenameField_node8"
)
EvaluateDataQuality().process_rows(
    frame=RenameField_node8,
    ruleset=DEFAULT_DATA_QUALITY_RULESET,
    publishing_options={"dataQualityEvaluationContext": "EvaluateDataQuality_node9", "enableDataQualityResultsPublishing": True},
    additional_options={"dataQualityResultsPublishing.strategy": "BEST_EFFORT", "observations.scope": "ALL"},
)
AmazonS3_node10 = glueContext.getSink(
    path="s3://samples/out/totals/", connection_type="s3", updateBehavior="UPDATE_IN_DATABASE", partitionKeys=[],
    enableUpdateCatalog=True, transformation_ctx="AmazonS3_node10",
)
AmazonS3_node10.setCatalogInfo(catalogDatabase="samples", catalogTableName="totals")
AmazonS3_node10.setFormat("glueparquet", compression="snappy")
AmazonS3_node10.writeFrame(RenameField_node8)
job.commit()
