"""The functions that a query may call: Trino's signature, and what DuckDB runs for it. What is not here does not run.

One row of a table is one overload: `name(parameters) -> result = SQL`. Single capital letters are type variables: `N` a
number, `I` an integer type, every other letter any type. `(S, T) -> S` is a lambda, `T ...` any count of arguments.
`{0}` is an argument; `{args}` all of them; `{d}`, `{o}`, `{w}` are an aggregate's DISTINCT, ORDER BY, FILTER and OVER.
Without `= SQL` DuckDB's function of the same name does the same.

Where an answer cannot equal Trino's (approximate aggregates), ours is the exact one; docs/parity.md lists them.
"""

# ruff: noqa: E501 (one row of a table is one line)

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from millpond.local.athena.types import DUCKDB, Type, common, parse


@dataclass(frozen=True, slots=True)
class Signature:
    """`variadic`: the last parameter repeats. `kind`: scalar, aggregate or window."""

    name: str
    params: tuple[Type, ...]
    result: Type
    sql: str
    kind: str = "scalar"
    variadic: bool = False

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(show, self.params))}{', ...' if self.variadic else ''})"


def show(of: Type) -> str:
    """A parameter as Trino writes it in `Expected: abs(bigint), ...`."""
    if of.name == "function":
        return f"function({','.join(map(show, of.args))})"
    return str(of)


def fail(code: str, message_sql: str, result: str = "INTEGER") -> str:
    """SQL that raises `CODE: message` when it is evaluated. error() is volatile, so TRY would refuse it; a cast is not."""
    return f"CAST('{code}: ' || {message_sql} || chr(1) AS {result})"


