# AWS docs, "PySpark transforms reference": SelectFromCollection, MapToCollection, FlatMap; trained ones are refused
both = DynamicFrameCollection({"a": frame([{"x": 1}]), "b": frame([{"x": 2}, {"x": None}])}, glueContext)
print(len(both), SelectFromCollection.apply(dfc=both, key="b").count())
print(
    [
        one.count()
        for one in MapToCollection.apply(both, lambda one, ctx: one.filter(lambda rec: rec["x"] == 2)).values()
    ]
)
renamed = FlatMap.apply(both, RenameField, "frame", old_name="x", new_name="y")
print(
    renamed["a"].toDF().columns, both.flatmap(lambda one, ctx: DynamicFrameCollection({"z": one}, glueContext)).keys()
)
try:
    both["c"]
except KeyError as error:
    print(error)
for trained in (lambda: FindMatches.apply(both["a"], "t"), lambda: FillMissingValues.apply(both["a"], "x")):
    try:
        trained()
    except NotImplementedError as error:
        print(error)
print(ApplyMapping.name(), [one["name"] for one in Filter.describeArgs()], Join.describeReturn()["type"])
print(both["a"].schema().getField("x").dataType.typeName(), both["a"].schema())
