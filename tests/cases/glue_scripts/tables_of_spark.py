# Tables made, changed and filled by Spark SQL and by writers, with the Data Catalog as the metastore.
import sys
from decimal import Decimal

from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext

args = getResolvedOptions(sys.argv, ["JOB_NAME", "database", "target"])
glueContext = GlueContext(SparkContext.getOrCreate())
spark = glueContext.spark_session
job = Job(glueContext)
job.init(args["JOB_NAME"], args)
target = args["target"]
SHAPE = "id int, total decimal(10,2), day string"

spark.sql(f"CREATE DATABASE IF NOT EXISTS shop_lake COMMENT 'made by Spark' LOCATION '{target}lake/'")
print("databases", [row.namespace for row in spark.sql("SHOW DATABASES LIKE 's*'").collect()])
spark.sql("USE shop_lake")
spark.sql(
    f"""
    CREATE EXTERNAL TABLE IF NOT EXISTS orders (id INT COMMENT 'the key', total DECIMAL(10,2))
    PARTITIONED BY (day STRING) STORED AS PARQUET LOCATION '{target}orders/' TBLPROPERTIES ('origin'='shop')
    """
)
spark.sql("INSERT INTO orders PARTITION (day='2025-01-01') VALUES (1, 1.50), (2, 2.50)")
spark.conf.set("spark.sql.sources.partitionOverwriteMode", "dynamic")
rows = spark.createDataFrame([(3, Decimal("3.5"), "2025-01-02"), (4, Decimal("4.5"), "2025-01-01")], SHAPE)
rows.where("day = '2025-01-02'").write.mode("overwrite").insertInto("shop_lake.orders")
print("days", [row.partition for row in spark.sql("SHOW PARTITIONS orders").collect()])
spark.sql("ALTER TABLE orders ADD IF NOT EXISTS PARTITION (day='2024-12-31')")
spark.sql("ALTER TABLE shop_lake.orders DROP PARTITION (day='2024-12-31')")
spark.sql("ALTER TABLE orders ADD COLUMNS (note STRING)")
spark.sql("ALTER TABLE orders SET TBLPROPERTIES ('checked'='yes')")
print("sum", spark.sql("SELECT sum(total) AS s FROM orders").first().s)

frame = spark.table("orders").groupBy("day").count()
frame.write.format("parquet").mode("overwrite").saveAsTable("daily")
frame.write.format("parquet").mode("overwrite").saveAsTable("shop_lake.daily")
frame.limit(1).write.format("parquet").mode("append").saveAsTable("daily")
print("daily", spark.table("daily").count())
spark.sql(f"CREATE TABLE text_copy STORED AS TEXTFILE LOCATION '{target}text/' AS SELECT id, day FROM orders")
spark.sql("CREATE TABLE kept USING json AS SELECT id FROM orders WHERE id > 1")
print("kept", sorted(row.id for row in spark.sql("SELECT * FROM shop_lake.kept").collect()))
spark.sql("CREATE TABLE gone USING parquet AS SELECT 1 AS one")
spark.sql("DROP TABLE gone")
spark.sql("DROP TABLE IF EXISTS never_there")
print("tables", sorted(row.tableName for row in spark.sql("SHOW TABLES").collect()))
print("listed", sorted(table.name for table in spark.catalog.listTables("shop_lake")))
print("exists", spark.catalog.tableExists("shop_lake.daily"), spark.catalog.tableExists("gone"))
print("described", [row.col_name for row in spark.sql("DESCRIBE shop_lake.orders").collect()][:4])
try:
    failing = "SELECT IF(id < 0, 1, CAST(raise_error('on purpose') AS INT)) AS x FROM orders"
    spark.sql(f"CREATE TABLE again STORED AS PARQUET LOCATION '{target}again/' AS {failing}")
except Exception as error:
    print("failed", "on purpose" in str(error))
spark.sql(f"CREATE TABLE again STORED AS PARQUET LOCATION '{target}again/' AS SELECT id AS other FROM orders WHERE id = 1")
print("again", spark.table("again").columns, spark.table("again").count())
spark.sql("DROP TABLE again")
for refused in ("CREATE TABLE orders (x INT) STORED AS PARQUET", "SELECT * FROM gone", "DROP TABLE gone"):
    try:
        spark.sql(refused)
        print("done", refused)
    except Exception as error:
        print("refused", str(error).split("]")[0] + "]")
try:
    frame.write.saveAsTable(f"{args['database']}.nowhere")
except Exception as error:
    print("refused", str(error)[:48])
spark.sql(f"CREATE DATABASE passing")
spark.sql(f"DROP DATABASE passing CASCADE")
job.commit()
