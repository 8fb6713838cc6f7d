-- Dates and times: complete units, types that stay, zones, patterns.
SELECT date_diff('month', DATE '2020-01-31', DATE '2020-03-30'), date_diff('day', TIMESTAMP '2020-01-01 12:00:00', TIMESTAMP '2020-01-02 11:00:00'), date_diff('year', DATE '2020-06-01', DATE '2021-05-31'), date_diff('hour', TIMESTAMP '2020-01-01 00:59:00', TIMESTAMP '2020-01-01 01:01:00');
--: bigint, bigint, bigint, bigint
--> "1","0","0","0"

SELECT date_diff('day', DATE '2020-01-02', DATE '2020-01-01'), date_diff('week', DATE '2020-01-01', DATE '2020-01-14'), date_diff('second', DATE '2020-01-01', TIMESTAMP '2020-01-01 00:01:00');
--: bigint, bigint, bigint
--> "-1","1","60"

SELECT date_add('month', 1, DATE '2020-01-31'), date_add('day', -1, DATE '2020-03-01'), date_add('hour', 2, TIMESTAMP '2020-01-01 23:00:00'), date_add('quarter', 1, DATE '2020-01-31');
--: date, date, timestamp(3), date
--> "2020-02-29","2020-02-29","2020-01-02 01:00:00.000","2020-04-30"

SELECT date_trunc('month', DATE '2020-01-31'), date_trunc('hour', TIMESTAMP '2020-01-31 10:20:30'), date_trunc('week', DATE '2020-01-05'), date_trunc('year', TIMESTAMP '2020-05-05 00:00:00');
--: date, timestamp(3), date, timestamp(3)
--> "2020-01-01","2020-01-31 10:00:00.000","2019-12-30","2020-01-01 00:00:00.000"

SELECT date_trunc('hour', DATE '2020-01-01');
--! INVALID_FUNCTION_ARGUMENT: line 1:8: 'hour' is not a valid DATE field

SELECT date_trunc('fortnight', DATE '2020-01-01');
--! INVALID_FUNCTION_ARGUMENT: line 1:8: 'fortnight' is not a valid date field

SELECT year(day), quarter(day), month(day), week(day), day(day), day_of_week(day), dow(day), day_of_year(day), year_of_week(day) FROM t WHERE a = 1;
--: bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint
--> "2020","1","1","5","31","5","5","31","2020"

SELECT hour(ts), minute(ts), second(ts), millisecond(ts), extract(YEAR FROM ts), extract(DOW FROM ts) FROM t WHERE a = 2;
--: bigint, bigint, bigint, bigint, bigint, bigint
--> "11","30","0","500","2020","6"

SELECT week(DATE '2021-01-03'), yow(DATE '2021-01-03'), day_of_week(DATE '2021-01-03'), last_day_of_month(DATE '2020-02-10');
--: bigint, bigint, bigint, date
--> "53","2020","7","2020-02-29"

SELECT day + INTERVAL '1' MONTH, day - INTERVAL '1' DAY, ts + INTERVAL '2' HOUR, INTERVAL '1' DAY + day FROM t WHERE a = 1;
--: date, date, timestamp(3), date
--> "2020-02-29","2020-01-30","2020-01-31 12:00:00.000","2020-02-01"

SELECT DATE '2020-01-31' - DATE '2020-01-01', TIMESTAMP '2020-01-02 10:00:00' - TIMESTAMP '2020-01-01 12:00:00', INTERVAL '14' MONTH, INTERVAL '90' SECOND;
--: interval day to second, interval day to second, interval year to month, interval day to second
--> "30 00:00:00.000","0 22:00:00.000","1-2","0 00:01:30.000"

SELECT current_date, now(), current_timestamp, localtimestamp, typeof(now());
--: date, timestamp(3) with time zone, timestamp(3) with time zone, timestamp(3), varchar
--> "2026-11-23","2026-11-23 01:02:03.004 UTC","2026-11-23 01:02:03.004 UTC","2026-11-23 01:02:03.004","timestamp(3) with time zone"

