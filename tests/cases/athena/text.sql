-- Text functions.
SELECT concat('a', NULL), concat('a', 'b', 'c'), 'a' || 'b', 'a' || NULL, concat_ws('-', 'a', NULL, 'b');
--: varchar, varchar, varchar, varchar, varchar
--> ,"abc","ab",,"a-b"

SELECT length('añb'), lower('ABC'), upper('añ'), reverse('abc'), trim('  a '), ltrim('  a'), rtrim('a  '), trim(BOTH 'x' FROM 'xax');
--: bigint, varchar, varchar, varchar, varchar, varchar, varchar, varchar
--> "3","abc","AÑ","cba","a","a","a","a"

SELECT substr('abc', 2), substr('abc', 0), substr('abc', -2), substr('abc', -5), substr('abc', 2, 1), substring('abc' FROM 2 FOR 2), substr('abc', 5);
--: varchar, varchar, varchar, varchar, varchar, varchar, varchar
--> "bc","","bc","","b","bc",""

SELECT split('a,b,,c', ','), split_part('a,b', ',', 2), split_part('a,b', ',', 3), cardinality(split('', ','));
--: array(varchar), varchar, varchar, bigint
--> "[a, b, , c]","b",,"1"

SELECT split_part('a,b', ',', 0);
--! INVALID_FUNCTION_ARGUMENT: Index must be greater than zero

SELECT strpos('abc', 'c'), strpos('abc', 'z'), position('b' IN 'abc'), starts_with('abc', 'ab'), replace('aXbX', 'X'), replace('aXb', 'X', 'yy');
--: bigint, bigint, bigint, boolean, varchar, varchar
--> "3","0","2","true","ab","ayyb"

SELECT lpad('7', 3, '0'), rpad('abc', 2, 'x'), chr(65), codepoint('A'), translate('abc', 'ab', 'xy'), repeat('x', 3);
--: varchar, varchar, varchar(1), integer, varchar, array(varchar(1))
--> "007","ab","A","65","xyc","[x, x, x]"

SELECT regexp_like('abc', 'b'), regexp_extract('abc', '(z)', 1), regexp_extract('a12', '\d+'), regexp_extract('a12', '([a-z])(\d+)', 2), regexp_extract_all('a1b2', '[a-z]');
--: boolean, varchar, varchar, varchar, array(varchar)
--> "true",,"12","12","[a, b]"

SELECT regexp_replace('abc', '(b)', '[$1]'), regexp_replace('a1b2', '\d'), regexp_replace('aaa', 'a', 'b'), regexp_split('a1b2c', '\d'), regexp_count('aXbX', 'X');
--: varchar, varchar, varchar, array(varchar), bigint
--> "a[b]c","ab","bbb","[a, b, c]","2"

SELECT regexp_replace('abc', '(?<n>b)', '${n}');
--! NOT_SUPPORTED: A named group in a regular expression replacement is not supported by the local engine

SELECT regexp_like('abc', '(');
--! INVALID_FUNCTION_ARGUMENT: The regular expression is not valid

SELECT url_encode('a b&c~*'), url_decode('a%20b+c'), url_extract_host('https://u@example.com:81/p/q?x=1&y=a%20b#f'), url_extract_parameter('https://example.com/?x=1&y=a%20b', 'y'), url_extract_path('https://example.com/p/q?x=1'), url_extract_port('https://example.com:81/'), url_extract_protocol('https://example.com');
--: varchar, varchar, varchar, varchar, varchar, bigint, varchar
--> "a+b%26c%7E*","a b c","example.com","a b","/p/q","81","https"

SELECT format('%s-%d-%.2f', b, a, d) FROM t WHERE a < 3 ORDER BY a;
--: varchar
--> "abc-1-1.50"
--> "xyz-2-2.50"

SELECT format('%s %s %05d %%', true, DATE '2020-01-01', 42), format('%x', 255);
--: varchar, varchar
--> "true 2020-01-01 00042 %","ff"

SELECT format('%d', 'a');
--! INVALID_FUNCTION_ARGUMENT: line 1:8: Invalid format string: %d for varchar(1)

SELECT format('%,d', 1000);
--! NOT_SUPPORTED: The format string '%,d' is not supported by the local engine

SELECT levenshtein_distance('kitten', 'sitting'), hamming_distance('abc', 'abd'), to_hex(to_utf8('ab')), from_utf8(from_hex('6162')), to_base64(to_utf8('a')), to_hex(md5(to_utf8('a')));
--: bigint, bigint, varchar, varchar, varchar, varchar
--> "3","1","6162","ab","YQ==","0CC175B9C0F1B6A831C399E269772661"

SELECT 'abc' LIKE 'a%', 'a%c' LIKE 'a\%c' ESCAPE '\', 'ABC' LIKE 'a%', b LIKE NULL FROM t WHERE a = 1;
--: boolean, boolean, boolean, boolean
--> "true","true","false",

SELECT 'a' < 'B', 'a' = 'a ', b = 'abc' FROM t WHERE a = 1;
--: boolean, boolean, boolean
--> "false","false","true"

SELECT length(12);
--! FUNCTION_NOT_FOUND: line 1:8: Unexpected parameters (integer) for function length. Expected: length(varchar), length(varbinary)

SELECT lower(NULL), coalesce(NULL, 'a'), nullif('a', 'a'), if(1 > 2, 'x'), if(true, 1, 2.5), CASE WHEN false THEN 1 END;
--: varchar, varchar(1), varchar(1), varchar(1), decimal(11,1), integer
--> ,"a",,,"1.0",

SELECT X'6162', to_utf8('a');
--: varbinary, varbinary
--> "61 62","61"

SELECT count(*) FROM t WHERE b = 1;
--! TYPE_MISMATCH: line 1:30: Cannot apply operator: varchar = integer

SELECT count(*) FROM t WHERE day = '2020-01-31';
--! TYPE_MISMATCH: line 1:30: Cannot apply operator: date = varchar(10)

SELECT url_encode(1);
--! FUNCTION_NOT_FOUND: line 1:8: Unexpected parameters (integer) for function url_encode. Expected: url_encode(varchar)

SELECT array_join(ARRAY[1, NULL, 3], ','), array_join(ARRAY[1, NULL, 3], ',', 'x'), array_join(ARRAY[1.5e0, 2], '/');
--: varchar, varchar, varchar
--> "1,3","1,x,3","1.5/2.0"

SELECT uuid() IS NOT NULL, length(uuid());
--: boolean, bigint
--> "true","36"