SCALARS = r"""
-- text
length(varchar) -> bigint
length(varbinary) -> bigint = octet_length({0})
lower(varchar) -> varchar
upper(varchar) -> varchar
reverse(varchar) -> varchar
reverse(array(T)) -> array(T) = list_reverse({0})
trim(varchar) -> varchar
ltrim(varchar) -> varchar
rtrim(varchar) -> varchar
trim(varchar, varchar) -> varchar
ltrim(varchar, varchar) -> varchar
rtrim(varchar, varchar) -> varchar
concat(varchar ...) -> varchar = ({joined})
concat(array(T) ...) -> array(T) = ({joined})
concat(varbinary ...) -> varbinary = ({joined})
concat_ws(varchar, array(varchar)) -> varchar = array_to_string({1}, {0})
concat_ws(varchar, varchar ...) -> varchar
substr(varchar, bigint) -> varchar = (CASE WHEN ({1} = 0 OR -{1} > length({0})) AND {0} IS NOT NULL THEN '' ELSE substr({0}, {1}) END)
substr(varchar, bigint, bigint) -> varchar = (CASE WHEN ({1} = 0 OR {2} <= 0 OR -{1} > length({0})) AND {0} IS NOT NULL THEN '' ELSE substr({0}, {1}, {2}) END)
substr(varbinary, bigint) -> varbinary = unhex(substr(hex({0}), {1} * 2 - 1))
substr(varbinary, bigint, bigint) -> varbinary = unhex(substr(hex({0}), {1} * 2 - 1, {2} * 2))
replace(varchar, varchar) -> varchar = replace({0}, {1}, '')
replace(varchar, varchar, varchar) -> varchar
split(varchar, varchar) -> array(varchar) = string_split({0}, {1})
split_part(varchar, varchar, bigint) -> varchar = (CASE WHEN {2} <= 0 THEN CAST('INVALID_FUNCTION_ARGUMENT: Index must be greater than zero' || chr(1) AS VARCHAR[])[1] ELSE string_split({0}, {1})[{2}] END)
split_to_map(varchar, varchar, varchar) -> map(varchar, varchar) = map_from_entries(list_transform(string_split({0}, {1}), lambda _e: {{'k': split_part(_e, {2}, 1), 'v': substr(_e, strpos(_e, {2}) + length({2}))}}))
strpos(varchar, varchar) -> bigint
position(varchar, varchar) -> bigint = strpos({1}, {0})
lpad(varchar, bigint, varchar) -> varchar = lpad({0}, CAST({1} AS INTEGER), {2})
rpad(varchar, bigint, varchar) -> varchar = rpad({0}, CAST({1} AS INTEGER), {2})
starts_with(varchar, varchar) -> boolean
chr(bigint) -> varchar(1) = chr(CAST({0} AS INTEGER))
codepoint(varchar) -> integer = unicode({0})
translate(varchar, varchar, varchar) -> varchar
levenshtein_distance(varchar, varchar) -> bigint = levenshtein({0}, {1})
hamming_distance(varchar, varchar) -> bigint = hamming({0}, {1})
normalize(varchar) -> varchar = nfc_normalize({0})
to_utf8(varchar) -> varbinary = encode({0})
from_utf8(varbinary) -> varchar = decode({0})
regexp_like(varchar, varchar) -> boolean = regexp_matches({0}, {1})
regexp_extract(varchar, varchar) -> varchar = (CASE WHEN regexp_matches({0}, {1}) THEN regexp_extract({0}, {1}) END)
regexp_extract(varchar, varchar, bigint) -> varchar = (CASE WHEN regexp_matches({0}, {1}) THEN regexp_extract({0}, {1}, CAST({2} AS INTEGER)) END)
regexp_extract_all(varchar, varchar) -> array(varchar)
regexp_extract_all(varchar, varchar, bigint) -> array(varchar) = regexp_extract_all({0}, {1}, CAST({2} AS INTEGER))
regexp_count(varchar, varchar) -> bigint = len(regexp_extract_all({0}, {1}))
regexp_split(varchar, varchar) -> array(varchar) = regexp_split_to_array({0}, {1})
regexp_replace(varchar, varchar) -> varchar = regexp_replace({0}, {1}, '', 'g')
url_encode(varchar) -> varchar = replace(replace(replace(url_encode({0}), '%20', '+'), '%2A', '*'), '~', '%7E')
url_decode(varchar) -> varchar = url_decode(replace({0}, '+', ' '))
url_extract_protocol(varchar) -> varchar = nullif(regexp_extract({0}, '^([a-zA-Z][a-zA-Z0-9+.-]*):', 1), '')
url_extract_host(varchar) -> varchar = nullif(regexp_extract({0}, '^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^@/?#]*@)?([^:/?#]*)', 1), '')
url_extract_path(varchar) -> varchar = regexp_extract({0}, '^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*([^?#]*)', 1)
url_extract_query(varchar) -> varchar = nullif(regexp_extract({0}, '\?([^#]*)', 1), '')
url_extract_fragment(varchar) -> varchar = nullif(regexp_extract({0}, '#(.*)$', 1), '')
url_extract_port(varchar) -> bigint = TRY_CAST(regexp_extract({0}, '^[a-zA-Z][a-zA-Z0-9+.-]*://[^:/?#]*:(\d+)', 1) AS BIGINT)
url_extract_parameter(varchar, varchar) -> varchar = url_decode(list_filter(list_transform(string_split(regexp_extract({0}, '\?([^#]*)', 1), '&'), lambda _e: CASE WHEN split_part(_e, '=', 1) = {1} THEN substr(_e, length({1}) + 2) END), lambda _e: _e IS NOT NULL)[1])
to_hex(varbinary) -> varchar = hex({0})
from_hex(varchar) -> varbinary
to_base64(varbinary) -> varchar
from_base64(varchar) -> varbinary
md5(varbinary) -> varbinary = unhex(md5({0}))
sha1(varbinary) -> varbinary = unhex(sha1({0}))
sha256(varbinary) -> varbinary = unhex(sha256({0}))
uuid() -> varchar = CAST(uuid() AS VARCHAR)
-- numbers
abs(N) -> N
ceil(I) -> I = {0}
ceil(double) -> double
ceiling(I) -> I = {0}
ceiling(double) -> double = ceil({0})
floor(I) -> I = {0}
floor(double) -> double
round(I) -> I = {0}
round(double) -> double
round(double, integer) -> double
truncate(double) -> double = trunc({0})
sign(I) -> I
sign(double) -> double = CAST(sign({0}) AS DOUBLE)
sqrt(double) -> double = (CASE WHEN {0} < 0 THEN CAST('nan' AS DOUBLE) ELSE sqrt({0}) END)
cbrt(double) -> double = (CASE WHEN pow(round(cbrt({0})), 3) = {0} THEN round(cbrt({0})) ELSE cbrt({0}) END)
exp(double) -> double
ln(double) -> double = (CASE WHEN {0} < 0 THEN CAST('nan' AS DOUBLE) WHEN {0} = 0 THEN CAST('-inf' AS DOUBLE) ELSE ln({0}) END)
log2(double) -> double = (CASE WHEN {0} < 0 THEN CAST('nan' AS DOUBLE) WHEN {0} = 0 THEN CAST('-inf' AS DOUBLE) ELSE log2({0}) END)
log10(double) -> double = (CASE WHEN {0} < 0 THEN CAST('nan' AS DOUBLE) WHEN {0} = 0 THEN CAST('-inf' AS DOUBLE) ELSE log10({0}) END)
log(double, double) -> double
power(double, double) -> double
pow(double, double) -> double
mod(I, I) -> I = ({0} % {1})
mod(double, double) -> double = fmod({0}, {1})
pi() -> double
e() -> double = CAST(2.718281828459045 AS DOUBLE)
infinity() -> double = CAST('inf' AS DOUBLE)
nan() -> double = CAST('nan' AS DOUBLE)
is_nan(double) -> boolean = isnan({0})
is_finite(double) -> boolean = isfinite({0})
is_infinite(double) -> boolean = isinf({0})
degrees(double) -> double
radians(double) -> double
sin(double) -> double
cos(double) -> double
tan(double) -> double
asin(double) -> double
acos(double) -> double
atan(double) -> double
atan2(double, double) -> double
sinh(double) -> double
cosh(double) -> double
tanh(double) -> double
rand() -> double = random()
random() -> double
random(bigint) -> bigint = CAST(floor(random() * {0}) AS BIGINT)
random(bigint, bigint) -> bigint = ({0} + CAST(floor(random() * ({1} - {0})) AS BIGINT))
width_bucket(double, double, double, bigint) -> bigint = CAST(CASE WHEN {0} < {1} THEN 0 WHEN {0} >= {2} THEN {3} + 1 ELSE floor({3} * ({0} - {1}) / ({2} - {1})) + 1 END AS BIGINT)
bitwise_and(bigint, bigint) -> bigint = ({0} & {1})
bitwise_or(bigint, bigint) -> bigint = ({0} | {1})
bitwise_xor(bigint, bigint) -> bigint = xor({0}, {1})
bitwise_not(bigint) -> bigint = (~{0})
to_base(bigint, bigint) -> varchar = lower(to_base({0}, CAST({1} AS INTEGER)))
-- dates and times
last_day_of_month(date) -> date = last_day({0})
last_day_of_month(timestamp) -> date = last_day({0})
to_unixtime(timestamp with time zone) -> double = epoch({0})
to_unixtime(timestamp) -> double = epoch({0})
from_unixtime(double) -> timestamp with time zone = CAST(to_timestamp({0}) AS TIMESTAMPTZ)
from_iso8601_date(varchar) -> date = CAST({0} AS DATE)
from_iso8601_timestamp(varchar) -> timestamp with time zone = CAST({0} AS TIMESTAMPTZ)
to_iso8601(date) -> varchar = CAST({0} AS VARCHAR)
to_iso8601(timestamp) -> varchar = strftime({0}, '%Y-%m-%dT%H:%M:%S.%g')
now() -> timestamp with time zone = CAST({now} AS TIMESTAMPTZ)
to_milliseconds(interval day to second) -> bigint = CAST(epoch({0}) * 1000 AS BIGINT)
-- json
json_parse(varchar) -> json = CAST(json({0}) AS JSON)
json_format(json) -> varchar = CAST({0} AS VARCHAR)
json_array_length(json) -> bigint = (CASE WHEN json_type({0}) = 'ARRAY' THEN json_array_length({0}) END)
json_array_length(varchar) -> bigint = (CASE WHEN json_valid({0}) AND json_type({0}) = 'ARRAY' THEN json_array_length({0}) END)
is_json_scalar(json) -> boolean = (json_type({0}) NOT IN ('OBJECT', 'ARRAY'))
json_array_contains(varchar, varchar) -> boolean = list_contains(CAST({0} AS JSON[]), to_json({1}))
json_array_contains(varchar, bigint) -> boolean = list_contains(CAST({0} AS JSON[]), to_json({1}))
json_array_get(varchar, bigint) -> json = json_extract({0}, {1})
-- arrays
cardinality(array(T)) -> bigint = len({0})
cardinality(map(K, V)) -> bigint = len(map_keys({0}))
element_at(map(K, V), K) -> V = ({0})[{1}]
contains(array(T), T) -> boolean = (CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL WHEN list_contains({0}, {1}) THEN true WHEN len(list_filter({0}, lambda _e: _e IS NULL)) > 0 THEN NULL ELSE false END)
array_distinct(array(T)) -> array(T) = list_filter({0}, lambda _e, _i: list_position({0}, _e) = _i)
array_sort(array(T)) -> array(T) = list_sort({0}, 'ASC', 'NULLS LAST')
array_max(array(T)) -> T = (CASE WHEN len(list_filter({0}, lambda _e: _e IS NULL)) = 0 THEN list_max({0}) END)
array_min(array(T)) -> T = (CASE WHEN len(list_filter({0}, lambda _e: _e IS NULL)) = 0 THEN list_min({0}) END)
array_intersect(array(T), array(T)) -> array(T) = list_filter({0}, lambda _e, _i: list_position({0}, _e) = _i AND list_position({1}, _e) IS NOT NULL)
array_union(array(T), array(T)) -> array(T) = list_filter({0} || {1}, lambda _e, _i: list_position({0} || {1}, _e) = _i)
array_except(array(T), array(T)) -> array(T) = list_filter({0}, lambda _e, _i: list_position({0}, _e) = _i AND list_position({1}, _e) IS NULL)
arrays_overlap(array(T), array(T)) -> boolean = list_has_any({0}, {1})
array_position(array(T), T) -> bigint = CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL ELSE coalesce(list_position({0}, {1}), 0) END
array_remove(array(T), T) -> array(T) = list_filter({0}, lambda _e: _e IS DISTINCT FROM {1})
flatten(array(array(T))) -> array(T)
slice(array(T), bigint, bigint) -> array(T) = list_slice({0}, CASE WHEN {1} < 0 THEN len({0}) + {1} + 1 ELSE {1} END, CASE WHEN {1} < 0 THEN len({0}) + {1} ELSE {1} - 1 END + {2})
repeat(T, bigint) -> array(T) = list_transform(range({1}), lambda _e: {0})
sequence(bigint, bigint) -> array(bigint) = generate_series({0}, {1}, CASE WHEN {0} > {1} THEN -1 ELSE 1 END)
sequence(bigint, bigint, bigint) -> array(bigint) = generate_series({0}, {1}, {2})
sequence(date, date) -> array(date) = list_transform(generate_series({0}, {1}, INTERVAL 1 DAY), lambda _e: CAST(_e AS DATE))
sequence(date, date, interval day to second) -> array(date) = list_transform(generate_series({0}, {1}, {2}), lambda _e: CAST(_e AS DATE))
sequence(date, date, interval year to month) -> array(date) = list_transform(generate_series({0}, {1}, {2}), lambda _e: CAST(_e AS DATE))
sequence(timestamp, timestamp, interval day to second) -> array(timestamp) = generate_series({0}, {1}, {2})
sequence(timestamp, timestamp, interval year to month) -> array(timestamp) = generate_series({0}, {1}, {2})
transform(array(T), T -> U) -> array(U) = list_transform({0}, {1})
filter(array(T), T -> boolean) -> array(T) = list_filter({0}, {1})
any_match(array(T), T -> boolean) -> boolean = coalesce(list_bool_or(list_transform({0}, {1})), false)
all_match(array(T), T -> boolean) -> boolean = coalesce(list_bool_and(list_transform({0}, {1})), true)
none_match(array(T), T -> boolean) -> boolean = (NOT coalesce(list_bool_or(list_transform({0}, {1})), false))
-- maps
map(array(K), array(V)) -> map(K, V) = map({0}, {1})
map() -> map(unknown, unknown) = MAP {{}}
map_from_entries(array(row(K, V))) -> map(K, V)
map_keys(map(K, V)) -> array(K)
map_values(map(K, V)) -> array(V)
map_concat(map(K, V) ...) -> map(K, V)
-- the rest
nullif(T, T) -> T
greatest(T ...) -> T = (CASE WHEN {anynull} THEN NULL ELSE greatest({args}) END)
least(T ...) -> T = (CASE WHEN {anynull} THEN NULL ELSE least({args}) END)
"""

