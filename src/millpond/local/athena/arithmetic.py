"""Arithmetic with Trino's result types: integers divide to integers, decimals keep a scale, dates stay dates."""

from __future__ import annotations

from millpond.local.athena.casts import convert
from millpond.local.athena.scopes import Typed
from millpond.local.athena.types import (
    DAY_TO_SECOND,
    DOUBLE,
    TIMES,
    TIMESTAMP,
    UNKNOWN,
    Type,
    as_decimal,
    common,
    decimal,
)

DIVIDED = "CAST('DIVISION_BY_ZERO: Division by zero' || chr(1) AS INTEGER)"


def arithmetic(operator: str, left: Typed, right: Typed) -> Typed | None:
    """`left operator right`, or None when Trino has no such operator."""
    if left.type.name == "unknown" and right.type.name == "unknown":
        return Typed("NULL", UNKNOWN)
    if left.type.name == "unknown":
        left = Typed(left.sql, right.type)
    if right.type.name == "unknown":
        right = Typed(right.sql, left.type)
    if left.type.numeric and right.type.numeric:
        return _numbers(operator, left, right)
    return _times(operator, left, right)


def _numbers(operator: str, left: Typed, right: Typed) -> Typed:
    wider = common(left.type, right.type)
    assert wider is not None
    if wider.name == "decimal":
        return _decimals(operator, left, right)
    a, b = convert(left, wider), convert(right, wider)
    match operator, wider.integral:
        case "/", True:
            return Typed(f"({a} // {b})", wider)
        case "/" | "+" | "-" | "*" | "%", _:
            return Typed(f"CAST(({a} {operator} {b}) AS {wider.duckdb})", wider)
    raise AssertionError(operator)


def _decimals(operator: str, left: Typed, right: Typed) -> Typed:
    """Precision and scale as Trino's documentation of decimal arithmetic gives them, capped at 38."""
    lt, rt = as_decimal(left.type), as_decimal(right.type)
    p1, s1, p2, s2 = lt.size or 0, lt.scale, rt.size or 0, rt.scale
    a, b = convert(left, lt), convert(right, rt)
    match operator:
        case "+" | "-":
            of = decimal(max(p1 - s1, p2 - s2) + max(s1, s2) + 1, max(s1, s2))
        case "*":
            of = decimal(p1 + p2, s1 + s2)
            if p1 + p2 > 38:
                return Typed(_wide_product(a, lt, b, rt, of), of)
        case "%":
            of = decimal(min(p1 - s1, p2 - s2) + max(s1, s2), max(s1, s2))
        case _:
            of = decimal(p1 + s2 + max(s2 - s1, 0), max(s1, s2))
            return Typed(_quotient(a, lt, b, rt, of), of)
    return Typed(f"CAST(({a} {operator} {b}) AS {of.duckdb})", of)


def unscaled(sql: str, of: Type) -> str:
    """The digits of a decimal as one integer."""
    if not of.scale:
        return f"CAST({sql} AS HUGEINT)"
    return f"CAST(replace(CAST({sql} AS VARCHAR), '.', '') AS HUGEINT)"


def _scaled(integer: str, of: Type) -> str:
    """An integer of `of.scale` decimal places to the decimal: through text, the only exact way for 38 digits."""
    if not of.scale:
        return f"CAST({integer} AS {of.duckdb})"
    whole = f"CAST(abs({integer}) AS VARCHAR)"
    digits = f"lpad({whole}, CAST(greatest({of.scale + 1}, length({whole})) AS INTEGER), '0')"
    sign = f"CASE WHEN {integer} < 0 THEN '-' ELSE '' END"
    text = f"({sign}) || left({digits}, -{of.scale}) || '.' || right({digits}, {of.scale})"
    return f"CAST({text} AS {of.duckdb})"


def _quotient(a: str, lt: Type, b: str, rt: Type, of: Type) -> str:
    """Exact, rounded half up (away from zero), as Trino divides decimals; DuckDB would answer a double."""
    shift = of.scale - lt.scale + rt.scale
    # list_transform binds the operands once: a query's nested divisions must not double the text at each level.
    body = (
        f"CASE WHEN _q[2] = 0 THEN {DIVIDED} ELSE sign(_q[1]) * sign(_q[2]) * "
        f"((abs(_q[1]) * {10**shift}::HUGEINT * 2 + abs(_q[2])) // (abs(_q[2]) * 2)) END"
    )
    whole = f"list_transform([[{unscaled(a, lt)}, {unscaled(b, rt)}]], lambda _q: CAST({body} AS HUGEINT))"
    return f"list_transform({whole}, lambda _q: {_scaled('_q', of)})[1]"


def _wide_product(a: str, lt: Type, b: str, rt: Type, of: Type) -> str:
    whole = f"[{unscaled(a, lt)} * {unscaled(b, rt)}]"
    return f"list_transform({whole}, lambda _q: {_scaled('_q', of)})[1]"


def _times(operator: str, left: Typed, right: Typed) -> Typed | None:
    lt, rt = left.type, right.type
    if operator == "+" and lt.name.startswith("interval") and rt.name in TIMES:
        return _times("+", right, left)
    if operator in "+-" and lt.name in TIMES and rt.name.startswith("interval"):
        return Typed(f"CAST(({left.sql} {operator} {right.sql}) AS {lt.duckdb})", lt)
    if operator == "-" and lt.name in TIMES and rt.name in TIMES:
        wider = common(common(lt, rt) or lt, TIMESTAMP)
        assert wider is not None
        return Typed(f"({convert(left, wider)} - {convert(right, wider)})", DAY_TO_SECOND)
    if operator in "+-" and lt == rt and lt.name.startswith("interval"):
        return Typed(f"({left.sql} {operator} {right.sql})", lt)
    if operator == "*" and rt.name.startswith("interval") and lt.numeric:
        return _times("*", right, left)
    if operator == "*" and lt.name.startswith("interval") and rt.integral:
        return Typed(f"({left.sql} * {right.sql})", lt)
    if operator == "/" and lt.name == "interval day to second" and rt.numeric:
        return Typed(f"to_microseconds(CAST(epoch_us({left.sql}) / {convert(right, DOUBLE)} AS BIGINT))", lt)
    return None
