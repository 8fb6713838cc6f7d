# AWS docs, "Code example: Joining and relationalizing data", with a few legislators
persons = frame(
    [
        {
            "id": "p1",
            "name": "Ann",
            "contact_details": [{"type": "fax", "value": "1"}, {"type": "twitter", "value": "ann"}],
            "other_names": [],
        },
        {
            "id": "p2",
            "name": "Bob",
            "contact_details": [{"type": "phone", "value": "3"}],
            "other_names": [{"lang": "de"}],
        },
        {"id": "p3", "name": "Cy"},
    ]
)
memberships = frame([{"person_id": "p1", "organization_id": "o1"}, {"person_id": "p2", "organization_id": "o1"}])
orgs = (
    frame([{"id": "o1", "name": "Senate"}])
    .drop_fields(["other"])
    .rename_field("id", "org_id")
    .rename_field("name", "org_name")
)
l_history = Join.apply(
    orgs, Join.apply(persons, memberships, "id", "person_id"), "org_id", "organization_id"
).drop_fields(["person_id", "org_id"])
print("Count: ", l_history.count())
l_history.printSchema()
dfc = l_history.relationalize("hist_root", "s3://workshop/temp-dir/")
print(sorted(dfc.keys()))
details, root = dfc.select("hist_root_contact_details").toDF(), dfc.select("hist_root").toDF()
dfc.select("hist_root_contact_details").printSchema()
joined = root.join(details, root.contact_details == details.id).select("name", "index", "`contact_details.val.value`")
print(sorted(tuple(row) for row in joined.collect()))
print(sorted((row.name, row.other_names is None) for row in root.collect()))
print(Join.apply(persons, orgs.rename_field("org_name", "name"), ["name"], ["name"]).toDF().columns)
deep = Relationalize.apply(
    frame([{"o": {"a": [{"k": 1, "b": [7, 8]}, {"k": 2}]}, "m": "x"}]), "s3://workshop/temp-dir/"
)
print(sorted(deep.keys()))
deep["roottable_o.a.val.b"].toDF().select("index", "`o.a.val.b.val`").show()
