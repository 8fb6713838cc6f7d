# Files bring their own columns and types ("DynamicFrame class": each record is self-describing).
def place(kind, name):
    return f"s3://workshop/columns/{kind}/{name}"


for kind in ("parquet", "orc"):
    spark.sql("select 1 id, 'x' a").coalesce(1).write.format(kind).save(place(kind, "1"))
    spark.sql("select 2 id, 'y' b, struct(1 as k) s").coalesce(1).write.format(kind).save(place(kind, "2"))
    spark.sql("select 3L id, 'z' a, struct(1 as k, 2 as m) s").coalesce(1).write.format(kind).save(place(kind, "3"))
    spark.sql("select 'four' id").coalesce(1).write.format(kind).save(place(kind, "4"))
    for names in ("12", "13", "1234"):
        paths = [place(kind, name) for name in names]
        read = glueContext.create_dynamic_frame.from_options("s3", {"paths": paths}, kind)
        read.printSchema()
        print(sorted(str(row.asDict(recursive=True)) for row in read.toDF().collect()))
