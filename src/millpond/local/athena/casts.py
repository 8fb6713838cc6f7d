"""CAST and implicit conversions as Trino does them.

DuckDB reads text more kindly than Trino ('1.5' as integer, 'yes' as boolean, 'T' in a timestamp), rounds doubles half to
even and ignores varchar(n): each would be another answer without an error, so each cast from text is guarded.
"""

# ruff: noqa: E501 (templates of SQL and sentences of errors stay on one line)

from __future__ import annotations

from dataclasses import replace

from millpond.local.athena.scopes import Typed
from millpond.local.athena.types import TIMES, Type, common, literal, quoted

# Text that Trino accepts for a type, as RE2 patterns for a full match.
ACCEPTED = {
    "tinyint": r"[+-]?[0-9]+", "smallint": r"[+-]?[0-9]+", "integer": r"[+-]?[0-9]+", "bigint": r"[+-]?[0-9]+",
    "real": r"\s*([+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(NaN|Infinity))\s*",
    "double": r"\s*([+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(NaN|Infinity))\s*",
    "decimal": r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*",
    "boolean": r"(?i)(true|false|t|f|1|0)",
    "date": r"\s*[+-]?[0-9]{4,}-[0-9]{1,2}-[0-9]{1,2}\s*",
    "timestamp": r"\s*[+-]?[0-9]{4,}-[0-9]{1,2}-[0-9]{1,2}( [0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]+)?)?)?\s*",
    "timestamp with time zone":
        r"\s*[+-]?[0-9]{4,}-[0-9]{1,2}-[0-9]{1,2}( [0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]+)?)?)?( ?(UTC|Z|[+-][0-9]{2}:[0-9]{2}))?\s*",
    "time": r"[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]+)?)?",
}  # fmt: skip


def convert(value: Typed, to: Type) -> str:
    """The SQL of `value` as type `to`, to which it coerces."""
    if value.type == to or (
        to.name in {"unknown", "varchar", "function"} and (value.type.text or to.name != "varchar")
    ):
        return value.sql
    if value.type.name == "unknown":
        return f"CAST({value.sql} AS {to.duckdb})" if "unknown" not in str(to) else value.sql
    if value.type.name == to.name and to.name in {"timestamp with time zone", "char"}:
        return value.sql
    found = cast(value, to)
    return found.sql if found else f"CAST({value.sql} AS {to.duckdb})"


def cast(value: Typed, to: Type, *, safe: bool = False) -> Typed | None:
    """CAST, or TRY_CAST when `safe`; None when Trino has no such cast."""
    if value.type.name == "unknown":
        return Typed(f"CAST(NULL AS {to.duckdb})", to)
    sql = _cast(value, to)
    if sql is None:
        return None
    return Typed(f"TRY({sql})" if safe else sql, to)


def _cast(value: Typed, to: Type) -> str | None:
    of = value.type
    if of == to:
        return value.sql
    if of.text and to.name in ACCEPTED:
        return _from_text(value.sql, to)
    if to.text:
        text = to_text(value)
        return None if text is None else _shortened(text, of, to)
    if "json" in {of.name, to.name}:
        return _json(value, to)
    if of.name in {"array", "map", "row"} or to.name in {"array", "map", "row"}:
        return _nested(value, to)
    if of.name in TIMES and to.name in {*TIMES, "time"}:
        return _time(value, to)
    if of.name in {"real", "double"} and to.integral:
        return f"CAST(round({value.sql}) AS {to.duckdb})"
    if _simple(of, to):
        return f"CAST({value.sql} AS {to.duckdb})"
    return None


def _simple(of: Type, to: Type) -> bool:
    if (of.numeric or of.name == "boolean") and (to.numeric or to.name == "boolean"):
        return True
    return common(of, to) == to or (of.name == to.name)


def _from_text(sql: str, to: Type) -> str:
    source = f"replace({sql}, 'Infinity', 'inf')" if to.name in {"real", "double"} else sql
    if to.name in {"real", "double"}:
        source = f"trim({source})"
    made = f"CAST({source} AS {to.duckdb})"
    if to.name == "timestamp":
        made = rounded(made)
    bad = f"CAST('INVALID_CAST_ARGUMENT: ' || {refusal(sql, to)} || chr(1) AS INTEGER)"
    return (
        f"(CASE WHEN {sql} IS NULL OR regexp_full_match({sql}, {literal(ACCEPTED[to.name])}) THEN {made} "
        f"ELSE CAST(CAST({bad} AS VARCHAR) AS {to.duckdb}) END)"
    )


def refusal(sql: str, to: Type) -> str:
    """The SQL of Trino's message for text that is no value of a type."""
    if to.name in {*TIMES, "time"}:
        return f"'Value cannot be cast to {to.name}: ' || {sql}"
    if to.name == "decimal":
        return f"'Cannot cast VARCHAR ''' || {sql} || ''' to DECIMAL({to.size}, {to.scale})'"
    return f"'Cannot cast ''' || {sql} || ''' to {'INT' if to.name == 'integer' else to.name.upper()}'"


