"""Functions whose meaning hangs on a literal (a unit, a pattern, a path) or on a type that the table cannot write.

Each is a rule `(compiler, call, arguments, scope) -> Typed`; None hands the call to the table of functions.
"""

# ruff: noqa: E501 (templates of SQL and sentences of errors stay on one line)

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from sqlglot import exp

from millpond.local.athena import formats
from millpond.local.athena.casts import cast, convert, in_zone, local, rounded, to_text
from millpond.local.athena.scopes import Scope, Typed
from millpond.local.athena.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    JSON,
    TIMESTAMP,
    TIMESTAMP_TZ,
    VARCHAR,
    Type,
    array,
    common,
    decimal,
    literal,
    mapping,
    row,
)

if TYPE_CHECKING:
    from millpond.local.athena.expressions import Expressions

Args = list[exp.Expr]
Special = Callable[["Expressions", exp.Expr, Args, Scope], Typed | None]
SPECIALS: dict[str, Special] = {}


def special(*names: str) -> Callable[[Special], Special]:
    def keep(rule: Special) -> Special:
        SPECIALS.update(dict.fromkeys(names, rule))
        return rule

    return keep


def text_literal(c: Expressions, node: exp.Expr, arg: exp.Expr, what: str) -> str:
    if isinstance(arg, exp.Literal) and arg.is_string:
        return arg.name
    c.fail("NOT_SUPPORTED", f"{what} that is not a literal is not supported by the local engine", node)


def arity(c: Expressions, node: exp.Expr, args: Args, *counts: int) -> None:
    if len(args) not in counts:
        name = node.name or type(node).__name__.lower()
        c.fail("FUNCTION_NOT_FOUND", f"Unexpected parameters for function {name}: {len(args)} given", node)


def wrong(c: Expressions, node: exp.Expr, *given: Typed) -> NoReturn:
    name = node.name or type(node).__name__.lower()
    types = ", ".join(str(g.type) for g in given)
    c.fail("FUNCTION_NOT_FOUND", f"Unexpected parameters ({types}) for function {name.lower()}", node)


# --- conditional ------------------------------------------------------------------------------------------------------


