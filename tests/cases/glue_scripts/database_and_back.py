# A crawled table of a relational database to S3 by its connection, and totals back into the database.
import sys

from awsglue.context import GlueContext
from awsglue.dynamicframe import DynamicFrame
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext

args = getResolvedOptions(sys.argv, ["JOB_NAME", "database", "target", "connection"])
glueContext = GlueContext(SparkContext.getOrCreate())
job = Job(glueContext)
job.init(args["JOB_NAME"], args)
orders = glueContext.create_dynamic_frame.from_catalog(
    database=args["database"], table_name="shop_public_orders", transformation_ctx="orders",
    additional_options={"hashfield": "id", "hashpartitions": "2"},
)
print("orders", orders.count())
glueContext.write_dynamic_frame.from_options(
    frame=orders, connection_type="s3", connection_options={"path": args["target"] + "orders"}, format="glueparquet"
)
big = glueContext.create_dynamic_frame.from_options(
    connection_type="postgresql",
    connection_options={
        "useConnectionProperties": "true",
        "connectionName": args["connection"],
        "dbtable": "orders",
        "sampleQuery": "select id, total from orders where total > 5",
    },
)
print("big", big.count())
conf = glueContext.extract_jdbc_conf(args["connection"])
print("conf", sorted(set(conf) & {"user", "password", "url", "vendor", "enforceSSL", "fullUrl"}))
totals = orders.toDF().groupBy("customer").sum("total").withColumnRenamed("sum(total)", "total")
glueContext.write_dynamic_frame.from_jdbc_conf(
    frame=DynamicFrame.fromDF(totals, glueContext, "totals"),
    catalog_connection=args["connection"],
    connection_options={"dbtable": "totals", "database": "shop"},
)
job.commit()
