# AWS docs, "DynamicFrame class": drop_fields, select_fields, rename_field, split_fields, unnest
friends = frame(
    [
        {
            "name": "Sally",
            "age": 23,
            "location": {"state": "WY", "county": "Fremont"},
            "friends": [{"name": "Varun", "age": 34}, {"name": "El", "age": 21}],
        }
    ]
)
friends.drop_fields(paths=["age", "location.county", "friends.age", "nothing"]).printSchema()
friends.select_fields(["name", "location.state"]).show()
friends.rename_field("location.state", "location.st").rename_field("age", "years").unnest().printSchema()
friends.unnest().rename_field("`location.state`", "state").select_fields(["state"]).show()
parts = SplitFields.apply(friends, ["age", "location"], "left", "right")
for name in parts.keys():
    print(name, parts[name].toDF().columns)
print(SplitFields.apply(friends, ["age"]).keys())
