-- Arrays, maps, rows, lambdas, JSON.
SELECT ARRAY[1, 2][2], ARRAY['a', NULL], ARRAY[], ARRAY[1, 2.5], typeof(ARRAY[1, 2.5]);
--: integer, array(varchar(1)), array(unknown), array(decimal(11,1)), varchar
--> "2","[a, null]","[]","[1.0, 2.5]","array(decimal(11,1))"

SELECT ARRAY[1, 2][3];
--! INVALID_FUNCTION_ARGUMENT: Array subscript must be less than or equal to array length: 3 > 2

SELECT ARRAY[1, 2][0];
--! INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1

SELECT element_at(ARRAY[1, 2], 5), element_at(ARRAY[1, 2], -1), element_at(MAP(ARRAY['a'], ARRAY[1]), 'b'), MAP(ARRAY['a'], ARRAY[1])['a'];
--: integer, integer, integer, integer
--> ,"2",,"1"

SELECT element_at(ARRAY[1, 2], 0);
--! INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1

SELECT m['zz'] FROM t WHERE a = 1;
--! INVALID_FUNCTION_ARGUMENT: Key not present in map: zz

SELECT l[1], m['k'], r.x, t.r.y, r FROM t WHERE a = 1;
--: integer, integer, integer, varchar, row(x integer, y varchar)
--> "3","1","1","z","{x=1, y=z}"

SELECT r.nope FROM t;
--! COLUMN_NOT_FOUND: line 1:8: Column 'nope' cannot be resolved

SELECT cardinality(l), cardinality(m), contains(l, 1), contains(l, 9), contains(ARRAY[1, 2], 3), array_max(l), array_min(ARRAY[3, 1]), array_distinct(ARRAY[3, 1, NULL, 3, NULL]) FROM t WHERE a = 1;
--: bigint, bigint, boolean, boolean, boolean, integer, integer, array(integer)
--> "3","1","true",,"false",,"1","[3, 1, null]"

SELECT array_position(ARRAY[1, 2], 2), array_position(ARRAY[1, 2], 9), array_remove(ARRAY[1, 2, NULL, 1], 1), array_sort(ARRAY[3, NULL, 1]), reverse(ARRAY[1, 2]), flatten(ARRAY[ARRAY[1], ARRAY[2, 3]]);
--: bigint, bigint, array(integer), array(integer), array(integer), array(integer)
--> "2","0","[2, null]","[1, 3, null]","[2, 1]","[1, 2, 3]"

SELECT array_sort(ARRAY[3, 1], (x, y) -> IF(x < y, 1, -1));
--! NOT_SUPPORTED: line 1:8: This form of array_sort is not supported by the local engine

SELECT slice(ARRAY[1, 2, 3, 4], 2, 2), slice(ARRAY[1, 2, 3, 4], -2, 2), slice(ARRAY[1, 2], 1, 9);
--: array(integer), array(integer), array(integer)
--> "[2, 3]","[3, 4]","[1, 2]"

SELECT array_union(ARRAY[1, 2], ARRAY[2, 3]), array_intersect(ARRAY[1, 2, 2], ARRAY[2, 3]), array_except(ARRAY[1, 2, 2], ARRAY[1]), arrays_overlap(ARRAY[1], ARRAY[1, 2]), ARRAY[1] || ARRAY[2] || 3, concat(ARRAY[1], ARRAY[2]);
--: array(integer), array(integer), array(integer), boolean, array(integer), array(integer)
--> "[1, 2, 3]","[2]","[2]","true","[1, 2, 3]","[1, 2]"

SELECT sequence(1, 3), sequence(3, 1), sequence(1, 7, 3), sequence(DATE '2020-01-30', DATE '2020-02-01'), sequence(DATE '2020-01-01', DATE '2020-03-01', INTERVAL '1' MONTH);
--: array(bigint), array(bigint), array(bigint), array(date), array(date)
--> "[1, 2, 3]","[3, 2, 1]","[1, 4, 7]","[2020-01-30, 2020-01-31, 2020-02-01]","[2020-01-01, 2020-02-01, 2020-03-01]"

SELECT transform(ARRAY[1, 2], x -> x * 2), filter(ARRAY[1, NULL, 3], x -> x > 1), any_match(ARRAY[1, 2], x -> x = 2), all_match(ARRAY[1, 2], x -> x > 1), none_match(ARRAY[1], x -> x = 2), all_match(ARRAY[], x -> true);
--: array(integer), array(integer), boolean, boolean, boolean, boolean
--> "[2, 4]","[3]","true","false","true","true"

