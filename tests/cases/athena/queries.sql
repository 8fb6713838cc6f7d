-- SELECT: scopes, grouping, joins, set operations, subqueries, UNNEST, WITH.
SELECT a, b FROM t ORDER BY b;
--: integer, varchar
--> "1","abc"
--> "2","xyz"
--> "3",

SELECT a, b FROM t ORDER BY b DESC NULLS FIRST;
--: integer, varchar
--> "3",
--> "2","xyz"
--> "1","abc"

SELECT A, T.B AS Name, a + 1 FROM T WHERE a = 1;
--: integer, varchar, integer
--> "1","abc","2"

SELECT * FROM u ORDER BY 1, 2 LIMIT 2;
--: integer, varchar
--> "1","one"
--> "1","uno"

SELECT u.*, 1 AS one FROM u WHERE c = 'uno';
--: integer, varchar, integer
--> "1","uno","1"

SELECT a FROM t ORDER BY d DESC OFFSET 1 LIMIT 1;
--: integer
--> "1"

SELECT a FROM t FETCH FIRST 1 ROWS ONLY;
--: integer
--> "1"

SELECT count(*), count(b), count(DISTINCT a), sum(a) FILTER (WHERE a > 1), count_if(a > 1) FROM t;
--: bigint, bigint, bigint, bigint, bigint
--> "3","2","3","5","2"

SELECT a % 2 AS odd, count(*) FROM t GROUP BY a % 2 ORDER BY odd;
--: integer, bigint
--> "0","1"
--> "1","2"

SELECT a % 2 AS odd, count(*) FROM t GROUP BY 1 HAVING count(*) > 1;
--: integer, bigint
--> "1","2"

SELECT a % 2 AS odd, count(*) FROM t GROUP BY odd;
--! COLUMN_NOT_FOUND: line 1:47: Column 'odd' cannot be resolved or requester is not authorized to access requested resources

SELECT upper(b) AS b, count(*) FROM t GROUP BY b ORDER BY b;
--: varchar, bigint
--> "ABC","1"
--> "XYZ","1"
--> ,"1"

SELECT a + 1 AS n, n + 1 FROM t;
--! COLUMN_NOT_FOUND: line 1:20: Column 'n' cannot be resolved or requester is not authorized to access requested resources

SELECT a AS n FROM t WHERE n = 1;
--! COLUMN_NOT_FOUND: line 1:28: Column 'n' cannot be resolved or requester is not authorized to access requested resources

SELECT a AS n FROM t ORDER BY n + 0 DESC LIMIT 1;
--: integer
--> "3"

SELECT a, count(*) FROM t;
--! EXPRESSION_NOT_AGGREGATE: 'a' must be an aggregate expression or appear in GROUP BY clause

SELECT sum(sum(a)) FROM t;
--! NESTED_AGGREGATION: an aggregation is not allowed here

SELECT a FROM t WHERE sum(a) > 1;
--! EXPRESSION_NOT_SCALAR: line 1:23: WHERE clause cannot contain aggregations, window functions or grouping operations: [sum]

SELECT a FROM t WHERE a;
--! TYPE_MISMATCH: line 1:23: WHERE clause must evaluate to a boolean: actual type integer

SELECT grouping(a), a, count(*) FROM u GROUP BY ROLLUP(a) ORDER BY 1, 2;
--: bigint, integer, bigint
--> "0","1","2"
--> "0","4","1"
--> "1",,"3"

SELECT a, c, count(*) FROM u GROUP BY GROUPING SETS ((a), (c), ()) ORDER BY 1, 2;
--: integer, varchar, bigint
--> "1",,"2"
--> "4",,"1"
--> ,"four","1"
--> ,"one","1"
--> ,"uno","1"
--> ,,"3"

