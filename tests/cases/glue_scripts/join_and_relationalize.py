# Crawled JSON of people, memberships and organisations: one history table, partitioned and relational.
import sys

from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.transforms import Join
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext

args = getResolvedOptions(sys.argv, ["JOB_NAME", "database", "target"])
glueContext = GlueContext(SparkContext.getOrCreate())
job = Job(glueContext)
job.init(args["JOB_NAME"], args)

persons = glueContext.create_dynamic_frame.from_catalog(database=args["database"], table_name="persons_json")
memberships = glueContext.create_dynamic_frame.from_catalog(database=args["database"], table_name="memberships_json")
orgs = glueContext.create_dynamic_frame.from_catalog(database=args["database"], table_name="organizations_json")
print("persons", persons.count(), "memberships", memberships.count(), "organizations", orgs.count())
persons.printSchema()

orgs = orgs.drop_fields(["other_names", "identifiers"]).rename_field("id", "org_id").rename_field("name", "org_name")
joined = Join.apply(persons, memberships, "id", "person_id")
history = Join.apply(orgs, joined, "org_id", "organization_id").drop_fields(["person_id", "org_id"])
print("history", history.count())

glueContext.write_dynamic_frame.from_options(
    frame=history.select_fields(["id", "family_name", "org_name", "seats", "start_date"]),
    connection_type="s3",
    connection_options={"path": args["target"] + "history", "partitionKeys": ["org_name"]},
    format="parquet",
)
single = history.toDF().repartition(1)
single.select("id", "org_name").write.mode("overwrite").parquet(args["target"] + "single")

tables = history.relationalize("hist_root", args["target"] + "temp/")
print("tables", sorted(tables.keys()))
contacts = tables.select("hist_root_contact_details")
for name in tables.keys():
    glueContext.write_dynamic_frame.from_options(
        frame=tables.select(name),
        connection_type="s3",
        connection_options={"path": args["target"] + "tables/" + name},
        format="json",
    )
ids = tables.select("hist_root").toDF().filter("family_name = 'Hopper'").select("contact_details").first()[0]
contacts.toDF().where(contacts.toDF()["id"] == ids).orderBy("index").show()
job.commit()
