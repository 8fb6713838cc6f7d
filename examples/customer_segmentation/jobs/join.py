"""Join the raw tables into one line a sold item, by the rules of the business.

- People, not registrations: customers whose e-mail addresses differ only in case or blanks around are one person.
- The country of a sale is that of the address that was valid when it was ordered.
- Amounts are in euro, at the rate of the order's day.
- A column that the source has lost is an error: a bookmarked table would go on with its old rows as if nothing were.
- What came back is deducted; a line that came back whole stays, with nothing sold.
"""

import sys

import boto3
from pyspark.context import SparkContext
from pyspark.sql import Window
from pyspark.sql import functions as F

from awsglue.context import GlueContext
from awsglue.dynamicframe import DynamicFrame
from awsglue.job import Job
from awsglue.transforms import DropFields
from awsglue.utils import getResolvedOptions

args = getResolvedOptions(sys.argv, ["JOB_NAME", "source_database", "raw_database", "target"])
glue = GlueContext(SparkContext.getOrCreate())
spark = glue.spark_session
job = Job(glue)
job.init(args["JOB_NAME"], args)


catalog = boto3.client("glue")
SOURCES = {
    "customers": "shop_crm_customers",
    "addresses": "shop_crm_addresses",
    "products": "shop_sales_products",
    "orders": "shop_sales_orders",
    "order_items": "shop_sales_order_items",
    "returns": "shop_sales_returns",
    "exchange_rates": "shop_sales_exchange_rates",
}


def columns(database, table):
    """The columns of a table as the crawler found them, without partition keys."""
    found = catalog.get_table(DatabaseName=database, Name=table)["Table"]
    return {column["Name"] for column in found["StorageDescriptor"]["Columns"]}


def raw(table):
    """A raw table, read by the catalog; refused when its source has lost one of its columns."""
    source = columns(args["source_database"], SOURCES[table])
    if lost := columns(args["raw_database"], table) - source:
        raise ValueError(f"{table}: the source has no column {', '.join(sorted(lost))} any more, only {sorted(source)}")
    return glue.create_dynamic_frame.from_catalog(database=args["raw_database"], table_name=table)


email = F.lower(F.trim("email"))
same_person = Window.partitionBy("person_email")
customers = (
    DropFields.apply(frame=raw("customers"), paths=["newsletter"])
    .toDF()
    .withColumn("person_email", email)
    .withColumn("person_id", F.min("customer_id").over(same_person))
)
customers.createOrReplaceTempView("customers")
raw("addresses").toDF().createOrReplaceTempView("addresses")
raw("products").toDF().createOrReplaceTempView("products")
raw("orders").toDF().createOrReplaceTempView("orders")
raw("order_items").toDF().createOrReplaceTempView("order_items")
raw("exchange_rates").toDF().createOrReplaceTempView("exchange_rates")
raw("returns").toDF().groupBy("order_item_id").agg(F.sum("quantity").alias("returned")).createOrReplaceTempView(
    "sent_back"
)

addressed = spark.sql(
    """
    SELECT o.order_id, o.ordered_at, o.currency, o.channel, c.person_id, c.person_email, a.country, a.city
    FROM orders o
    JOIN customers c ON c.customer_id = o.customer_id
    LEFT JOIN addresses a ON a.customer_id = o.customer_id
         AND a.valid_from <= to_date(o.ordered_at) AND (a.valid_to IS NULL OR to_date(o.ordered_at) < a.valid_to)
    """
)
addressed.createOrReplaceTempView("addressed")

lines = spark.sql(
    """
    SELECT o.order_id, i.order_item_id, o.person_id, o.person_email, o.ordered_at, o.country, o.city, o.channel,
           p.category, i.quantity - coalesce(b.returned, 0) AS quantity,
           CAST(round((i.quantity - coalesce(b.returned, 0)) * i.unit_price * x.eur_rate, 2) AS decimal(12, 2))
               AS amount_eur,
           year(o.ordered_at) AS year
    FROM addressed o
    JOIN order_items i ON i.order_id = o.order_id
    JOIN products p ON p.product_id = i.product_id
    JOIN exchange_rates x ON x.currency = o.currency AND x.rate_date = to_date(o.ordered_at)
    LEFT JOIN sent_back b ON b.order_item_id = i.order_item_id
    """
)

glue.purge_s3_path(args["target"], {"retentionPeriod": 0})
glue.write_dynamic_frame.from_options(
    frame=DynamicFrame.fromDF(lines.coalesce(2), glue, "lines"),
    connection_type="s3",
    connection_options={"path": args["target"], "partitionKeys": ["year"]},
    format="parquet",
)
job.commit()