AGGREGATES = r"""
count() -> bigint = count(*){w}
count(T) -> bigint
count_if(boolean) -> bigint = count(*) FILTER (WHERE {0}{andfilter}){over}
sum(I) -> bigint
sum(double) -> double
sum(real) -> real
avg(I) -> double
avg(double) -> double
avg(real) -> real
min(T) -> T
max(T) -> T
min(T, bigint) -> array(T) = min({0}, {1}){w}
max(T, bigint) -> array(T) = max({0}, {1}){w}
min_by(T, U) -> T = arg_min_null({0}, {1}){w}
max_by(T, U) -> T = arg_max_null({0}, {1}){w}
min_by(T, U, bigint) -> array(T) = arg_min({0}, {1}, {2}){w}
max_by(T, U, bigint) -> array(T) = arg_max({0}, {1}, {2}){w}
arbitrary(T) -> T = any_value({0}){w}
any_value(T) -> T
bool_and(boolean) -> boolean
bool_or(boolean) -> boolean
every(boolean) -> boolean = bool_and({0}){w}
array_agg(T) -> array(T) = list({d}{0}{o}){w}
multimap_agg(K, V) -> map(K, array(V)) = map_from_entries(list_transform(list({{'k': {0}, 'v': {1}}}) FILTER (WHERE {0} IS NOT NULL{andfilter}){over}.list_transform(lambda _p: _p.k).list_distinct().list_sort(), lambda _k: {{'k': _k, 'v': list({{'k': {0}, 'v': {1}}}) FILTER (WHERE {0} IS NOT NULL{andfilter}){over}.list_filter(lambda _p: _p.k = _k).list_transform(lambda _p: _p.v)}}))
map_agg(K, V) -> map(K, V) = map_from_entries(list({{'k': {0}, 'v': {1}}}) FILTER (WHERE {0} IS NOT NULL{andfilter}){over})
histogram(T) -> map(T, bigint) = histogram({0}){w}
stddev(double) -> double = stddev_samp({d}{0}){w}
stddev_samp(double) -> double
stddev_pop(double) -> double
variance(double) -> double = var_samp({d}{0}){w}
var_samp(double) -> double
var_pop(double) -> double
corr(double, double) -> double
covar_pop(double, double) -> double
covar_samp(double, double) -> double
regr_slope(double, double) -> double
regr_intercept(double, double) -> double
skewness(double) -> double
geometric_mean(double) -> double
approx_distinct(T) -> bigint = count(DISTINCT {0}){w}
approx_distinct(T, double) -> bigint = count(DISTINCT {0}){w}
approx_percentile(I, double) -> I = quantile_disc({0}, {1}){w}
approx_percentile(double, double) -> double = quantile_disc({0}, {1}){w}
approx_percentile(I, array(double)) -> array(I) = quantile_disc({0}, {1}){w}
approx_percentile(double, array(double)) -> array(double) = quantile_disc({0}, {1}){w}
bitwise_and_agg(bigint) -> bigint = bit_and({d}{0}){w}
bitwise_or_agg(bigint) -> bigint = bit_or({d}{0}){w}
"""

