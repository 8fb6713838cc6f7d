# AWS docs, "DynamicFrame class", resolveChoice: all actions, paths into structs and arrays
mixed = frame(
    [
        {"id": 10001, "inner": {"v": 1}, "myList": [{"price": 100.0}, {"price": "$100.00"}], "both": [1, "a"]},
        {"id": "x", "inner": {"v": True}, "myList": [], "both": []},
    ]
)
mixed.printSchema()
mixed.show()
print(mixed.toDF().select("id").collect())
mixed.resolveChoice(specs=[("id", "cast:long"), ("myList[].price", "cast:double"), ("both[]", "cast:string")]).show()
mixed.resolveChoice(specs=[("id", "project:string"), ("inner.v", "make_cols")]).select_fields(["id", "inner"]).show()
mixed.resolveChoice(choice="make_cols").printSchema()
mixed.resolveChoice(choice="make_struct").select_fields(["id"]).printSchema()
mixed.resolveChoice(choice="cast:string").select_fields(["id", "inner"]).show()
print(
    mixed.toDF([ResolveOption("id", "Project", StringType()), ResolveOption("inner.v", "KeepAsStruct")])
    .select("id")
    .collect()
)
mixed.apply_mapping([("id", "int", "n", "long"), ("id", "string", "s", "string")]).show()
for wrong in (
    {"choice": "make_rows"},
    {},
    {"specs": [("id", "cast")]},
    {"specs": [("id", "cast:int")], "choice": "make_cols"},
):
    try:
        mixed.resolveChoice(**wrong)
    except ValueError as error:
        print("refused", error)