SELECT reduce(ARRAY[1, 2, 3], 0, (s, x) -> s + x, s -> s * 10), reduce(ARRAY['a', 'b'], '', (s, x) -> s || x, s -> upper(s)), reduce(ARRAY[1, 2], 0e0, (s, x) -> s + x, s -> s);
--: integer, varchar, double
--> "60","AB","3.0"

SELECT transform(ARRAY[ARRAY[1, 2], ARRAY[3]], x -> transform(x, y -> y + cardinality(x)));
--: array(array(bigint))
--> "[[3, 4], [4]]"

SELECT a, transform(l, x -> x + a) FROM t WHERE a < 3 ORDER BY a;
--: integer, array(integer)
--> "1","[4, 2, null]"
--> "2","[3]"

SELECT zip(ARRAY[1, 2], ARRAY['a']), zip_with(ARRAY[1, 2], ARRAY[3, 4], (x, y) -> x * y);
--: array(row(integer, varchar(1))), array(integer)
--> "[{field0=1, field1=a}, {field0=2, field1=null}]","[3, 8]"

SELECT map_keys(MAP(ARRAY['a', 'b'], ARRAY[1, 2])), map_values(m), map_entries(m), map_concat(m, MAP(ARRAY['k'], ARRAY[9])), map_from_entries(ARRAY[ROW('a', 1)]) FROM t WHERE a = 1;
--: array(varchar(1)), array(integer), array(row(varchar, integer)), map(varchar, integer), map(varchar(1), integer)
--> "[a, b]","[1]","[{field0=k, field1=1}]","{k=9}","{a=1}"

SELECT map_filter(MAP(ARRAY['a', 'b'], ARRAY[1, 2]), (k, v) -> v > 1), transform_values(m, (k, v) -> v + 1), transform_keys(m, (k, v) -> upper(k)) FROM t WHERE a = 1;
--: map(varchar(1), integer), map(varchar, integer), map(varchar, integer)
--> "{b=2}","{k=2}","{K=1}"

SELECT MAP(ARRAY['a', 'a'], ARRAY[1, 2]);
--! INVALID_FUNCTION_ARGUMENT: Duplicate map keys are not allowed

SELECT ROW(1, 'a'), ROW(1, 'a') = ROW(1, 'a'), cast(ROW(1, NULL) AS ROW(x integer, y varchar)), typeof(ROW(1, 'a'));
--: row(integer, varchar(1)), boolean, row(x integer, y varchar), varchar
--> "{field0=1, field1=a}","true","{x=1, y=null}","row(integer, varchar(1))"

SELECT split_to_map('a=1,b=2', ',', '='), array_agg(a ORDER BY a DESC), map_agg(b, a), histogram(b) FROM t;
--: map(varchar, varchar), array(integer), map(varchar, integer), map(varchar, bigint)
--> "{a=1, b=2}","[3, 2, 1]","{abc=1, xyz=2}","{abc=1, xyz=1}"

SELECT multimap_agg(c, a) FROM u WHERE c <> 'four';
--: map(varchar, array(integer))
--> "{one=[1], uno=[1]}"

SELECT json_extract_scalar('{"a": {"b": [1, "x"]}}', '$.a.b[1]'), json_extract('{"a": {"b": [1, 2]}}', '$.a'), json_extract_scalar('{"a": [1]}', '$.a'), json_extract_scalar('not json', '$.a'), json_extract_scalar('{"a b": null}', '$["a b"]');
--: varchar, json, varchar, varchar, varchar
--> "x","{""b"":[1,2]}",,,

SELECT json_array_length('[1, 2]'), json_array_length('{}'), json_size('{"a": {"b": 1, "c": 2}}', '$.a'), json_format(json_parse('{ "a": 1 }')), json_array_get('[1, 2]', 0), json_array_contains('[1, 2]', 2);
--: bigint, bigint, bigint, varchar, json, boolean
--> "2",,"2","{""a"":1}","1","true"

SELECT json_extract('{"a": [1, 2]}', '$.a[*]');
--! NOT_SUPPORTED: The JSON path '$.a[*]' is not supported by the local engine

SELECT json_parse('{');
--! INVALID_FUNCTION_ARGUMENT: Cannot convert value to JSON

SELECT cast(m AS json), cast(r AS json), cast(l AS json) FROM t WHERE a = 1;
--: json, json, json
--> "{""k"":1}","{""x"":1,""y"":""z""}","[3,1,null]"

SELECT filter(ARRAY[1], x -> 1);
--! TYPE_MISMATCH: line 1:25: A lambda of filter must return boolean: actual integer

SELECT x -> x;
--! MALFORMED: line 1:10: mismatched input '->'

SELECT transform(ARRAY[1], (x, y) -> x);
--! INVALID_FUNCTION_ARGUMENT: line 1:29: Expected a lambda that takes 1 argument(s)

