# AWS docs, "DynamicFrame class", apply_mapping; and nesting, casts and backticks as the medicare example has them
persons = frame(
    [{"family_name": "Collins", "name": "Michael", "gender": "male", "a.b": "1", "pay": "$7", "n": {"x": "5"}}]
)
persons.apply_mapping(
    [("family_name", "String", "last_name", "String"), ("name", "String", "first_name", "String")]
).printSchema()
nested = persons.apply_mapping(
    [
        ("name", "string", "who.name", "string"),
        ("family_name", "string", "who.family", "string"),
        ("`a.b`", "string", "ab", "int"),
        ("pay", "string", "pay", "double"),
        ("n.x", "string", "`n.x`", "long"),
        ("none", "string", "none", "string"),
        ("GENDER", "string", "gender", "string"),
    ]
)
nested.printSchema()
nested.show()
print(persons.apply_mapping([("GENDER", "string", "g", "string")], case_sensitive=True).toDF().columns)
