-- Numbers: Trino's result types, integer division, exact decimals, IEEE doubles.
SELECT 7 / 2, -7 / 2, 7 % 3, -7 % 3, 7e0 / 2, 7 / 2e0;
--: integer, integer, integer, integer, double, double
--> "3","-3","1","-1","3.5","3.5"

SELECT 1 / 0;
--! DIVISION_BY_ZERO: Division by zero

SELECT 7 % 0;
--! DIVISION_BY_ZERO: Division by zero

SELECT try(1 / 0), try(7 % 0), try(1.0 / 0);
--: integer, integer, decimal(2,1)
--> ,,

SELECT 1e0 / 0, -1e0 / 0, 0e0 / 0;
--: double, double, double
--> "Infinity","-Infinity","NaN"

SELECT 1.0 / 0;
--! DIVISION_BY_ZERO: Division by zero

SELECT 10.0 / 3, 1.0 / 8, -10.0 / 4, 2.0 / 3, 1 / 3.0;
--: decimal(3,1), decimal(2,1), decimal(3,1), decimal(2,1), decimal(12,1)
--> "3.3","0.1","-2.5","0.7","0.3"

SELECT 1.1 + 2, 1.10 - 0.1, 1.5 * 2.25, 10.5 % 3, 1.10 + 1e0;
--: decimal(12,1), decimal(4,2), decimal(5,3), decimal(3,1), double
--> "3.1","1.00","3.375","1.5","2.1"

SELECT DECIMAL '1.10', typeof(DECIMAL '1.10'), typeof(1.50), typeof(0.5), typeof(12), typeof(3000000000), typeof(1e0);
--: decimal(3,2), varchar, varchar, varchar, varchar, varchar, varchar
--> "1.10","decimal(3,2)","decimal(3,2)","decimal(1,1)","integer","bigint","double"

SELECT p / 3, p * 2, p + 1, p / p, p * p FROM t WHERE a = 1;
--: decimal(10,2), decimal(20,2), decimal(13,2), decimal(12,2), decimal(20,4)
--> "4.11","24.68","13.34","1.00","152.2756"

SELECT sum(p), avg(p), sum(p) * 100.0 / count(*), sum(p) / sum(a) FROM t;
--: decimal(38,2), decimal(10,2), decimal(38,3), decimal(38,2)
--> "13.44","6.72","448.000","2.24"

SELECT sum(a), avg(a), sum(s), sum(d), avg(d), sum(f), avg(f), count(*), count(b) FROM t;
--: bigint, double, bigint, double, double, real, real, bigint, bigint
--> "6","2.0","8","4.0","2.0","2.6","1.3","3","2"

SELECT sum(a), avg(a), sum(p), avg(p), max(a), count(*), array_agg(a) FROM nothing;
--! COLUMN_NOT_FOUND: line 1:28: Column 'p' cannot be resolved or requester is not authorized to access requested resources

SELECT cast(127 AS tinyint) + cast(1 AS tinyint);
--! NUMERIC_VALUE_OUT_OF_RANGE: tinyint addition overflow: 127 + 1

SELECT 2147483647 + 1;
--! NUMERIC_VALUE_OUT_OF_RANGE: integer addition overflow: 2147483647 + 1

SELECT 9223372036854775807 + 1;
--! NUMERIC_VALUE_OUT_OF_RANGE: bigint addition overflow: 9223372036854775807 + 1

SELECT -9223372036854775808;
--: bigint
--> "-9223372036854775808"

SELECT s + 1, typeof(s + 1), typeof(s + s), typeof(s + f), typeof(a + d) FROM t WHERE a = 1;
--: integer, varchar, varchar, varchar, varchar
--> "8","integer","smallint","real","double"

SELECT round(2.5), round(2.345, 2), round(2.5e0), round(-2.5e0), round(3), floor(2.7), ceil(-2.7), floor(2.7e0), ceiling(5);
--: decimal(2,0), decimal(5,3), double, double, integer, decimal(2,0), decimal(2,0), double, integer
--> "3","2.350","3.0","-3.0","3","2","-2","2.0","5"

SELECT abs(-3), sign(-2), sign(-2e0), sqrt(4), sqrt(-1), power(2, 3), mod(7, 3), truncate(-2.7e0), cbrt(27), exp(0);
--: integer, integer, double, double, double, double, integer, double, double, double
--> "3","-1","-1.0","2.0","NaN","8.0","1","-2.0","3.0","1.0"

SELECT ln(0), log10(100), log2(8), log(2, 8), pi(), e(), is_nan(nan()), infinity(), degrees(pi()), atan2(0, 1);
--: double, double, double, double, double, double, boolean, double, double, double
--> "-Infinity","2.0","3.0","3.0","3.141592653589793","2.718281828459045","true","Infinity","180.0","0.0"

SELECT greatest(1, 2, NULL), greatest(1, 2.5), least('b', 'a'), greatest(DATE '2020-01-01', DATE '2021-01-01');
--: integer, decimal(11,1), varchar(1), date
--> ,"2.5","a","2021-01-01"

SELECT bitwise_and(6, 3), bitwise_or(6, 3), bitwise_xor(6, 3), bitwise_not(0), width_bucket(5, 0, 10, 5);
--: bigint, bigint, bigint, bigint, bigint
--> "2","7","5","-1","3"

SELECT 1.0E7, 1.0E-4, 123456789.125E0, 0.001E0, 1e20, 100e0, -0e0, 12345678e0, 1e6, 9999999e0;
--: double, double, double, double, double, double, double, double, double, double
--> "1.0E7","1.0E-4","1.23456789125E8","0.001","1.0E20","100.0","-0.0","1.2345678E7","1000000.0","9999999.0"

SELECT f, f * 3, cast(f AS double) FROM t WHERE f IS NOT NULL;
--: real, real, double
--> "0.1","0.3","0.10000000149011612"
--> "2.5","7.5","2.5"

SELECT 1 + 'a';
--! TYPE_MISMATCH: line 1:8: Cannot apply operator: integer + varchar(1)

SELECT -'a';
--! TYPE_MISMATCH: line 1:9: Cannot negate varchar(1)

SELECT abs('a');
--! FUNCTION_NOT_FOUND: line 1:8: Unexpected parameters (varchar(1)) for function abs. Expected: abs(N)

SELECT to_base(255, 16), from_base('ff', 16);
--! NOT_SUPPORTED: line 1:26: Function 'from_base' is not supported by the local engine