SELECT a, c, count(*) FROM u GROUP BY CUBE(a, c) ORDER BY 1, 2;
--: integer, varchar, bigint
--> "1","one","1"
--> "1","uno","1"
--> "1",,"2"
--> "4","four","1"
--> "4",,"1"
--> ,"four","1"
--> ,"one","1"
--> ,"uno","1"
--> ,,"3"

SELECT t.a, c FROM t JOIN u ON t.a = u.a ORDER BY c;
--: integer, varchar
--> "1","one"
--> "1","uno"

SELECT t.a, c FROM t LEFT JOIN u ON t.a = u.a ORDER BY 1, 2;
--: integer, varchar
--> "1","one"
--> "1","uno"
--> "2",
--> "3",

SELECT t.a, u.a, c FROM t FULL OUTER JOIN u ON t.a = u.a ORDER BY 1, 2, 3;
--: integer, integer, varchar
--> "1","1","one"
--> "1","1","uno"
--> "2",,
--> "3",,
--> ,"4","four"

SELECT t.a, c FROM t RIGHT JOIN u ON t.a = u.a ORDER BY 2;
--: integer, varchar
--> ,"four"
--> "1","one"
--> "1","uno"

SELECT a, b, c FROM t JOIN u USING (a) ORDER BY c;
--: integer, varchar, varchar
--> "1","abc","one"
--> "1","abc","uno"

SELECT count(*) FROM t CROSS JOIN u;
--: bigint
--> "9"

SELECT count(*) FROM t, u WHERE t.a = u.a;
--: bigint
--> "2"

SELECT a FROM t JOIN u ON t.a = u.a;
--! AMBIGUOUS_NAME: line 1:8: Column 'a' is ambiguous

SELECT x.a FROM t AS x JOIN (SELECT a, max(c) AS m FROM u GROUP BY a) AS y ON x.a = y.a AND y.m = 'uno';
--: integer
--> "1"

SELECT t.a FROM t AS x;
--! COLUMN_NOT_FOUND: line 1:8: Column 't.a' cannot be resolved or requester is not authorized to access requested resources

SELECT a FROM t WHERE a IN (SELECT a FROM u) ORDER BY a;
--: integer
--> "1"

SELECT a FROM t WHERE a NOT IN (SELECT a FROM u) ORDER BY a;
--: integer
--> "2"
--> "3"

SELECT a FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.a = t.a) ORDER BY a;
--: integer
--> "2"
--> "3"

SELECT a, (SELECT max(c) FROM u WHERE u.a = t.a) FROM t ORDER BY a;
--: integer, varchar
--> "1","uno"
--> "2",
--> "3",

SELECT (SELECT a FROM t);
--! SUBQUERY_MULTIPLE_ROWS: Scalar sub-query has returned multiple rows

SELECT (SELECT a, b FROM t);
--! TYPE_MISMATCH: line 1:16: Multiple columns returned by subquery are not yet supported. Found 2

SELECT a FROM t WHERE a > ALL (SELECT a FROM u WHERE a = 1) AND a = ANY (VALUES 2, 3) ORDER BY a;
--: integer
--> "2"
--> "3"

SELECT a FROM t UNION SELECT a FROM u ORDER BY a;
--: integer
--> "1"
--> "2"
--> "3"
--> "4"

SELECT a FROM t UNION ALL SELECT a FROM u ORDER BY a DESC LIMIT 2;
--: integer
--> "4"
--> "3"

SELECT a FROM t INTERSECT SELECT a FROM u;
--: integer
--> "1"

SELECT a FROM t EXCEPT SELECT a FROM u ORDER BY 1;
--: integer
--> "2"
--> "3"

SELECT 1 UNION SELECT 'a';
--! TYPE_MISMATCH: line 1:8: column 1 in UNION query has incompatible types: integer, varchar(1)

SELECT 1 UNION SELECT 1, 2;
--! TYPE_MISMATCH: line 1:8: UNION query has different number of fields: 1, 2