WINDOWS = r"""
row_number() -> bigint
rank() -> bigint
dense_rank() -> bigint
percent_rank() -> double
cume_dist() -> double
ntile(bigint) -> bigint
lag(T) -> T
lag(T, bigint) -> T
lag(T, bigint, T) -> T
lead(T) -> T
lead(T, bigint) -> T
lead(T, bigint, T) -> T
first_value(T) -> T
last_value(T) -> T
nth_value(T, bigint) -> T
"""

# Parameters that are known only as literals, results that depend on a precision: compiled by expressions.py.
SPECIAL = frozenset({
    "coalesce", "if", "try", "typeof", "row", "grouping", "date_trunc", "date_add", "date_diff", "date_format",
    "date_parse", "format_datetime", "parse_datetime", "format", "at_timezone", "with_timezone", "json_extract",
    "json_extract_scalar", "json_size", "reduce", "zip", "zip_with", "map_filter", "transform_keys",
    "transform_values", "map_entries", "array_join", "element_at", "year", "quarter", "month", "week", "week_of_year",
    "day", "day_of_month", "day_of_week", "dow", "day_of_year", "doy", "year_of_week", "yow", "hour", "minute",
    "second", "millisecond", "regexp_replace", "substring", "substr", "date", "to_iso8601", "round", "floor", "ceil", "ceiling", "sign",
})  # fmt: skip
# What Athena has and we do not: refused by this name, so that nobody looks for a typing error.
ATHENA_ONLY = frozenset(
    [
        "approx_most_frequent",
        "approx_set",
        "array_agg_if",
        "bing_tile",
        "bit_count",
        "checksum",
        "char2hexint",
        "classify",
        "combinations",
        "cosine_similarity",
        "crc32",
        "current_catalog",
        "current_groups",
        "date_parse_iso",
        "empty_approx_set",
        "entropy",
        "evaluate_classifier",
        "features",
        "from_base",
        "from_big_endian_32",
        "from_big_endian_64",
        "from_encoded_polyline",
        "from_geojson_geometry",
        "from_ieee754_32",
        "from_ieee754_64",
        "from_iso8601_timestamp_nanos",
        "from_unixtime_nanos",
        "geometry_union",
        "great_circle_distance",
        "hash_counts",
        "hmac_md5",
        "hmac_sha1",
        "hmac_sha256",
        "hmac_sha512",
        "human_readable_seconds",
        "intersection_cardinality",
        "inverse_beta_cdf",
        "inverse_normal_cdf",
        "jaccard_index",
        "json_array",
        "json_exists",
        "json_object",
        "json_query",
        "json_value",
        "kurtosis",
        "learn_classifier",
        "learn_regressor",
        "luhn_check",
        "make_set_digest",
        "map_union",
        "map_zip_with",
        "merge",
        "merge_set_digest",
        "multimap_from_entries",
        "murmur3",
        "ngrams",
        "normal_cdf",
        "numeric_histogram",
        "parse_data_size",
        "parse_duration",
        "parse_presto_data_size",
        "qdigest_agg",
        "quantile_at_value",
        "reduce_agg",
        "regexp_position",
        "regr_avgx",
        "regress",
        "rgb",
        "render",
        "bar",
        "color",
        "sha512",
        "shuffle",
        "simplify_geometry",
        "soundex",
        "spooky_hash_v2_32",
        "spooky_hash_v2_64",
        "st_area",
        "st_asbinary",
        "st_astext",
        "st_contains",
        "st_distance",
        "st_geometryfromtext",
        "st_point",
        "strrpos",
        "tdigest_agg",
        "timestamp_objectid",
        "timezone_hour",
        "timezone_minute",
        "to_base64url",
        "to_big_endian_32",
        "to_big_endian_64",
        "to_char",
        "to_date",
        "to_ieee754_32",
        "to_ieee754_64",
        "to_timestamp",
        "trim_array",
        "value_at_quantile",
        "values_at_quantiles",
        "version",
        "wilson_interval_lower",
        "wilson_interval_upper",
        "word_stem",
        "xxhash64",
    ]
)
SPECIAL_AGGREGATES = frozenset({"listagg", "sum", "avg"})