@special("coalesce")
def coalesce(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    sqls, of = c.unify([c.expr(a, scope) for a in args], node, "All COALESCE operands")
    return Typed(f"coalesce({', '.join(sqls)})", of)


@special("if")
def if_(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 2, 3)
    condition = c.boolean(args[0], scope, "IF condition")
    sqls, of = c.unify([c.expr(a, scope) for a in args[1:]], node, "Result types for IF")
    return Typed(f"(CASE WHEN {condition} THEN {sqls[0]} ELSE {sqls[1] if len(sqls) > 1 else 'NULL'} END)", of)


@special("try")
def try_(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 1)
    value = c.expr(args[0], scope)
    return Typed(f"TRY({value.sql})", value.type)


@special("typeof")
def typeof(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 1)
    return Typed(literal(str(c.expr(args[0], scope).type)), VARCHAR)


@special("row")
def row_(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    return c.row([c.expr(a, scope) for a in args])


@special("grouping")
def grouping(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    return Typed(f"CAST(grouping({', '.join(c.expr(a, scope).sql for a in args)}) AS BIGINT)", BIGINT)


# --- numbers whose scale follows the argument --------------------------------------------------------------------------


@special("round", "floor", "ceil", "ceiling", "sign")
def rounding(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed | None:
    value = c.expr(args[0], scope) if args else None
    if value is None or value.type.name != "decimal":
        if value and len(args) == 2 and value.type.integral:
            digits = convert(c.expr(args[1], scope), BIGINT)
            return Typed(f"CAST(round({value.sql}, CAST({digits} AS INTEGER)) AS {value.type.duckdb})", value.type)
        return None
    size, scale = value.type.size or 38, value.type.scale
    name = {"ceiling": "ceil"}.get(node.name.lower(), node.name.lower())
    if len(args) == 2 and name == "round":
        places = args[1].name if isinstance(args[1], exp.Literal) else None
        if places is None or not places.isdigit():
            c.fail("NOT_SUPPORTED", "round of a decimal to places that are not a literal", node)
        of = decimal(size + 1, scale)
        return Typed(f"CAST(round({value.sql}, {places}) AS {of.duckdb})", of)
    arity(c, node, args, 1)
    of = decimal(1, 0) if name == "sign" else decimal(size - scale + min(scale, 1), 0)
    return Typed(f"CAST({name}({value.sql}) AS {of.duckdb})", of)


# --- dates ------------------------------------------------------------------------------------------------------------

UNITS = {
    "millisecond": "milliseconds", "second": "seconds", "minute": "minutes", "hour": "hours", "day": "days",
    "week": "weeks", "month": "months", "quarter": "quarters", "year": "years",
}  # fmt: skip
PARTS = {
    "year": "year", "quarter": "quarter", "month": "month", "week": "week", "week_of_year": "week", "day": "day",
    "day_of_month": "day", "day_of_week": "isodow", "dow": "isodow", "day_of_year": "doy", "doy": "doy",
    "year_of_week": "isoyear", "yow": "isoyear", "hour": "hour", "minute": "minute", "second": "second",
}  # fmt: skip


def unit(c: Expressions, node: exp.Expr, arg: exp.Expr) -> str:
    name = text_literal(c, node, arg, "A date unit").lower()
    if name not in UNITS:
        c.fail("INVALID_FUNCTION_ARGUMENT", f"'{name}' is not a valid date field", node)
    return name


def moment(c: Expressions, node: exp.Expr, arg: exp.Expr, scope: Scope) -> Typed:
    value = c.expr(arg, scope)
    if value.type.name == "unknown":
        return Typed("CAST(NULL AS TIMESTAMP)", TIMESTAMP)
    if value.type.name not in {"date", "timestamp", "timestamp with time zone"}:
        wrong(c, node, value)
    return value


def back(sql: str, of: Type) -> str:
    """A wall clock to the type it came from."""
    if of.name == "timestamp with time zone":
        return f"timezone({literal(of.zone)}, {sql})"
    return f"CAST({sql} AS {of.duckdb})"


@special(*PARTS, "millisecond")
def part(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 1)
    name = (node.this.name if isinstance(node, exp.Extract) else node.name).lower()
    value = c.expr(args[0], scope)
    if value.type.name.startswith("interval"):
        return Typed(f"CAST(date_part('{PARTS.get(name, name)}', {value.sql}) AS BIGINT)", BIGINT)
    value = moment(c, node, args[0], scope)
    if name == "millisecond":
        return Typed(f"(date_part('millisecond', {local(value)}) % 1000)", BIGINT)
    return Typed(f"CAST(date_part('{PARTS[name]}', {local(value)}) AS BIGINT)", BIGINT)


@special("date")
def date(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 1)
    value = c.expr(args[0], scope)
    found = cast(value, DATE)
    if found is None:
        wrong(c, node, value)
    return found


@special("to_iso8601")
def to_iso8601(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed | None:
    value = c.expr(args[0], scope) if len(args) == 1 else None
    if value is None or value.type.name != "timestamp with time zone":
        return None
    if value.type.zone != "UTC":
        c.fail("NOT_SUPPORTED", "to_iso8601 of another time zone than UTC is not supported by the local engine", node)
    return Typed(f"(strftime({local(value)}, '%Y-%m-%dT%H:%M:%S.%g') || 'Z')", VARCHAR)


@special("date_trunc")
def date_trunc(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 2)
    name, value = unit(c, node, args[0]), moment(c, node, args[1], scope)
    if value.type == DATE and name in {"millisecond", "second", "minute", "hour"}:
        c.fail("INVALID_FUNCTION_ARGUMENT", f"'{name}' is not a valid DATE field", node)
    return Typed(back(f"date_trunc('{name}', {local(value)})", value.type), value.type)


@special("date_add")
def date_add(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 3)
    name, amount, value = unit(c, node, args[0]), c.expr(args[1], scope), moment(c, node, args[2], scope)
    if not amount.type.integral and amount.type.name != "unknown":
        wrong(c, node, amount, value)
    if value.type == DATE and name in {"millisecond", "second", "minute", "hour"}:
        c.fail("INVALID_FUNCTION_ARGUMENT", f"'{name}' is not a valid DATE field", node)
    made = f"to_{UNITS[name]}({convert(amount, BIGINT)})"
    if name in {"month", "quarter", "year", "week", "day"}:
        made = f"to_{UNITS[name]}(CAST({convert(amount, BIGINT)} AS INTEGER))"
    return Typed(back(f"({local(value)} + {made})", value.type), value.type)


@special("date_diff")
def date_diff(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    """Complete units, as Trino counts; DuckDB's date_diff counts boundaries, its date_sub complete units."""
    arity(c, node, args, 3)
    name = unit(c, node, args[0])
    first, last = moment(c, node, args[1], scope), moment(c, node, args[2], scope)
    wider = common(first.type, last.type) or TIMESTAMP
    a, b = (Typed(convert(v, wider), wider) for v in (first, last))
    return Typed(f"date_sub('{name}', CAST({local(a)} AS TIMESTAMP), CAST({local(b)} AS TIMESTAMP))", BIGINT)


@special("date_format")
def date_format(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 2)
    pattern = formats.mysql(text_literal(c, node, args[1], "A date format"))
    return Typed(f"strftime({local(moment(c, node, args[0], scope))}, {literal(pattern)})", VARCHAR)


@special("date_parse")
def date_parse(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 2)
    pattern = formats.mysql(text_literal(c, node, args[1], "A date format"))
    value = c.expr(args[0], scope)
    if not value.type.text and value.type.name != "unknown":
        wrong(c, node, value)
    return Typed(rounded(f"CAST(strptime({value.sql}, {literal(pattern)}) AS TIMESTAMP)"), TIMESTAMP)


@special("format_datetime")
def format_datetime(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 2)
    pattern = formats.joda(text_literal(c, node, args[1], "A date format"))
    return Typed(f"strftime({local(moment(c, node, args[0], scope))}, {literal(pattern)})", VARCHAR)


@special("parse_datetime")
def parse_datetime(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 2)
    pattern = formats.joda(text_literal(c, node, args[1], "A date format"))
    value = c.expr(args[0], scope)
    if not value.type.text and value.type.name != "unknown":
        wrong(c, node, value)
    parsed = f"CAST(strptime({value.sql}, {literal(pattern)}) AS TIMESTAMP)"
    return Typed(f"timezone('UTC', {parsed})", TIMESTAMP_TZ)


def zone_name(c: Expressions, node: exp.Expr, arg: exp.Expr) -> str:
    name = text_literal(c, node, arg, "A time zone")
    if not re.fullmatch(r"[A-Za-z][\w+/-]*", name):
        c.fail("NOT_SUPPORTED", f"The time zone '{name}' is not supported by the local engine", node)
    return name


@special("at_timezone")
def at_timezone(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 2)
    zone, value = zone_name(c, node, args[1]), moment(c, node, args[0], scope)
    return Typed(convert(value, TIMESTAMP_TZ), in_zone(TIMESTAMP_TZ, zone))


@special("with_timezone")
def with_timezone(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 2)
    zone, value = zone_name(c, node, args[1]), moment(c, node, args[0], scope)
    return Typed(f"timezone({literal(zone)}, CAST({value.sql} AS TIMESTAMP))", in_zone(TIMESTAMP_TZ, zone))


# --- text and JSON ----------------------------------------------------------------------------------------------------


@special("format")
def format_(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    template = text_literal(c, node, args[0], "A format string")
    letters, values = formats.directives(template), [c.expr(a, scope) for a in args[1:]]
    if len(letters) > len(values):
        c.fail("INVALID_FUNCTION_ARGUMENT", f"Format specifier '%{letters[len(values)]}' has no argument", node)
    sqls = []
    for letter, value in zip(letters, values, strict=False):
        text = to_text(value)
        match letter:
            case "s" if text is not None:
                sqls.append(text)
            case "d" | "x" | "X" if value.type.integral:
                sqls.append(value.sql)
            case "f" | "e" | "E" if value.type.name in {"real", "double", "decimal"}:
                sqls.append(convert(value, DOUBLE))
            case "b" if value.type == BOOLEAN:
                sqls.append(f"CAST({value.sql} AS VARCHAR)")
            case _:
                c.fail("INVALID_FUNCTION_ARGUMENT", f"Invalid format string: %{letter} for {value.type}", node)
    shape = literal(re.sub(r"%b", "%s", template.replace("%n", "\n")))
    return Typed(f"printf({', '.join([shape, *sqls])})", VARCHAR)


@special("substr", "substring")
def substr(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed | None:
    """The usual case, a literal place from 1 on, needs no guard; the table has the general one."""
    if not all(isinstance(a, exp.Literal) and a.name.isdigit() and a.name != "0" for a in args[1:]) or len(args) < 2:
        return None
    value = c.expr(args[0], scope)
    if not value.type.text or len(args) > 3:
        return None
    return Typed(f"substr({', '.join([value.sql, *(a.name for a in args[1:])])})", VARCHAR)


@special("regexp_replace")
def regexp_replace(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed | None:
    if len(args) != 3 or isinstance(args[2], exp.Lambda):
        return None
    made = formats.replacement(text_literal(c, node, args[2], "A regular expression replacement"))
    value, pattern = c.expr(args[0], scope), c.expr(args[1], scope)
    if not all(v.type.text or v.type.name == "unknown" for v in (value, pattern)):
        wrong(c, node, value, pattern)
    return Typed(f"regexp_replace({value.sql}, {pattern.sql}, {literal(made)}, 'g')", VARCHAR)


def json_source(c: Expressions, node: exp.Expr, arg: exp.Expr, scope: Scope) -> str:
    """JSON, or text that may not be JSON: then NULL, as Trino answers."""
    value = c.expr(arg, scope)
    if value.type.name in {"json", "unknown"}:
        return value.sql
    if not value.type.text:
        wrong(c, node, value)
    return f"(CASE WHEN json_valid({value.sql}) THEN CAST({value.sql} AS JSON) END)"


@special("json_extract")
def json_extract(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 2)
    path = formats.json_path(text_literal(c, node, args[1], "A JSON path"))
    return Typed(f"json_extract({json_source(c, node, args[0], scope)}, {literal(path)})", JSON)


@special("json_extract_scalar")
def json_extract_scalar(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 2)
    path = formats.json_path(text_literal(c, node, args[1], "A JSON path"))
    found = f"json_extract({json_source(c, node, args[0], scope)}, {literal(path)})"
    return Typed(f"(CASE WHEN json_type({found}) NOT IN ('OBJECT', 'ARRAY') THEN {found} ->> '$' END)", VARCHAR)


@special("json_size")
def json_size(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 2)
    path = formats.json_path(text_literal(c, node, args[1], "A JSON path"))
    found = f"json_extract({json_source(c, node, args[0], scope)}, {literal(path)})"
    sizes = f"CASE json_type({found}) WHEN 'ARRAY' THEN json_array_length({found}) WHEN 'OBJECT' THEN len(json_keys({found})) WHEN NULL THEN NULL ELSE 0 END"
    return Typed(f"CASE WHEN {found} IS NOT NULL THEN CAST({sizes} AS BIGINT) END", BIGINT)


# --- arrays and maps --------------------------------------------------------------------------------------------------


def collection(c: Expressions, node: exp.Expr, arg: exp.Expr, scope: Scope, kind: str) -> Typed:
    value = c.expr(arg, scope)
    if value.type.name != kind:
        wrong(c, node, value)
    return value


def lambda_of(c: Expressions, node: exp.Expr, arg: exp.Expr) -> exp.Lambda:
    if not isinstance(arg, exp.Lambda):
        c.fail("FUNCTION_NOT_FOUND", f"{node.name.lower()} needs a lambda", node)
    return arg


@special("element_at")
def element_at(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed | None:
    arity(c, node, args, 2)
    value, index = c.expr(args[0], scope), c.expr(args[1], scope)
    if value.type.name != "array":
        return None
    if not index.type.integral:
        wrong(c, node, value, index)
    zero = "CAST('INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1' || chr(1) AS INTEGER)"
    key = f"CASE WHEN {index.sql} = 0 THEN {zero} ELSE {convert(index, BIGINT)} END"
    return Typed(f"list_extract({value.sql}, {key})", value.type.args[0])


@special("array_join")
def array_join(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 2, 3)
    value = collection(c, node, args[0], scope, "array")
    name = c.fresh("l")
    one = to_text(Typed(name, value.type.args[0]))
    if one is None:
        wrong(c, node, value)
    if len(args) == 3:
        one = f"coalesce({one}, {c.expr(args[2], scope).sql})"
    texts = f"list_transform({value.sql}, lambda {name}: {one})"
    return Typed(
        f"CASE WHEN {value.sql} IS NOT NULL THEN coalesce(array_to_string({texts}, {c.expr(args[1], scope).sql}), '') END",
        VARCHAR,
    )


@special("reduce")
def reduce_(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    """The state's type is the widest of the start value and what the step returns; the output lambda ends it."""
    arity(c, node, args, 4)
    value = collection(c, node, args[0], scope, "array")
    start, step, end = c.expr(args[1], scope), lambda_of(c, node, args[2]), lambda_of(c, node, args[3])
    state = start.type
    _, body = c.lambda_body(step, [state, value.type.args[0]], scope)
    if (wider := common(state, body.type)) is None:
        c.fail("TYPE_MISMATCH", f"The step of reduce returns {body.type}, the state is {state}", node)
    if wider != state:
        state = wider
        _, body = c.lambda_body(step, [state, value.type.args[0]], scope)
    # The state and the elements may differ in type, which list_reduce does not allow: both travel in one struct.
    shape = row(("s", state), ("e", value.type.args[0]))
    both = f"[{{'s': CAST({convert(start, state)} AS {state.duckdb}), 'e': NULL}}] || list_transform({value.sql}, lambda _r: {{'s': CAST(NULL AS {state.duckdb}), 'e': _r}})"
    acc, one = c.fresh("l"), c.fresh("l")
    _, body = c.lambda_body(
        step, [state, value.type.args[0]], scope, [f"struct_extract({acc}, 's')", f"struct_extract({one}, 'e')"]
    )
    run = f"list_reduce(CAST({both} AS {shape.duckdb}[]), lambda {acc}, {one}: CAST({{'s': {convert(body, state)}, 'e': NULL}} AS {shape.duckdb}))"
    _, out = c.lambda_body(end, [state], scope, [f"struct_extract({run}, 's')"])
    return Typed(f"(CASE WHEN {value.sql} IS NOT NULL THEN {out.sql} END)", out.type)


@special("zip")
def zip_(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    values = [collection(c, node, a, scope, "array") for a in args]
    of = row(*((None, v.type.args[0]) for v in values))
    name = c.fresh("l")
    members = ", ".join(f"'{n}': ({v.sql})[{name}]" for n, v in zip(of.names, values, strict=True))
    longest = f"greatest({', '.join(f'len({v.sql})' for v in values)})"
    return Typed(f"list_transform(range(1, {longest} + 1), lambda {name}: {{{members}}})", array(of))


@special("zip_with")
def zip_with(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 3)
    left, right = (collection(c, node, a, scope, "array") for a in args[:2])
    name = c.fresh("l")
    _, body = c.lambda_body(lambda_of(c, node, args[2]), [left.type.args[0], right.type.args[0]], scope,
                            [f"({left.sql})[{name}]", f"({right.sql})[{name}]"])  # fmt: skip
    longest = f"greatest(len({left.sql}), len({right.sql}))"
    return Typed(f"list_transform(range(1, {longest} + 1), lambda {name}: {body.sql})", array(body.type))


@special("map_entries")
def map_entries(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 1)
    value = collection(c, node, args[0], scope, "map")
    of = array(row((None, value.type.args[0]), (None, value.type.args[1])))
    name = c.fresh("l")
    pair = f"{{'field0': struct_extract({name}, 'key'), 'field1': struct_extract({name}, 'value')}}"
    return Typed(f"list_transform(map_entries({value.sql}), lambda {name}: {pair})", of)


@special("map_filter", "transform_keys", "transform_values")
def map_lambda(c: Expressions, node: exp.Expr, args: Args, scope: Scope) -> Typed:
    arity(c, node, args, 2)
    value = collection(c, node, args[0], scope, "map")
    name = c.fresh("l")
    key, item = f"struct_extract({name}, 'key')", f"struct_extract({name}, 'value')"
    _, body = c.lambda_body(lambda_of(c, node, args[1]), list(value.type.args), scope, [key, item])
    entries = f"map_entries({value.sql})"
    if node.name.lower() == "map_filter":
        kept = f"list_filter({entries}, lambda {name}: {body.sql})"
        pairs = f"list_transform({kept}, lambda {name}: {{'k': {key}, 'v': {item}}})"
        return Typed(f"map_from_entries({pairs})", value.type)
    k, v = (body.sql, item) if node.name.lower() == "transform_keys" else (key, body.sql)
    of = mapping(body.type, value.type.args[1]) if k is body.sql else mapping(value.type.args[0], body.type)
    return Typed(f"map_from_entries(list_transform({entries}, lambda {name}: {{'k': {k}, 'v': {v}}}))", of)