SELECT 1 AS n UNION ALL SELECT 2.5;
--: decimal(11,1)
--> "1.0"
--> "2.5"

VALUES (1, 'a'), (2, 'b');
--: integer, varchar(1)
--> "1","a"
--> "2","b"

SELECT * FROM (VALUES (1, 'a'), (2, NULL)) AS v (n, s) ORDER BY n;
--: integer, varchar(1)
--> "1","a"
--> "2",

SELECT * FROM (VALUES (1, 'a')) AS v (n);
--! MISMATCHED_COLUMN_ALIASES: line 1:24: Column alias list has 1 entries but relation has 2 columns

WITH x AS (SELECT a + 1 AS n FROM t), y (m) AS (SELECT max(n) FROM x) SELECT n, m FROM x CROSS JOIN y ORDER BY n;
--: integer, integer
--> "2","4"
--> "3","4"
--> "4","4"

WITH RECURSIVE x (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n < 5) SELECT sum(n) FROM x;
--: bigint
--> "15"

WITH t AS (SELECT 9 AS a) SELECT a FROM t;
--: integer
--> "9"

SELECT a, e FROM t CROSS JOIN UNNEST(l) AS x (e) ORDER BY a, e;
--: integer, integer
--> "1","1"
--> "1","3"
--> "1",
--> "2","1"

SELECT k, v FROM t CROSS JOIN UNNEST(m) AS x (k, v) ORDER BY k;
--: varchar, integer
--> "k","1"
--> "z","2"

SELECT * FROM UNNEST(ARRAY[1, 2], ARRAY['a']) AS x (n, s) ORDER BY n;
--: integer, varchar(1)
--> "1","a"
--> "2",

SELECT e, o FROM UNNEST(ARRAY['x', 'y']) WITH ORDINALITY AS x (e, o);
--: varchar(1), bigint
--> "x","1"
--> "y","2"

SELECT p, q FROM UNNEST(ARRAY[ROW(1, 'a'), ROW(2, 'b')]) AS x (p, q) ORDER BY p;
--: integer, varchar(1)
--> "1","a"
--> "2","b"

SELECT a, e FROM t LEFT JOIN UNNEST(l) AS x (e) ON true WHERE a > 1 ORDER BY a;
--: integer, integer
--> "2","1"
--> "3",

SELECT * FROM UNNEST(1) AS x (n);
--! INVALID_FUNCTION_ARGUMENT: line 1:22: Cannot unnest type: integer

SELECT a, row_number() OVER (ORDER BY a DESC), rank() OVER (ORDER BY a % 2), lag(a) OVER (ORDER BY a), lead(a, 1, 0) OVER (ORDER BY a) FROM t ORDER BY a;
--: integer, bigint, bigint, integer, integer
--> "1","3","2",,"2"
--> "2","2","1","1","3"
--> "3","1","2","2","0"

