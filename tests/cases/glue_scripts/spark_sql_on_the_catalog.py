# Spark's metastore is the Data Catalog: windows and a CTAS over crawled tables, no GlueContext source at all.
import sys

from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext
from pyspark.sql.functions import col, row_number
from pyspark.sql.window import Window

args = getResolvedOptions(sys.argv, ["JOB_NAME", "database", "target"])
glueContext = GlueContext(SparkContext.getOrCreate())
spark = glueContext.spark_session
logger = glueContext.get_logger()
job = Job(glueContext)
job.init(args["JOB_NAME"], args)

spark.sql(f"use {args['database']}")
print("tables", sorted(row.tableName for row in spark.sql("show tables").collect()))
sales = spark.sql("select * from sales where region = 'north'")
logger.info(f"sales of the north: {sales.count()}")
window = Window.partitionBy("product").orderBy(col("amount").desc())
best = sales.withColumn("rank", row_number().over(window)).where("rank = 1").drop("rank")
best.write.mode("overwrite").format("parquet").save(args["target"] + "best")
spark.table(f"{args['database']}.sales").groupBy("region").sum("amount").createOrReplaceTempView("sums")
print("joined", spark.sql("select * from {one} join sales using (id)", one=sales.limit(1)).count())
spark.sql("select region, `sum(amount)` as total from sums").write.mode("overwrite").json(args["target"] + "sums")
job.commit()