def _type(text: str) -> Type:
    """A type with variables in it; `T -> U` and `(S, T) -> R` become `function(...)`."""
    text = text.strip()
    if arrow := re.fullmatch(r"\(?([A-Z, ]*?)\)?\s*->\s*(.+)", text):
        return Type("function", (*map(_type, arrow[1].split(",")), _type(arrow[2])))
    if re.fullmatch("[A-Z]", text):
        return Type(text)
    if nested := re.fullmatch(r"(array|map|row)\((.*)\)", text):
        args = tuple(map(_type, _split(nested[2])))
        return Type(nested[1], args, (None,) * len(args) if nested[1] == "row" else ())
    return Type(text) if text in DUCKDB else parse(text)


def _split(text: str) -> list[str]:
    """At commas that are not inside parentheses."""
    parts, depth = [""], 0
    for c in text:
        depth += (c == "(") - (c == ")")
        if c == "," and not depth:
            parts.append("")
        else:
            parts[-1] += c
    return [p for p in parts if p.strip()]


def _signature(line: str, kind: str) -> Signature:
    head, _, sql = line.partition(" = ")
    found = re.fullmatch(r"(\w+)\((.*)\) -> ([^>]+)", head)
    assert found, line
    params = found[2]
    variadic = params.endswith(" ...")
    types = tuple(map(_type, _split(params.removesuffix(" ..."))))
    default = f"{found[1]}({{d}}{{args}}{{o}}){{w}}" if kind == "aggregate" else f"{found[1]}({{args}})"
    if kind == "window":
        default = f"{found[1]}({{args}}{{nulls}}){{over}}"
    return Signature(found[1], types, _type(found[3]), sql or default, kind, variadic)


