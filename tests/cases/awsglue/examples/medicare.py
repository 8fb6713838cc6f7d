# AWS docs, "Code example: Data preparation using ResolveChoice, Lambda, and ApplyMapping": a table that a crawler typed
from pyspark.sql.functions import udf

medicare = glueContext.create_dynamic_frame.from_catalog(database="payments", table_name="medicare")
medicare.printSchema()
resolved = medicare.resolveChoice(specs=[("provider id", "cast:long")])
resolved.printSchema()
data = resolved.toDF()
print([row["provider name"] for row in data.where("`provider id` is NULL").collect()])
data = data.where("`provider id` is NOT NULL")
data = data.withColumn("ACC", udf(lambda x: x[1:], "string")(data["average covered charges"]))
DynamicFrame.fromDF(data, glueContext, "nested").apply_mapping(
    [
        ("drg definition", "string", "drg", "string"),
        ("provider id", "long", "provider.id", "long"),
        ("provider name", "string", "provider.name", "string"),
        ("ACC", "string", "charges.covered", "double"),
    ]
).show()
matched = medicare.resolveChoice(choice="MATCH_CATALOG", database="payments", table_name="medicare")
print(matched.schema().getField("provider id").dataType.typeName())
