# AWS docs, "DynamicFrame class": filter, map, split_rows, union, mergeDynamicFrame, count, Spigot
hospitals = frame(
    [
        {"id": 1, "state": "CA", "street": "1 Main", "zip": "90001", "beds": 5000000000},
        {"id": 2, "state": "AL", "street": "2 Oak", "zip": "35005", "beds": 2},
        {"id": 3, "state": "WI", "street": "3 Elm", "zip": "53948", "beds": 3},
    ]
)
print(Filter.apply(frame=hospitals, f=lambda x: x["state"] in ["CA", "AL"] and x["zip"] > "4").count())


def merge_address(rec):
    rec["address"] = {"street": rec["street"], "zip.code": rec["zip"], "all": [rec["street"], rec["zip"]]}
    del rec["street"]
    del rec["zip"]
    return rec


mapped = Map.apply(frame=hospitals, f=merge_address).filter(lambda x: x["id"] == 2)
mapped.printSchema()
mapped.show()
split = SplitRows.apply(hospitals, {"id": {">": 1, "<": 3}}, "in", "out")
print(split["in"].count(), split["out"].count())
both = hospitals.select_fields(["id"]).union(frame([{"id": "four", "more": True}]))
both.printSchema()
staged = frame([{"id": 2, "state": "XX"}, {"id": 9, "state": "YY"}])
merged = hospitals.select_fields(["id", "state"]).mergeDynamicFrame(staged, ["id"])
print(sorted((row.id, row.state) for row in merged.toDF().collect()))
print(
    type(DropNullFields.apply(frame([{"a": 1, "b": None}]))).__name__,
    DropNullFields.apply(frame([{"a": 1, "b": None}])).toDF().columns,
)
print(Coalesce.apply(hospitals, 1).getNumPartitions(), Repartition.apply(hospitals, 3).getNumPartitions())
Spigot.apply(hospitals, "s3://workshop/spigot/", {"topk": 2})
print(spark.read.json("s3://workshop/spigot/").count())
typed = DynamicFrame.fromDF(spark.sql("SELECT 1L AS n, CAST(null AS string) AS s"), glueContext, "t").map(
    lambda rec: rec
)
print(typed.toDF().schema.simpleString())
