-- CAST: what Trino's text rules accept, how it rounds, what it writes.
SELECT cast(2.5e0 AS bigint), cast(-2.5e0 AS integer), cast(3.5e0 AS integer), cast(2.5 AS integer), cast(0.4e0 AS integer);
--: bigint, integer, integer, integer, integer
--> "3","-3","4","3","0"

SELECT cast('12' AS integer), cast('-12' AS bigint), cast('+5' AS smallint);
--: integer, bigint, smallint
--> "12","-12","5"

SELECT cast('1.5' AS integer);
--! INVALID_CAST_ARGUMENT: Cannot cast '1.5' to INT

SELECT cast(' 12' AS integer);
--! INVALID_CAST_ARGUMENT: Cannot cast ' 12' to INT

SELECT cast('1_000' AS integer);
--! INVALID_CAST_ARGUMENT: Cannot cast '1_000' to INT

SELECT cast('' AS integer);
--! INVALID_CAST_ARGUMENT: Cannot cast '' to INT

SELECT cast('abc' AS double);
--! INVALID_CAST_ARGUMENT: Cannot cast 'abc' to DOUBLE

SELECT cast('1e3' AS double), cast(' 1.5 ' AS double), cast('NaN' AS double), cast('Infinity' AS double), cast('-Infinity' AS double);
--: double, double, double, double, double
--> "1000.0","1.5","NaN","Infinity","-Infinity"

SELECT cast('300' AS tinyint);
--! INVALID_CAST_ARGUMENT: Cannot cast '300' to TINYINT

SELECT cast(300 AS tinyint);
--! NUMERIC_VALUE_OUT_OF_RANGE: Out of range for tinyint: 300

SELECT cast('yes' AS boolean);
--! INVALID_CAST_ARGUMENT: Cannot cast 'yes' to BOOLEAN

SELECT cast('true' AS boolean), cast('T' AS boolean), cast('0' AS boolean), cast(1 AS boolean), cast(true AS integer);
--: boolean, boolean, boolean, boolean, integer
--> "true","true","false","true","1"

SELECT cast('2020-01-31' AS date), cast('2020-1-5' AS date), cast(TIMESTAMP '2020-01-31 23:59:59' AS date);
--: date, date, date
--> "2020-01-31","2020-01-05","2020-01-31"

SELECT cast('2020-01-31 10:00:00' AS date);
--! INVALID_CAST_ARGUMENT: Value cannot be cast to date: 2020-01-31 10:00:00

SELECT cast('2020-02-30' AS date);
--! INVALID_CAST_ARGUMENT: Value cannot be cast to date: 2020-02-30

SELECT cast('2020-01-31T10:00:00' AS timestamp);
--! INVALID_CAST_ARGUMENT: Value cannot be cast to timestamp: 2020-01-31T10:00:00

SELECT cast('2020-01-31 10:00:00.1236' AS timestamp), cast('2020-01-31' AS timestamp), cast(DATE '2020-01-31' AS timestamp);
--: timestamp(3), timestamp(3), timestamp(3)
--> "2020-01-31 10:00:00.124","2020-01-31 00:00:00.000","2020-01-31 00:00:00.000"

SELECT cast('abcdef' AS varchar(3)), cast('ab' AS char(4)), cast(12 AS varchar), cast(true AS varchar), cast(1.10 AS varchar);
--: varchar(3), char(4), varchar, varchar, varchar
--> "abc","ab  ","12","true","1.10"

SELECT cast(1e10 AS varchar), cast(0.1e0 AS varchar), cast(cast(0.1 AS real) AS varchar), cast(nan() AS varchar), cast(1e0 AS varchar);
--: varchar, varchar, varchar, varchar, varchar
--> "1.0E10","0.1","0.1","NaN","1.0"

SELECT cast(ts AS varchar), cast(day AS varchar), cast(d AS varchar), cast(p AS varchar), cast(yes AS varchar) FROM t ORDER BY a;
--: varchar, varchar, varchar, varchar, varchar
--> "2020-01-31 10:00:00.000","2020-01-31","1.5","12.34","true"
--> "2020-02-29 11:30:00.500","2020-02-29","2.5","1.10","false"
--> ,,,,

SELECT try_cast('x' AS integer), try_cast('12' AS integer), try_cast('yes' AS boolean), try_cast('2020-13-01' AS date), try_cast(NULL AS integer);
--: integer, integer, boolean, date, integer
--> ,"12",,,

SELECT cast('12.345' AS decimal(5,2)), cast(1.005 AS decimal(10,2)), cast(2.675e0 AS decimal(10,2)), cast(123 AS decimal(5,1));
--: decimal(5,2), decimal(10,2), decimal(10,2), decimal(5,1)
--> "12.35","1.01","2.68","123.0"

SELECT cast(12345 AS decimal(3,0));
--! INVALID_CAST_ARGUMENT: Cannot cast '12345' to DECIMAL(3, 0)

SELECT cast(array[1, 2] AS array(varchar)), cast(map(array['a'], array[1]) AS map(varchar, double)), cast(row(1, 'a') AS row(x bigint, y varchar));
--: array(varchar), map(varchar, double), row(x bigint, y varchar)
--> "[1, 2]","{a=1.0}","{x=1, y=a}"

SELECT cast(row(1, 'a') AS row(x bigint, y varchar)).y;
--: varchar
--> "a"

SELECT cast('[1,2]' AS json), cast(array[1, 2] AS json), cast(12 AS json), json_parse('{"a": [1, null]}');
--: json, json, json, json
--> """[1,2]""","[1,2]","12","{""a"":[1,null]}"

SELECT cast(json_parse('[1, 2]') AS array(integer)), cast(json_parse('{"a": 1}') AS map(varchar, integer)), cast(json_parse('{"x": 1, "y": "b"}') AS row(x integer, y varchar));
--: array(integer), map(varchar, integer), row(x integer, y varchar)
--> "[1, 2]","{a=1}","{x=1, y=b}"

SELECT cast(json_parse('"text"') AS varchar), cast(json_parse('12') AS bigint), cast(json_parse('12') AS varchar), cast(json_parse('null') AS varchar);
--: varchar, bigint, varchar, varchar
--> "text","12","12",

SELECT cast(DATE '2020-01-01' AS integer);
--! TYPE_MISMATCH: line 1:18: Cannot cast date to integer

SELECT cast(1 AS nonsense);
--! MALFORMED: line 1:18: mismatched input 'nonsense'

SELECT cast(NULL AS array(integer)), cast(NULL AS decimal(10,2));
--: array(integer), decimal(10,2)
--> ,

