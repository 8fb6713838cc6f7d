"""Write the segments back to the shop's database, so that the shop's own tools can use them.

Spark can only append or overwrite over JDBC. So the rows go to a staging table first; one transaction then replaces
the old segments by the new ones. Running it twice leaves the same rows, a failure leaves the old ones.
"""

import sys
from urllib.parse import urlsplit

import psycopg
from pyspark.context import SparkContext

from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.transforms import ApplyMapping
from awsglue.utils import getResolvedOptions

args = getResolvedOptions(sys.argv, ["JOB_NAME", "database", "table", "connection"])
glue = GlueContext(SparkContext.getOrCreate())
job = Job(glue)
job.init(args["JOB_NAME"], args)

segments = ApplyMapping.apply(
    frame=glue.create_dynamic_frame.from_catalog(database=args["database"], table_name=args["table"]),
    mappings=[
        ("person_id", "bigint", "person_id", "int"),
        ("email", "string", "email", "string"),
        ("segment", "string", "segment", "string"),
        ("recency", "bigint", "recency", "int"),
        ("frequency", "bigint", "frequency", "int"),
        ("monetary", "double", "monetary", "double"),
    ],
)

conf = glue.extract_jdbc_conf(args["connection"])
address = urlsplit(conf["fullUrl"].removeprefix("jdbc:"))
shop = dict(
    host=address.hostname,
    port=address.port,
    dbname=address.path.lstrip("/"),
    user=conf["user"],
    password=conf["password"],
)
columns = (
    "person_id integer PRIMARY KEY, email varchar(120) NOT NULL, segment varchar(40) NOT NULL, "
    "recency integer NOT NULL, frequency integer NOT NULL, monetary double precision NOT NULL"
)
with psycopg.connect(**shop) as db:
    db.execute("DROP TABLE IF EXISTS crm.customer_segments_staging")
    db.execute(f"CREATE TABLE crm.customer_segments_staging ({columns})")

glue.write_dynamic_frame.from_jdbc_conf(
    frame=segments,
    catalog_connection=args["connection"],
    connection_options={"dbtable": "crm.customer_segments_staging", "database": shop["dbname"]},
)

with psycopg.connect(**shop) as db:
    db.execute(f"CREATE TABLE IF NOT EXISTS crm.customer_segments ({columns})")
    db.execute("DELETE FROM crm.customer_segments")
    db.execute("INSERT INTO crm.customer_segments SELECT * FROM crm.customer_segments_staging")
    written = db.execute("SELECT count(*) FROM crm.customer_segments").fetchone()[0]
    db.execute("DROP TABLE crm.customer_segments_staging")
print(f"crm.customer_segments now has {written} rows")
job.commit()
