# Records of JSON lack fields (AWS docs, "DynamicFrame class"); both names of a join's key stay in a DataFrame.
from pyspark.sql import functions

people = frame([
    {"id": 1, "name": "Ann", "zip": "00100-12", "at": {"city": "Rome"}},
    {"id": 2, "name": "Bob", "at": {"city": "Bern", "road": "Gerechtigkeitsgasse"}},
])


def short(record):
    if "zip" in record:
        record["zip"] = record["zip"][:5]
    record["road"] = record["at"].get("road", "unknown") + ("" if "road" in record["at"] else "?")
    return record


mapped = people.map(short)
mapped.printSchema()
mapped.show()
print(mapped.errorsCount(), mapped.filter(lambda record: "zip" in record).count())
mapped.map(lambda record: {"fields": sorted(record.keys()), "zip": record["zip"]}).show()


def without(record):
    del record["zip"]
    record.pop("at")
    return record


people.map(without).printSchema()
print(people.map(lambda record: record["no such field"]).errorsCount(), people.filter(lambda r: r["zip"] is None).count())
# a row of a DataFrame has all its columns, null or not
rows = DynamicFrame.fromDF(people.toDF().drop("at"), glueContext, "rows")
rows.map(lambda record: {name: "N/A" if value is None else value for name, value in record.items()}).show()

left = people.toDF().select("id", "name")
right = spark.createDataFrame([(2, 40), (3, 50)], "id long, age int").withColumn("id", functions.col("id").cast("int"))
both = DynamicFrame.fromDF(left.join(right, left["id"] == right["id"], "full").orderBy("name"), glueContext, "both")
print(both.toDF().columns)
both.apply_mapping([("id", "int", "id", "long"), ("name", "string", "who", "string"), ("age", "int", "age", "int")]).show()