SELECT ts AT TIME ZONE 'America/New_York', hour(ts AT TIME ZONE 'America/New_York'), at_timezone(ts, 'Europe/Berlin') FROM t WHERE a = 1;
--: timestamp(3) with time zone, bigint, timestamp(3) with time zone
--> "2020-01-31 05:00:00.000 America/New_York","5","2020-01-31 11:00:00.000 Europe/Berlin"

SELECT with_timezone(TIMESTAMP '2020-01-31 10:00:00', 'America/New_York'), cast(with_timezone(TIMESTAMP '2020-01-31 10:00:00', 'America/New_York') AS timestamp), date(with_timezone(TIMESTAMP '2020-01-31 23:00:00', 'America/New_York'));
--: timestamp(3) with time zone, timestamp(3), date
--> "2020-01-31 10:00:00.000 America/New_York","2020-01-31 10:00:00.000","2020-01-31"

SELECT date_format(TIMESTAMP '2020-01-05 13:04:05.678', '%Y-%m-%d %H:%i:%s'), date_format(TIMESTAMP '2020-01-05 13:04:05', '%c/%e/%y %l:%i %p %M %W %j');
--: varchar, varchar
--> "2020-01-05 13:04:05","1/5/20 1:04 PM January Sunday 005"

SELECT date_format(DATE '2020-01-05', '%U');
--! INVALID_FUNCTION_ARGUMENT: %U not supported in date format string

SELECT date_parse('2020-01-05', '%Y-%m-%d'), date_parse('5/1/2020 7:08', '%e/%c/%Y %k:%i');
--: timestamp(3), timestamp(3)
--> "2020-01-05 00:00:00.000","2020-01-05 07:08:00.000"

SELECT date_parse('nonsense', '%Y-%m-%d');
--! INVALID_FUNCTION_ARGUMENT: Invalid format: "nonsense"

SELECT format_datetime(TIMESTAMP '2020-01-05 13:04:05.678', 'yyyy-MM-dd''T''HH:mm:ss.SSS'), format_datetime(TIMESTAMP '2020-01-05 13:04:05', 'EEE, d MMM yyyy h:mm a');
--: varchar, varchar
--> "2020-01-05T13:04:05.678","Sun, 5 Jan 2020 1:04 PM"

SELECT parse_datetime('2020/01/05 13:04', 'yyyy/MM/dd HH:mm');
--: timestamp(3) with time zone
--> "2020-01-05 13:04:00.000 UTC"

SELECT format_datetime(TIMESTAMP '2020-01-05 13:04:05', 'GGGG');
--! NOT_SUPPORTED: The date pattern 'GGGG' is not supported by the local engine

SELECT from_unixtime(0), from_unixtime(1.5e0), to_unixtime(TIMESTAMP '1970-01-01 00:00:01.500'), from_iso8601_date('2020-01-05'), from_iso8601_timestamp('2020-01-05T10:00:00Z');
--: timestamp(3) with time zone, timestamp(3) with time zone, double, date, timestamp(3) with time zone
--> "1970-01-01 00:00:00.000 UTC","1970-01-01 00:00:01.500 UTC","1.5","2020-01-05","2020-01-05 10:00:00.000 UTC"

SELECT to_iso8601(DATE '2020-01-05'), to_iso8601(TIMESTAMP '2020-01-05 13:04:05.678'), to_iso8601(from_unixtime(0)), date('2020-01-05'), date(TIMESTAMP '2020-01-05 23:00:00');
--: varchar, varchar, varchar, date, date
--> "2020-01-05","2020-01-05T13:04:05.678","1970-01-01T00:00:00.000Z","2020-01-05","2020-01-05"

SELECT TIMESTAMP '2020-01-05 13:04:05' > DATE '2020-01-05', DATE '2020-01-05' BETWEEN DATE '2020-01-01' AND DATE '2020-01-31', max(day), min(ts) FROM t;
--: boolean, boolean, date, timestamp(3)
--> "true","true","2020-02-29","2020-01-31 10:00:00.000"

SELECT day + 1 FROM t;
--! TYPE_MISMATCH: line 1:8: Cannot apply operator: date + integer

SELECT DATE '2020-13-01';
--! INVALID_CAST_ARGUMENT: Value cannot be cast to date: 2020-13-01

SELECT year('2020-01-01');
--! FUNCTION_NOT_FOUND: line 1:8: Unexpected parameters (varchar(10)) for function year