@cache
def table() -> dict[str, tuple[Signature, ...]]:
    """Every overload by name, read once."""
    found: dict[str, list[Signature]] = {}
    for kind, lines in (("scalar", SCALARS), ("aggregate", AGGREGATES), ("window", WINDOWS)):
        for line in lines.splitlines():
            if line and not line.startswith("--"):
                signature = _signature(line, kind)
                found.setdefault(signature.name, []).append(signature)
    return {name: tuple(overloads) for name, overloads in found.items()}


@cache
def aggregates() -> frozenset[str]:
    return frozenset(n for n, o in table().items() if o[0].kind == "aggregate") | SPECIAL_AGGREGATES


@cache
def windows() -> frozenset[str]:
    return frozenset(n for n, o in table().items() if o[0].kind == "window")


def known(name: str) -> bool:
    return name in table() or name in SPECIAL or name in SPECIAL_AGGREGATES


# --- choosing an overload ---------------------------------------------------------------------------------------------


def bind(param: Type, given: Type, bound: dict[str, Type]) -> bool:
    """Whether `given` coerces to `param`; type variables are bound, or widened, in `bound`."""
    if re.fullmatch("[A-Z]", param.name):
        if (param.name == "N" and not given.numeric) or (param.name == "I" and not given.integral):
            return given.name == "unknown"
        wider = common(bound[param.name], given) if param.name in bound else given
        if wider is None:
            return False
        bound[param.name] = wider
        return True
    if given.name == "unknown":
        return True
    if param.args and param.name == given.name and len(param.args) == len(given.args):
        return all(bind(p, g, bound) for p, g in zip(param.args, given.args, strict=True))
    if param.name == "varchar" and given.text:
        return True
    return not param.args and common(given, param) == param


