# The managed transforms of Glue Studio (AWS docs, "Transform data with AWS Glue managed transforms").
import gs_array_to_cols, gs_common, gs_concat, gs_derived, gs_explode, gs_flatten, gs_format_timestamp, gs_identifier
import gs_now, gs_null_rows, gs_pivot, gs_regex_extract, gs_repartition, gs_split, gs_to_timestamp, gs_uuid

shop = frame([
    {"product_id": 1, "categories": "sports,winter", "price": 2.5, "qty": 2},
    {"product_id": 2, "categories": "garden,tools", "price": 1.0, "qty": 3},
    {"product_id": 3, "categories": "videogames", "price": 4.0, "qty": 1},
])
total = shop.gs_derived(colName="total", expr="cast(price * qty as decimal(10,2))")
total.gs_derived(colName="price", expr="price + 1").show()
split = shop.gs_split(colName="categories", pattern=",", newColName="categories_arr").drop_fields(["price", "qty"])
split.gs_explode(colName="categories_arr", newCol="categories").show()
split.gs_array_to_cols(colName="categories_arr", colList="first, third", indexes="1,3").drop_fields(["categories"]).show()

phones = frame([{"phone_numbers": {"home_phone": {"country_code": 1, "number": "23"}, "kind": "x"}}])
phones.gs_flatten().printSchema()
phones.gs_flatten(maxLevels=1, separator="_").printSchema()

days = frame([{"day": "01", "month": "01", "year": "2020"}, {"day": "02", "year": "2020"}])
days.gs_concat(colName="date", colList=["year", "month", "day"], spacer="-").select_fields(["date"]).show()
rows = frame([{"a": 1, "b": ["x"]}, {"a": 2, "b": []}, {"c": ""}, {"a": 3}, {"c": "z"}]).drop_fields(["a"])
print(rows.count(), rows.gs_null_rows().count(), rows.gs_null_rows(extended=True).count())

times = frame([{"at": "2022-11-02T14:40:59.915Z"}, {"at": "1667400059915"}, {"at": "1667400059"}, {"at": "never"}])
stamps = times.gs_to_timestamp(colName="at", colType="autodetect", newColName="stamp")
stamps.show()
stamps.gs_format_timestamp(colName="stamp", dateFormat="%Y-%m-%dT%H:%M").select_fields(["stamp"]).show()
stamps.gs_format_timestamp("stamp", "yyyy-MM-dd", newColName="day").select_fields(["day"]).printSchema()
times.gs_to_timestamp("at", "iso").show()
frame([{"n": 1667400059}]).gs_to_timestamp("n", "seconds").show()

frame([{"price": "$12.50"}, {"price": "free"}]).gs_regex_extract(colName="price", regex=r"\$(\d+\.\d+)", newCols="amount").show()
sales = frame([
    {"year": 2020, "kind": "a", "n": 1}, {"year": 2020, "kind": "b", "n": 2},
    {"year": 2021, "kind": "a", "n": 3}, {"year": 2021, "kind": "a", "n": 4},
])
sales.gs_pivot(aggCol="n", aggFunction="sum", colList=["kind"]).toDF().orderBy("year").show()
print(sales.gs_repartition(numPartitionsStr="3").getNumPartitions())
named = sales.gs_uuid().gs_identifier("row").gs_now(colName="loaded").gs_now(colName="day", dateFormat="%Y%m%d")
named.printSchema()
print(named.toDF().select("uuid", "row").distinct().count(), len(named.toDF().first()["uuid"]), len(named.toDF().first()["day"]))
shop.toDF().gs_derived("twice", "qty * 2").select("twice").show()
for module in ("gs_lookup", "gs_nothing"):
    try:
        __import__(module)
    except ImportError as error:
        print(error)
