# Records that bring their own types (AWS docs, "DynamicFrame class"), from files; a text that is no record
events = glueContext.create_dynamic_frame.from_options("s3", {"paths": ["s3://workshop/events/"]}, "json")
events.printSchema()
events.show()
print(events.count(), events.errorsCount())
whole = glueContext.create_dynamic_frame.from_options(
    "s3", {"paths": ["s3://workshop/whole.json"]}, "json", {"multiline": "true"}
)
whole.resolveChoice(choice="cast:double").show()
records = glueContext.create_dynamic_frame.from_rdd(
    spark.sparkContext.parallelize([{"a": 1}, {"a": "x", "b": 5000000000}], 1), "records"
)
records.printSchema()
visits = glueContext.create_dynamic_frame.from_catalog(database="payments", table_name="visits")
visits.printSchema()
visits.show()