def rounded(sql: str) -> str:
    """Microseconds to Athena's milliseconds, half up."""
    return f"date_trunc('millisecond', {sql} + INTERVAL 500 MICROSECONDS)"


def to_text(value: Typed) -> str | None:
    """A value as Trino writes it in a varchar; None for types that do not cast to one."""
    of, sql = value.type, value.sql
    match of.name:
        case "varchar" | "char":
            return sql
        case "real" | "double":
            return f"trino_{of.name}_text({sql})"
        case "timestamp":
            return f"strftime({sql}, '%Y-%m-%d %H:%M:%S.%g')"
        case "timestamp with time zone":
            return f"(strftime({local(value)}, '%Y-%m-%d %H:%M:%S.%g') || {literal(' ' + of.zone)})"
        case "time":
            return f"left(CAST({sql} AS VARCHAR) || CASE WHEN length(CAST({sql} AS VARCHAR)) = 8 THEN '.000' ELSE '000' END, 12)"
        case "json":
            scalar = f"(CASE json_type({sql}) WHEN 'OBJECT' THEN NULL WHEN 'ARRAY' THEN NULL ELSE {sql} ->> '$' END)"
            return f"(CASE WHEN json_type({sql}) IN ('OBJECT', 'ARRAY') THEN CAST(CAST('INVALID_CAST_ARGUMENT: Cannot cast ''' || CAST({sql} AS VARCHAR) || ''' to varchar' || chr(1) AS INTEGER) AS VARCHAR) ELSE {scalar} END)"
        case "boolean" | "decimal" | "date" | "unknown":
            return f"CAST({sql} AS VARCHAR)"
        case _ if of.integral:
            return f"CAST({sql} AS VARCHAR)"
    return None


def local(value: Typed) -> str:
    """A timestamp with time zone as the wall clock of its zone."""
    return f"timezone({literal(value.type.zone)}, {value.sql})" if value.type.name.endswith("zone") else value.sql


def _shortened(text: str, of: Type, to: Type) -> str:
    if to.size is None or (of.text and of.size is not None and of.size <= to.size and to.name == "varchar"):
        return text
    if to.name == "char":
        return f"rpad(substr({text}, 1, {to.size}), {to.size}, ' ')"
    return f"substr({text}, 1, {to.size})"


def _time(value: Typed, to: Type) -> str:
    of = value.type
    match of.name, to.name:
        case "timestamp with time zone", "timestamp with time zone":
            return value.sql
        case "timestamp with time zone", "timestamp":
            return local(value)
        case "timestamp with time zone", _:
            return f"CAST({local(value)} AS {to.duckdb})"
        case _:
            return f"CAST({value.sql} AS {to.duckdb})"


def _json(value: Typed, to: Type) -> str | None:
    of, sql = value.type, value.sql
    if to.name == "json":
        if of.name in TIMES:
            text = to_text(value)
            return f"to_json({text})"
        return f"to_json({sql})"
    if to.name in {"array", "map", "row"}:
        return f"CAST({sql} AS {to.duckdb})"
    if to.name == "boolean" or to.numeric:
        return f"CAST(({sql} ->> '$') AS {to.duckdb})"
    return None


def _nested(value: Typed, to: Type) -> str | None:
    of, sql = value.type, value.sql
    if of.name != to.name or len(of.args) != len(to.args):
        return None
    inner = [cast(Typed("_v", a), b) for a, b in zip(of.args, to.args, strict=True)]
    if any(i is None for i in inner):
        return None
    match of.name:
        case "array":
            assert inner[0] is not None
            if inner[0].sql == "_v" or of.args[0].name == "unknown":
                return f"CAST({sql} AS {to.duckdb})"
            name = f"_v{depth(of)}"
            one = cast(Typed(name, of.args[0]), to.args[0])
            assert one is not None
            return f"CAST(list_transform({sql}, lambda {name}: {one.sql}) AS {to.duckdb})"
        case "map":
            name = f"_v{depth(of)}"
            k = cast(Typed(f"struct_extract({name}, 'key')", of.args[0]), to.args[0])
            v = cast(Typed(f"struct_extract({name}, 'value')", of.args[1]), to.args[1])
            assert k is not None and v is not None
            pairs = f"list_transform(map_entries({sql}), lambda {name}: {{'k': {k.sql}, 'v': {v.sql}}})"
            return f"CAST(map_from_entries({pairs}) AS {to.duckdb})"
        case _:
            return _row(value, to)


def _row(value: Typed, to: Type) -> str | None:
    members = []
    for old, a, new, b in zip(value.type.names, value.type.args, to.names, to.args, strict=True):
        one = cast(Typed(f"struct_extract({value.sql}, {literal(old)})", a), b)
        if one is None:
            return None
        members.append(f"{quoted(new)} := {one.sql}")
    return f"(CASE WHEN {value.sql} IS NOT NULL THEN struct_pack({', '.join(members)}) END)"


def depth(of: Type) -> int:
    """Levels of nesting: a lambda's parameter needs a name of its own at each."""
    return 1 + max((depth(a) for a in of.args), default=0)


def in_zone(of: Type, zone: str) -> Type:
    return replace(of, zone=zone)