SELECT a, sum(a) OVER (ORDER BY a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), first_value(b) IGNORE NULLS OVER (ORDER BY a DESC ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM t ORDER BY a;
--: integer, bigint, varchar
--> "1","1","xyz"
--> "2","3","xyz"
--> "3","5","xyz"

SELECT a, sum(a) OVER w, ntile(2) OVER w FROM t WINDOW w AS (ORDER BY a) ORDER BY a;
--: integer, bigint, bigint
--> "1","1","1"
--> "2","3","1"
--> "3","6","2"

SELECT avg(p) OVER (PARTITION BY a % 2) FROM t ORDER BY a;
--: decimal(10,2)
--> "12.34"
--> "1.10"
--> "12.34"

SELECT rank() FROM t;
--! MISSING_OVER: line 1:8: Window function rank must have an OVER clause

SELECT lower('a') OVER () FROM t;
--! FUNCTION_NOT_WINDOW: line 1:8: Not a window function: lower

SELECT listagg(c, ',') WITHIN GROUP (ORDER BY c DESC) FROM u;
--: varchar
--> "uno,one,four"

SELECT max_by(c, a), min_by(c, a), approx_distinct(a), approx_percentile(a, 0.5), arbitrary(1), bool_and(a > 0), every(a > 1), stddev(a), max(a, 2), array_agg(DISTINCT a ORDER BY a) FROM u;
--: varchar, varchar, bigint, integer, integer, boolean, boolean, double, array(integer), array(integer)
--> "four","one","2","1","1","true","false","1.7320508075688772","[4, 1]","[1, 4]"

SELECT DISTINCT a FROM u ORDER BY a;
--: integer
--> "1"
--> "4"

SELECT DISTINCT ON (a) a FROM u;
--! SYNTAX_ERROR: line 1:21: mismatched input 'ON'

SELECT a IS NULL, a IS NOT DISTINCT FROM 1, NOT (a = 1), a BETWEEN 1 AND 2, a IN (1, 2), b LIKE 'a%' FROM t ORDER BY t.a;
--: boolean, boolean, boolean, boolean, boolean, boolean
--> "false","true","false","true","true","true"
--> "false","false","true","true","true","false"
--> "false","false","true","false","false",

SELECT nope FROM t;
--! COLUMN_NOT_FOUND: line 1:8: Column 'nope' cannot be resolved or requester is not authorized to access requested resources

SELECT t.nope FROM t;
--! COLUMN_NOT_FOUND: line 1:8: Column 't.nope' cannot be resolved or requester is not authorized to access requested resources

SELECT 1 FROM nope;
--! TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.db.nope' does not exist

SELECT *;
--! COLUMN_NOT_FOUND: line 1:8: SELECT * not allowed in queries without FROM clause

SELECT FROM t;
--! SYNTAX_ERROR: line 1:13: SELECT * needs a FROM clause with columns

SELECT nope(1);
--! FUNCTION_NOT_FOUND: line 1:8: Function 'nope' not registered

SELECT soundex('a');
--! NOT_SUPPORTED: line 1:8: Function 'soundex' is not supported by the local engine

SELECT a FROM t ORDER BY 5;
--! INVALID_COLUMN_REFERENCE: line 1:26: ORDER BY position 5 is not in select list

SELECT a FROM t GROUP BY 5;
--! INVALID_COLUMN_REFERENCE: line 1:26: GROUP BY position 5 is not in select list

SELECT a FROM t LIMIT 'x';
--! SYNTAX_ERROR: line 1:8: LIMIT and OFFSET take a whole number

SELECT count(*) FROM t TABLESAMPLE BERNOULLI (10);
--! NOT_SUPPORTED: line 1:22: SAMPLE of a table is not supported by the local engine

SELECT * FROM t FOR TIMESTAMP AS OF now();
--! NOT_SUPPORTED: line 1:15: VERSION of a table is not supported by the local engine

SELECT a FROM t QUALIFY a = 1;
--! MALFORMED: line 1:25: mismatched input 'a'

SELEC 1;
--! MALFORMED: line 1:7: mismatched input '1'

SELECT 1; SELECT 2;
--! MALFORMED: Only one sql statement is allowed. Got: SELECT 1; SELECT 2

SELECT CASE a WHEN 1 THEN 'one' WHEN 2 THEN 'two' END, CASE WHEN a > 2 THEN 'big' ELSE b END FROM t ORDER BY a;
--: varchar(3), varchar
--> "one","abc"
--> "two","xyz"
--> ,"big"

SELECT CASE WHEN true THEN 1 ELSE 'a' END;
--! TYPE_MISMATCH: line 1:28: All CASE results must be the same type: integer (alternative: varchar(1))

SELECT "a", "A" FROM "t" WHERE "b" = 'abc';
--: integer, integer
--> "1","1"

SELECT 'a' AS "q""uote", 1 AS "semi;colon", 2 AS select_;
--: varchar(1), integer, integer
--> "a","1","2"