def filled(param: Type, bound: dict[str, Type]) -> Type:
    """`param` with its variables replaced; an unbound variable is the type of NULL."""
    if re.fullmatch("[A-Z]", param.name):
        return bound.get(param.name, Type("unknown"))
    if param.args:
        return Type(param.name, tuple(filled(a, bound) for a in param.args), param.fields)
    return param


def cost(signature: Signature, given: list[Type | None]) -> int:
    """How many arguments need a cast; the overload with the fewest is chosen, the first among equals."""
    params = spread(signature, len(given))
    return sum(g is not None and p.name != g.name and len(p.name) > 1 for p, g in zip(params, given, strict=True))


def spread(signature: Signature, count: int) -> tuple[Type, ...]:
    """The parameters for `count` arguments."""
    if not signature.variadic:
        return signature.params
    last = signature.params[-1]
    return signature.params + (last,) * (count - len(signature.params))


def choose(name: str, given: list[Type | None]) -> tuple[Signature, dict[str, Type]] | None:
    """The overload for the argument types (None: a lambda, judged later), with its variables bound; None: none fits."""
    fits: list[tuple[int, int, Signature, dict[str, Type]]] = []
    for order, signature in enumerate(table().get(name, ())):
        low = len(signature.params)
        if len(given) < low or (len(given) > low and not signature.variadic):
            continue
        bound: dict[str, Type] = {}
        params = spread(signature, len(given))
        pairs = list(zip(params, given, strict=True))
        if any((g is None) != (p.name == "function") for p, g in pairs):
            continue
        if all(bind(p, g, bound) for p, g in pairs if g is not None):
            fits.append((cost(signature, given), order, signature, bound))
    if not fits:
        return None
    _, _, signature, bound = min(fits, key=lambda f: f[:2])
    return signature, bound
