# AWS docs, "DynamicFrame class": unbox, simplify_ddb_json, unnest_ddb_json
boxed = frame([{"id": 1, "s": '{"a": 1, "b": ["x", 2]}', "c": "1|two"}, {"id": 2, "s": "no json"}])
unboxed = boxed.unbox("s", "json")
unboxed.printSchema()
print(unboxed.stageErrorsCount())
Unbox.apply(boxed, "c", "csv", separator="|").select_fields(["c"]).show()
try:
    boxed.unbox("c", "avro")
except NotImplementedError as error:
    print("refused", error)
item = {"ColA": {"S": "x"}, "ColB": {"N": "12"}, "ColC": {"L": [{"S": "l"}]}, "ColD": {"M": {"z": {"BOOL": True}}}}
frame([{"Item": item}]).unnest_ddb_json().printSchema()
frame([item]).simplify_ddb_json().show()
