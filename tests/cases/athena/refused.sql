-- Text that would matter if generated SQL held it: it never does.
SELECT 'x'' OR 1=1 --' AS "a"" FROM t; DROP TABLE t; --" FROM t WHERE a = 1;
--: varchar(12)
--> "x' OR 1=1 --"

SELECT cast(ROW(1) AS ROW("x"" y" integer))."x"" y";
--: integer
--> "1"

SELECT '{0} {w} %s', '$1', '\', '"', 'a''b';
--: varchar(10), varchar(2), varchar(1), varchar(1), varchar(3)
--> "{0} {w} %s","$1","\","""","a'b"

SELECT n FROM (SELECT 1 AS "c0"" FROM r1") AS "r1; --" ("n");
--: integer
--> "1"

SELECT read_csv('/etc/passwd');
--! FUNCTION_NOT_FOUND: line 1:8: Function 'read_csv' not registered

SELECT * FROM read_csv('/etc/passwd');
--! FUNCTION_NOT_FOUND: line 1:15: Table function 'read_csv' not registered

SELECT * FROM read_text('/etc/passwd');
--! FUNCTION_NOT_FOUND: line 1:15: Table function 'read_text' not registered

SELECT * FROM glob('/*');
--! FUNCTION_NOT_FOUND: line 1:15: Table function 'glob' not registered

SELECT * FROM '/etc/passwd';
--! TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.db./etc/passwd' does not exist

SELECT * FROM "/etc/passwd";
--! TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.db./etc/passwd' does not exist

SELECT * FROM "read_csv('/etc/passwd')";
--! TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.db.read_csv('/etc/passwd')' does not exist

SELECT * FROM duckdb_settings();
--! FUNCTION_NOT_FOUND: line 1:15: Table function 'duckdb_settings' not registered

SELECT * FROM duckdb_settings;
--! TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.db.duckdb_settings' does not exist

SELECT * FROM information_schema.tables;
--! TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.db.tables' does not exist

SELECT * FROM pragma_database_list;
--! TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.db.pragma_database_list' does not exist

SELECT * FROM sqlite_master;
--! TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.db.sqlite_master' does not exist

SELECT getenv('HOME');
--! FUNCTION_NOT_FOUND: line 1:8: Function 'getenv' not registered

SELECT current_setting('temp_directory');
--! FUNCTION_NOT_FOUND: line 1:8: Function 'current_setting' not registered

SELECT error('x');
--! FUNCTION_NOT_FOUND: line 1:8: Function 'error' not registered

SELECT system('id');
--! FUNCTION_NOT_FOUND: line 1:8: Function 'system' not registered

SELECT query('select 1');
--! FUNCTION_NOT_FOUND: line 1:8: Function 'query' not registered

SELECT * FROM query('select 1');
--! FUNCTION_NOT_FOUND: line 1:15: Table function 'query' not registered

SELECT * FROM query_table('t');
--! FUNCTION_NOT_FOUND: line 1:15: Table function 'query_table' not registered

SELECT parquet_metadata('x');
--! FUNCTION_NOT_FOUND: line 1:8: Function 'parquet_metadata' not registered

SELECT * FROM parquet_scan('x');
--! FUNCTION_NOT_FOUND: line 1:15: Table function 'parquet_scan' not registered

SELECT * FROM UNNEST(glob('/*')) AS x (n);
--! FUNCTION_NOT_FOUND: line 1:22: Function 'glob' not registered

SELECT write_log('x');
--! FUNCTION_NOT_FOUND: line 1:8: Function 'write_log' not registered

SELECT nextval('x');
--! FUNCTION_NOT_FOUND: line 1:8: Function 'nextval' not registered

SELECT pg_sleep(1);
--! FUNCTION_NOT_FOUND: line 1:8: Function 'pg_sleep' not registered

SELECT list_transform(ARRAY[1], x -> x);
--! FUNCTION_NOT_FOUND: line 1:8: Function 'list_transform' not registered

SELECT struct_extract(r, 'x') FROM t;
--! FUNCTION_NOT_FOUND: line 1:8: Function 'struct_extract' not registered

SELECT a::varchar FROM t;
--! MALFORMED: line 1:9: mismatched input '::'

SELECT COLUMNS('a') FROM t;
--! FUNCTION_NOT_FOUND: line 1:8: Function 'COLUMNS' not registered

SELECT * EXCLUDE (a) FROM t;
--! SYNTAX_ERROR: line 1:8: mismatched input after '*'

SELECT * REPLACE (1 AS a) FROM t;
--! SYNTAX_ERROR: line 1:8: mismatched input after '*'

SELECT #1 FROM t;
--! MALFORMED: line 1:8: mismatched input '#'

SELECT {'a': 1};
--! NOT_SUPPORTED: line 1:14: Struct is not supported by the local engine

SELECT [1, 2];
--! MALFORMED: line 1:8: mismatched input '['

SELECT l[1:2] FROM t;
--! SYNTAX_ERROR: line 1:8: A subscript has one index

SELECT $1;
--! COLUMN_NOT_FOUND: line 1:8: Column '$1' cannot be resolved or requester is not authorized to access requested resources

SELECT ?;
--! INVALID_PARAMETER_USAGE: Incorrect number of parameters: the query has an unbound '?'

FROM t;
--: integer, varchar, double, decimal(10,2), date, timestamp(3), array(integer), map(varchar, integer), row(x integer, y varchar), smallint, real, boolean
--> "1","abc","1.5","12.34","2020-01-31","2020-01-31 10:00:00.000","[3, 1, null]","{k=1}","{x=1, y=z}","7","0.1","true"
--> "2","xyz","2.5","1.10","2020-02-29","2020-02-29 11:30:00.500","[1]","{z=2}","{x=2, y=null}",,,"false"
--> "3",,,,,,,,,"1","2.5",

PIVOT t ON a USING sum(a);
--! NOT_SUPPORTED: line 1:7: Pivot is not supported by the local engine

DESCRIBE t;
--! NOT_SUPPORTED: line 1:10: Describe is not supported by the local engine

ATTACH '/tmp/x.db' AS x;
--! MALFORMED: line 1:8: mismatched input ''/tmp/x.db''

COPY t TO '/tmp/x';
--! NOT_SUPPORTED: line 1:6: Copy is not supported by the local engine

INSTALL httpfs;
--! NOT_SUPPORTED: line 1:1: Alias is not supported by the local engine

LOAD httpfs;
--! NOT_SUPPORTED: Command is not supported by the local engine

PRAGMA database_list;
--! NOT_SUPPORTED: line 1:8: Pragma is not supported by the local engine

SET memory_limit = '1GB';
--! NOT_SUPPORTED: line 1:5: Set is not supported by the local engine

CALL pragma_version();
--! NOT_SUPPORTED: line 1:21: Command is not supported by the local engine

EXPORT DATABASE '/tmp/x';
--! MALFORMED: line 1:17: mismatched input ''/tmp/x''

IMPORT DATABASE '/tmp/x';
--! MALFORMED: line 1:17: mismatched input ''/tmp/x''

CREATE MACRO f(x) AS x;
--! NOT_SUPPORTED: Command is not supported by the local engine

SELECT 1 INTO OUTFILE '/tmp/x';
--! MALFORMED: line 1:23: mismatched input ''/tmp/x''

SELECT * FROM t ASOF JOIN u ON t.a = u.a;
--! NOT_SUPPORTED: line 1:27: ASOF JOIN is not supported by the local engine

SELECT * FROM t POSITIONAL JOIN u;
--! SYNTAX_ERROR: line 1:33: A JOIN needs ON or USING

SELECT a FROM t USING SAMPLE 10;
--! NOT_SUPPORTED: line 1:8: SAMPLE is not supported by the local engine

SELECT sum(a) OVER (ORDER BY a ROWS BETWEEN CURRENT ROW AND CURRENT ROW EXCLUDE TIES) FROM t;
--! NOT_SUPPORTED: line 1:8: EXCLUDE in a window frame is not supported

SELECT count(*) FROM t WHERE a = (SELECT max(x.a) FROM t AS x, LATERAL (SELECT t.a) AS y);
--: bigint
--> "1"

