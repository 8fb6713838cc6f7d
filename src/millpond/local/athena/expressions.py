"""Expressions: Athena's tree to DuckDB's SQL, typed as Trino types it. A node that has no rule here fails the query.

Every rule knows the types of its operands, because the same text means different things in the two engines: `/` on
integers and on decimals, casts from text, comparisons that Trino refuses. Generated SQL holds no user text but literals
and members of rows, through types.literal and types.quoted.
"""

# ruff: noqa: E501 (templates of SQL and sentences of errors stay on one line)

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NoReturn

from sqlglot import exp

from millpond.local.athena import functions
from millpond.local.athena.arithmetic import arithmetic
from millpond.local.athena.casts import cast, convert
from millpond.local.athena.failures import QueryFailure
from millpond.local.athena.grammar import place
from millpond.local.athena.scopes import Field, Relation, Scope, Typed
from millpond.local.athena.specials import SPECIALS
from millpond.local.athena.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DAY_TO_SECOND,
    DOUBLE,
    INTEGER,
    TIMESTAMP,
    TIMESTAMP_TZ,
    UNKNOWN,
    VARBINARY,
    VARCHAR,
    YEAR_TO_MONTH,
    Type,
    array,
    common,
    decimal,
    literal,
    parse,
    quoted,
    row,
)

COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM", exp.NullSafeNEQ: "IS DISTINCT FROM",
}  # fmt: skip
LONGEST = 500_000  # characters of one generated expression: templates that repeat an argument grow when nested
ARITHMETIC: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}
UNITS = ("year", "month", "day", "hour", "minute", "second", "week", "quarter", "millisecond")


class Expressions:
    """The rules. `sql` is the user's text, for places; `now` is the one instant of the query, as SQL."""

    def __init__(self, sql: str, now: str) -> None:
        self.sql, self.now = sql, now
        self.counter = 0
        self.names: dict[str, str] = {}  # generated column -> the user's name, for messages
        self.parameters: list[str] = []

    # --- the doors --------------------------------------------------------------------------------------------------

    def query(self, node: exp.Expr, outer: Scope | None) -> Relation:
        raise NotImplementedError

    def fail(self, code: str, message: str, node: exp.Expr) -> NoReturn:
        raise QueryFailure(code, message, at=place(self.sql, node))

    def fresh(self, letter: str) -> str:
        self.counter += 1
        return f"{letter}{self.counter}"

    def expr(self, node: exp.Expr, scope: Scope) -> Typed:
        """Compile one expression."""
        rule = RULES.get(type(node))
        if rule is None:
            self.fail("NOT_SUPPORTED", f"{type(node).__name__} is not supported by the local engine", node)
        found = rule(self, node, scope)
        if len(found.sql) > LONGEST:
            self.fail("QUERY_TOO_LARGE", "The expression is too large for the local engine", node)
        return found

    def boolean(self, node: exp.Expr, scope: Scope, what: str) -> str:
        """A condition; Trino refuses any other type."""
        found = self.expr(node, scope)
        if found.type.name not in {"boolean", "unknown"}:
            self.fail("TYPE_MISMATCH", f"{what} must evaluate to a boolean: actual type {found.type}", node)
        return found.sql

    def unify(self, values: list[Typed], node: exp.Expr, what: str) -> tuple[list[str], Type]:
        """The values cast to their common type."""
        wider = UNKNOWN
        for value in values:
            step = common(wider, value.type)
            if step is None:
                self.fail("TYPE_MISMATCH", f"{what} must be the same type: {wider} (alternative: {value.type})", node)
            wider = step
        return [convert(v, wider) for v in values], wider

    # --- leaves -----------------------------------------------------------------------------------------------------

    def literal(self, node: exp.Literal, scope: Scope) -> Typed:
        text = str(node.this)
        if node.is_string:
            return Typed(literal(text), Type("varchar", size=len(text)))
        return self.number(text, node)

    def number(self, text: str, node: exp.Expr) -> Typed:
        digits = text.replace("_", "")
        if re.fullmatch(r"\d+", digits):
            value = int(digits)
            if value >= 2**63:
                self.fail("NUMERIC_VALUE_OUT_OF_RANGE", f"Invalid numeric literal: {text}", node)
            of = INTEGER if value < 2**31 else BIGINT
            return Typed(f"CAST({value} AS {of.duckdb})", of)
        if re.fullmatch(r"\d*\.\d*", digits):
            return decimal_literal(digits)
        if re.fullmatch(r"(?i)\d*\.?\d*e[+-]?\d+", digits):
            return Typed(f"CAST({literal(digits)} AS DOUBLE)", DOUBLE)
        self.fail("SYNTAX_ERROR", f"Invalid numeric literal: {text}", node)

    def column(self, node: exp.Column, scope: Scope) -> Typed:
        parts = [part.name for part in node.parts]
        if isinstance(node.this, exp.Star):
            self.fail("SYNTAX_ERROR", "'*' is not allowed here", node)
        return self.named(parts, node, scope)

    def identifier(self, node: exp.Identifier, scope: Scope) -> Typed:
        return self.named([node.name], node, scope)

    def named(self, parts: list[str], node: exp.Expr, scope: Scope) -> Typed:
        lowered = [p.lower() for p in parts]
        if scope.outputs and len(parts) == 1 and lowered[0] in scope.outputs:
            return scope.outputs[lowered[0]]
        found, used = scope.find(lowered)
        shown = ".".join(parts)
        if not found:
            self.fail(
                "COLUMN_NOT_FOUND",
                f"Column '{shown}' cannot be resolved or requester is not authorized to access requested resources",
                node,
            )
        if len(found) > 1:
            self.fail("AMBIGUOUS_NAME", f"Column '{shown}' is ambiguous", node)
        value = Typed(found[0].sql, found[0].type, parts[used - 1])
        for member in parts[used:]:
            value = self.member(value, member, node)
        return value

    def member(self, of: Typed, name: str, node: exp.Expr) -> Typed:
        if of.type.name != "row":
            self.fail("TYPE_MISMATCH", f"Expression {of.name or ''} is not of type ROW", node)
        for real, member in zip(of.type.names, of.type.args, strict=True):
            if real.lower() == name.lower():
                return Typed(f"struct_extract({of.sql}, {literal(real)})", member, name)
        self.fail("COLUMN_NOT_FOUND", f"Column '{name}' cannot be resolved", node)

    def dot(self, node: exp.Dot, scope: Scope) -> Typed:
        return self.member(self.expr(node.this, scope), node.expression.name, node)

    def interval(self, node: exp.Interval, scope: Scope) -> Typed:
        unit = (node.args.get("unit") or exp.Var(this="")).name.lower().rstrip("s")
        value = node.this
        if not isinstance(value, exp.Literal) or not re.fullmatch(r"\s*[+-]?\d+\s*", value.name) or unit not in UNITS:
            self.fail("NOT_SUPPORTED", "This interval literal is not supported by the local engine", node)
        of = YEAR_TO_MONTH if unit in {"year", "month"} else DAY_TO_SECOND
        return Typed(f"to_{unit}s({int(value.name)})", of)

    def parameter(self, node: exp.Expr, scope: Scope) -> Typed:
        self.fail("INVALID_PARAMETER_USAGE", "Incorrect number of parameters: the query has an unbound '?'", node)

    # --- operators --------------------------------------------------------------------------------------------------

    def arithmetic(self, node: exp.Binary, scope: Scope) -> Typed:
        left, right = self.expr(node.this, scope), self.expr(node.expression, scope)
        operator = ARITHMETIC[type(node)]
        found = arithmetic(operator, left, right)
        if found is None:
            self.fail("TYPE_MISMATCH", f"Cannot apply operator: {left.type} {operator} {right.type}", node)
        return found

    def negative(self, node: exp.Neg, scope: Scope) -> Typed:
        if isinstance(node.this, exp.Literal) and node.this.name == "9223372036854775808":
            return Typed("CAST('-9223372036854775808' AS BIGINT)", BIGINT)
        value = self.expr(node.this, scope)
        if not value.type.numeric and not value.type.name.startswith("interval"):
            self.fail("TYPE_MISMATCH", f"Cannot negate {value.type}", node)
        return Typed(f"(-{value.sql})", value.type)

    def concatenation(self, node: exp.DPipe, scope: Scope) -> Typed:
        left, right = self.expr(node.this, scope), self.expr(node.expression, scope)
        return self.joined(left, right, node)

    def joined(self, left: Typed, right: Typed, node: exp.Expr) -> Typed:
        if all(t.text or t.name == "unknown" for t in (left.type, right.type)):
            return Typed(f"({left.sql} || {right.sql})", VARCHAR)
        if left.type.name == right.type.name == "varbinary":
            return Typed(f"({left.sql} || {right.sql})", VARBINARY)
        if "array" in {left.type.name, right.type.name}:
            sides = [s if s.type.name == "array" else Typed(f"[{s.sql}]", array(s.type)) for s in (left, right)]
            sqls, of = self.unify(sides, node, "All concatenated arrays")
            return Typed(f"({sqls[0]} || {sqls[1]})", of)
        self.fail("TYPE_MISMATCH", f"Unexpected parameters ({left.type}, {right.type}) for function concat", node)

    def comparison(self, node: exp.Binary, scope: Scope) -> Typed:
        if isinstance(node.expression, exp.Any | exp.All):
            return self.quantified(node, scope)
        left, right = self.expr(node.this, scope), self.expr(node.expression, scope)
        return Typed(self.compared(left, COMPARISONS[type(node)], right, node), BOOLEAN)

    def compared(self, left: Typed, operator: str, right: Typed, node: exp.Expr) -> str:
        wider = common(left.type, right.type)
        if wider is None or "json" in {left.type.name, right.type.name} - {"unknown"} - {wider.name}:
            self.fail("TYPE_MISMATCH", f"Cannot apply operator: {left.type} {operator} {right.type}", node)
        if wider.name in {"map", "json"} and operator in {"<", "<=", ">", ">="}:
            self.fail("TYPE_MISMATCH", f"Cannot apply operator: {left.type} {operator} {right.type}", node)
        return f"({convert(left, wider)} {operator} {convert(right, wider)})"

    def quantified(self, node: exp.Binary, scope: Scope) -> Typed:
        word = "ANY" if isinstance(node.expression, exp.Any) else "ALL"
        left = self.expr(node.this, scope)
        inner = node.expression.this
        relation = self.one_column(inner, scope)
        of = relation.columns[0].type
        wider = common(left.type, of)
        if wider is None:
            self.fail("TYPE_MISMATCH", f"Cannot apply operator: {left.type} {COMPARISONS[type(node)]} {of}", node)
        query = f"SELECT {convert(Typed('c0', of), wider)} FROM ({relation.sql})"
        return Typed(f"({convert(left, wider)} {COMPARISONS[type(node)]} {word} ({query}))", BOOLEAN)

    def logic(self, node: exp.Connector, scope: Scope) -> Typed:
        word = "AND" if isinstance(node, exp.And) else "OR"
        # A long chain leans to the left; walking it in a loop keeps thousands of terms from exhausting the stack.
        terms: list[str] = []
        left: Any = node
        while type(left) is type(node):
            terms.append(self.boolean(left.expression, scope, f"Right side of logical expression {word}"))
            left = left.this
        terms.append(self.boolean(left, scope, f"Left side of logical expression {word}"))
        return Typed("(" + f" {word} ".join(reversed(terms)) + ")", BOOLEAN)

    def negation(self, node: exp.Not, scope: Scope) -> Typed:
        return Typed(f"(NOT {self.boolean(node.this, scope, 'Value of logical NOT expression')})", BOOLEAN)

    def is_(self, node: exp.Is, scope: Scope) -> Typed:
        value = self.expr(node.this, scope)
        if isinstance(node.expression, exp.Null):
            return Typed(f"({value.sql} IS NULL)", BOOLEAN)
        self.fail("SYNTAX_ERROR", "mismatched input after IS. Expecting: 'NULL', 'NOT NULL', 'DISTINCT FROM'", node)

    def between(self, node: exp.Between, scope: Scope) -> Typed:
        value = self.expr(node.this, scope)
        low, high = self.expr(node.args["low"], scope), self.expr(node.args["high"], scope)
        return Typed(f"({self.compared(value, '>=', low, node)} AND {self.compared(value, '<=', high, node)})", BOOLEAN)

    def in_(self, node: exp.In, scope: Scope) -> Typed:
        value = self.expr(node.this, scope)
        if inner := node.args.get("query"):
            relation = self.one_column(inner.unnest() if isinstance(inner, exp.Subquery) else inner, scope)
            wider = common(value.type, relation.columns[0].type)
            if wider is None:
                of = relation.columns[0].type
                self.fail(
                    "TYPE_MISMATCH",
                    f"Value expression and result of subquery must be of the same type: {value.type} vs {of}",
                    node,
                )
            query = f"SELECT {convert(Typed('c0', relation.columns[0].type), wider)} FROM ({relation.sql})"
            return Typed(f"({convert(value, wider)} IN ({query}))", BOOLEAN)
        items = [self.expr(item, scope) for item in node.expressions]
        if not items:
            self.fail("NOT_SUPPORTED", "IN over this expression is not supported by the local engine", node)
        sqls, _ = self.unify([value, *items], node, "IN value and list items")
        return Typed(f"({sqls[0]} IN ({', '.join(sqls[1:])}))", BOOLEAN)

    def one_column(self, node: exp.Expr, scope: Scope) -> Relation:
        while isinstance(node, exp.Subquery) and not node.args.get("alias"):
            node = node.this
        relation = self.query(node, scope)
        if len(relation.columns) != 1:
            self.fail(
                "TYPE_MISMATCH",
                f"Multiple columns returned by subquery are not yet supported. Found {len(relation.columns)}",
                node,
            )
        return relation

    def subquery(self, node: exp.Subquery, scope: Scope) -> Typed:
        relation = self.one_column(node, scope)
        return Typed(f"({relation.sql})", relation.columns[0].type)

    def exists(self, node: exp.Exists, scope: Scope) -> Typed:
        inner = node.this.this if isinstance(node.this, exp.Subquery) else node.this
        return Typed(f"EXISTS ({self.query(inner, scope).sql})", BOOLEAN)

    def like(self, node: exp.Like, scope: Scope, escape: str = "") -> Typed:
        value, pattern = self.expr(node.this, scope), self.expr(node.expression, scope)
        for side in (value, pattern):
            if not side.type.text and side.type.name != "unknown":
                self.fail(
                    "TYPE_MISMATCH",
                    f"Left side of LIKE expression must evaluate to a varchar (actual: {side.type})",
                    node,
                )
        return Typed(f"({value.sql} LIKE {pattern.sql}{escape})", BOOLEAN)

    def escape(self, node: exp.Escape, scope: Scope) -> Typed:
        if not isinstance(node.this, exp.Like):
            self.fail("SYNTAX_ERROR", "ESCAPE belongs to LIKE", node)
        return self.like(node.this, scope, f" ESCAPE {self.expr(node.expression, scope).sql}")

    # --- conditional ------------------------------------------------------------------------------------------------

    def case(self, node: exp.Case, scope: Scope) -> Typed:
        operand = self.expr(node.this, scope) if node.this else None
        conditions: list[str] = []
        values: list[Typed] = []
        for branch in node.args["ifs"]:
            if operand is None:
                conditions.append(self.boolean(branch.this, scope, "CASE WHEN clause"))
            else:
                conditions.append(self.compared(operand, "=", self.expr(branch.this, scope), branch))
            values.append(self.expr(branch.args["true"], scope))
        if default := node.args.get("default"):
            values.append(self.expr(default, scope))
        sqls, of = self.unify(values, node, "All CASE results")
        branches = " ".join(f"WHEN {c} THEN {v}" for c, v in zip(conditions, sqls, strict=False))
        return Typed(f"(CASE {branches}{f' ELSE {sqls[-1]}' if default else ''} END)", of)

    def if_(self, node: exp.If, scope: Scope) -> Typed:
        condition = self.boolean(node.this, scope, "IF condition")
        values = [self.expr(node.args["true"], scope)]
        if node.args.get("false") is not None:
            values.append(self.expr(node.args["false"], scope))
        sqls, of = self.unify(values, node, "Result types for IF")
        return Typed(f"(CASE WHEN {condition} THEN {sqls[0]} ELSE {sqls[1] if len(sqls) > 1 else 'NULL'} END)", of)

    def cast(self, node: exp.Cast, scope: Scope) -> Typed:
        try:
            target = read_type(node.to)
        except QueryFailure as failure:
            self.fail(failure.code, failure.message, node)
        inner = node.this
        if isinstance(inner, exp.Literal) and inner.is_string and target.name == "decimal" and not node.to.expressions:
            return decimal_literal(inner.name)  # DECIMAL '1.10': the precision is the literal's
        value = self.expr(inner, scope)
        found = cast(value, target, safe=isinstance(node, exp.TryCast))
        if found is None:
            self.fail("TYPE_MISMATCH", f"Cannot cast {value.type} to {target}", node)
        return found

    # --- collections ------------------------------------------------------------------------------------------------

    def array(self, node: exp.Array, scope: Scope) -> Typed:
        sqls, of = self.unify([self.expr(e, scope) for e in node.expressions], node, "All ARRAY elements")
        return Typed(f"CAST([{', '.join(sqls)}] AS {array(of).duckdb})" if of.name != "unknown" else
                     f"[{', '.join(sqls)}]", array(of))  # fmt: skip

    def tuple_(self, node: exp.Tuple, scope: Scope) -> Typed:
        return self.row([self.expr(e, scope) for e in node.expressions])

    def row(self, values: list[Typed]) -> Typed:
        of = row(*((None, v.type) for v in values))
        members = ", ".join(f"{quoted(n)} := {v.sql}" for n, v in zip(of.names, values, strict=True))
        return Typed(f"struct_pack({members})", of)

    def bracket(self, node: exp.Bracket, scope: Scope) -> Typed:
        of = self.expr(node.this, scope)
        if len(node.expressions) != 1 or isinstance(node.expressions[0], exp.Slice):
            self.fail("SYNTAX_ERROR", "A subscript has one index", node)
        index_node = node.expressions[0]
        index = self.expr(index_node, scope)
        match of.type.name:
            case "array" if index.type.integral or index.type.name == "unknown":
                key = convert(index, BIGINT)
                low = functions.fail("INVALID_FUNCTION_ARGUMENT", "'SQL array indices start at 1'")
                said = (
                    f"'Array subscript must be less than or equal to array length: ' || {key} || ' > ' || len({of.sql})"
                )
                high = functions.fail("INVALID_FUNCTION_ARGUMENT", said)
                at = f"CASE WHEN {key} < 1 THEN {low} WHEN {key} > len({of.sql}) THEN {high} ELSE {key} END"
                return Typed(f"({of.sql})[{at}]", of.type.args[0])
            case "map" if common(index.type, of.type.args[0]) == of.type.args[0]:
                return self.map_value(of, convert(index, of.type.args[0]))
            case "row" if isinstance(index_node, exp.Literal) and not index_node.is_string:
                return self.row_member(of, int(index_node.name), node)
        self.fail("TYPE_MISMATCH", f"Cannot use {index.type} for subscript of {of.type}", node)

    def map_value(self, of: Typed, key: str) -> Typed:
        """`m[k]`: unlike element_at, a missing key fails."""
        text = cast(Typed(key, of.type.args[0]), VARCHAR)
        missing = functions.fail(
            "INVALID_FUNCTION_ARGUMENT", f"'Key not present in map: ' || {text.sql if text else repr('?')}"
        )
        refused = f"CAST(CAST({missing} AS VARCHAR) AS {of.type.args[0].duckdb})"
        checked = (
            f"CASE WHEN list_contains(map_keys({of.sql}), {key}) OR ({of.sql}) IS NULL THEN {key} ELSE {refused} END"
        )
        return Typed(f"({of.sql})[{checked}]", of.type.args[1])

    def row_member(self, of: Typed, number: int, node: exp.Expr) -> Typed:
        if not 1 <= number <= len(of.type.args):
            self.fail("INVALID_FUNCTION_ARGUMENT", f"Invalid subscript index: {number}", node)
        name = of.type.names[number - 1]
        return Typed(f"struct_extract({of.sql}, {literal(name)})", of.type.args[number - 1])

    def at_time_zone(self, node: exp.AtTimeZone, scope: Scope) -> Typed:
        found = SPECIALS["at_timezone"](self, node, [node.this, node.args["zone"]], scope)
        assert found is not None
        return found

    # --- functions --------------------------------------------------------------------------------------------------

    def function(self, node: exp.Anonymous, scope: Scope, window: Window | None = None) -> Typed:
        name = node.name.lower()
        if not functions.known(name):
            if name in functions.ATHENA_ONLY:
                self.fail("NOT_SUPPORTED", f"Function '{name}' is not supported by the local engine", node)
            self.fail("FUNCTION_NOT_FOUND", f"Function '{node.name}' not registered", node)
        return self.call(name, node, list(node.expressions), scope, window)

    def call(self, name: str, node: exp.Expr, args: list[exp.Expr], scope: Scope,
             window: Window | None = None) -> Typed:  # fmt: skip
        if name in functions.windows() and (window is None or window.over is None):
            self.fail("MISSING_OVER", f"Window function {name} must have an OVER clause", node)
        if special := SPECIALS.get(name):
            found = special(self, node, args, scope)
            if found is not None:
                return self.no_window(found, name, node, window)
        shape = CallShape(args, window or Window())
        if name in functions.SPECIAL_AGGREGATES and (found := self.special_aggregate(name, node, shape, scope)):
            return found
        values = [None if isinstance(a, exp.Lambda) else self.expr(a, scope) for a in shape.args]
        chosen = functions.choose(name, [v.type if v else None for v in values])
        if chosen is None:
            self.no_overload(name, values, node)
        signature, bound = chosen
        sqls = self.arguments(signature, bound, shape.args, values, node, scope)
        result = functions.filled(signature.result, bound)
        if signature.kind == "scalar":
            found = Typed(self.filled(signature, sqls, shape, scope, node), result)
            return self.no_window(self.settled(found), name, node, window)
        return self.settled(Typed(self.filled(signature, sqls, shape, scope, node), result))

    def no_window(self, found: Typed, name: str, node: exp.Expr, window: Window | None) -> Typed:
        if window is not None:
            self.fail("FUNCTION_NOT_WINDOW", f"Not a window function: {name}", node)
        return found

    @staticmethod
    def settled(found: Typed) -> Typed:
        """DuckDB's function may answer a wider or narrower number than Trino's: the cast makes it Trino's."""
        if found.type.numeric or found.type.name in {"array", "map"}:
            return (
                Typed(f"CAST({found.sql} AS {found.type.duckdb})", found.type)
                if "unknown" not in str(found.type)
                else found
            )
        return found

    def no_overload(self, name: str, values: list[Typed | None], node: exp.Expr) -> NoReturn:
        if None in values:
            self.fail("NOT_SUPPORTED", f"This form of {name} is not supported by the local engine", node)
        given = ", ".join(str(v.type) if v else "function" for v in values)
        wanted = ", ".join(str(s) for s in functions.table().get(name, ()))
        tail = f" Expected: {wanted}" if wanted else ""
        self.fail("FUNCTION_NOT_FOUND", f"Unexpected parameters ({given}) for function {name}.{tail}", node)

    def arguments(self, signature: functions.Signature, bound: dict[str, Type], args: list[exp.Expr],
                  values: list[Typed | None], node: exp.Expr, scope: Scope) -> list[str]:  # fmt: skip
        """The arguments' SQL, cast to the parameters; lambdas see the types that the others bound."""
        sqls = []
        for param, arg, value in zip(functions.spread(signature, len(args)), args, values, strict=True):
            if value is not None:
                sqls.append(convert(value, functions.filled(param, bound)))
                continue
            assert isinstance(arg, exp.Lambda)
            sql, result = self.lambda_(arg, [functions.filled(p, bound) for p in param.args[:-1]], scope)
            if not functions.bind(param.args[-1], result, bound):
                self.fail(
                    "TYPE_MISMATCH", f"A lambda of {signature.name} must return {param.args[-1]}: actual {result}", arg
                )
            sqls.append(sql)
        return sqls

    def lambda_(self, node: exp.Lambda, params: list[Type], scope: Scope) -> tuple[str, Type]:
        """`x -> x + 1` to `lambda l1: ...`, with the type of its body."""
        names, body = self.lambda_body(node, params, scope)
        return f"lambda {', '.join(names)}: {body.sql}", body.type

    def lambda_body(self, node: exp.Lambda, params: list[Type], scope: Scope,
                    values: list[str] | None = None) -> tuple[list[str], Typed]:  # fmt: skip
        """The body with its parameters bound to fresh names, or to `values` (SQL)."""
        if len(node.expressions) != len(params):
            self.fail("INVALID_FUNCTION_ARGUMENT", f"Expected a lambda that takes {len(params)} argument(s)", node)
        names = [self.fresh("l") for _ in params]
        sources = values or names
        fields = [Field(p.name, t, s) for p, t, s in zip(node.expressions, params, sources, strict=True)]
        return names, self.expr(node.this, Scope(fields, parent=scope))

    def filled(self, signature: functions.Signature, sqls: list[str], shape: CallShape, scope: Scope,
               node: exp.Expr) -> str:  # fmt: skip
        window = shape.window
        filtered = self.boolean(window.filter, scope, "FILTER clause") if window.filter is not None else ""
        over = f" OVER ({self.over(window.over, scope)})" if window.over is not None else ""
        if signature.kind == "scalar" and (shape.distinct or shape.order is not None or filtered):
            self.fail(
                "FUNCTION_NOT_AGGREGATE",
                f"DISTINCT, ORDER BY and FILTER need an aggregation function: {signature.name}",
                node,
            )
        if (shape.distinct and "{d}" not in signature.sql) or (shape.order is not None and "{o}" not in signature.sql):
            self.fail(
                "NOT_SUPPORTED", f"DISTINCT or ORDER BY in {signature.name} is not supported by the local engine", node
            )
        return signature.sql.format(
            *sqls,
            args=", ".join(sqls),
            joined=" || ".join(sqls),
            anynull=" OR ".join(f"({s}) IS NULL" for s in sqls) or "false",
            d="DISTINCT " if shape.distinct else "",
            o=f" ORDER BY {self.ordering(shape.order.expressions, scope)}" if shape.order is not None else "",
            w=(f" FILTER (WHERE {filtered})" if filtered else "") + over,
            over=over,
            andfilter=f" AND {filtered}" if filtered else "",
            nulls=" IGNORE NULLS" if window.ignore_nulls else "",
            now=self.now,
        )

    def special_aggregate(self, name: str, node: exp.Expr, shape: CallShape, scope: Scope) -> Typed | None:
        """sum and avg of decimals, whose precision follows the argument's; None: the table knows."""
        if name == "listagg" or len(shape.args) != 1:
            return None
        value = self.expr(shape.args[0], scope)
        if value.type.name != "decimal":
            return None
        wide = decimal(38, value.type.scale)
        core = functions.Signature("sum", (), wide, "sum({d}{0}){w}", "aggregate")
        total = Typed(f"CAST({self.filled(core, [value.sql], shape, scope, node)} AS {wide.duckdb})", wide)
        if name == "sum":
            return total
        count = functions.Signature("count", (), BIGINT, "count({d}{0}){w}", "aggregate")
        many = Typed(f"nullif({self.filled(count, [value.sql], shape, scope, node)}, 0)", BIGINT)
        mean = arithmetic("/", total, many)
        assert mean is not None
        return Typed(f"CAST({mean.sql} AS {value.type.duckdb})", value.type)

    def list_agg(self, node: exp.GroupConcat, scope: Scope, window: Window | None = None) -> Typed:
        inner, order = node.this, ""
        if isinstance(inner, exp.Order):
            order = f" ORDER BY {self.ordering(inner.expressions, scope)}"
            inner = inner.this
        distinct = ""
        if isinstance(inner, exp.Distinct):
            distinct, inner = "DISTINCT ", inner.expressions[0]
        value = self.expr(inner, scope)
        if not value.type.text:
            self.fail("TYPE_MISMATCH", f"LISTAGG needs a varchar: actual type {value.type}", node)
        separator = self.expr(node.args["separator"], scope).sql if node.args.get("separator") else "''"
        tail = ""
        if window and window.filter is not None:
            tail = f" FILTER (WHERE {self.boolean(window.filter, scope, 'FILTER clause')})"
        if window and window.over is not None:
            self.fail("NOT_SUPPORTED", "LISTAGG over a window is not supported", node)
        return Typed(f"string_agg({distinct}{value.sql}, {separator}{order}){tail}", VARCHAR)

    # --- windows ----------------------------------------------------------------------------------------------------

    def windowed(self, node: exp.Expr, scope: Scope) -> Typed:
        """FILTER, IGNORE NULLS and OVER around a call."""
        window, inner = Window(), node
        while not isinstance(inner, exp.Anonymous | exp.GroupConcat):
            match inner:
                case exp.Window():
                    window.over = inner
                case exp.Filter():
                    window.filter = inner.expression.this
                case exp.IgnoreNulls():
                    window.ignore_nulls = True
                case exp.RespectNulls():
                    pass
                case exp.WithinGroup() if isinstance(inner.this, exp.GroupConcat):
                    merged = inner.this.copy()
                    merged.set("this", exp.Order(this=merged.this, expressions=inner.expression.expressions))
                    inner = exp.Filter(this=merged, expression=exp.Where(this=exp.Boolean(this=True)))
                case _:
                    self.fail("SYNTAX_ERROR", "OVER and FILTER follow a function", node)
            inner = inner.this
        if isinstance(inner, exp.GroupConcat):
            return self.list_agg(inner, scope, window)
        return self.function(inner, scope, window)

    def over(self, node: exp.Window, scope: Scope) -> str:
        parts = []
        if node.args.get("alias") is not None:  # OVER name: queries.py keeps the definitions
            definition = self.named_window(node.args["alias"], node)
            if not node.args.get("partition_by") and not node.args.get("order") and not node.args.get("spec"):
                node = definition
            else:
                self.fail("NOT_SUPPORTED", "Extending a named window is not supported by the local engine", node)
        if keys := node.args.get("partition_by"):
            parts.append("PARTITION BY " + ", ".join(self.expr(k, scope).sql for k in keys))
        if order := node.args.get("order"):
            parts.append("ORDER BY " + self.ordering(order.expressions, scope))
        if spec := node.args.get("spec"):
            if spec.args.get("exclude"):
                self.fail("NOT_SUPPORTED", "EXCLUDE in a window frame is not supported", node)
            low = self.bound(spec, "start", scope)
            high = self.bound(spec, "end", scope)
            parts.append(f"{spec.args['kind']} " + (f"BETWEEN {low} AND {high}" if high else low))
        return " ".join(parts)

    def named_window(self, name: Any, node: exp.Expr) -> exp.Window:
        self.fail("INVALID_WINDOW_REFERENCE", f"Cannot resolve WINDOW name {name}", node)

    def bound(self, spec: exp.WindowSpec, edge: str, scope: Scope) -> str:
        value, side = spec.args.get(edge), spec.args.get(f"{edge}_side") or ""
        if value is None:
            return ""
        if isinstance(value, str):
            return f"{value} {side}".strip() if value.upper() in {"UNBOUNDED", "CURRENT ROW"} else ""
        return f"{self.expr(value, scope).sql} {side}"

    def ordering(self, items: list[exp.Expr], scope: Scope) -> str:
        """Trino puts NULLs last in both directions unless told."""
        out = []
        for item in items:
            inner = item.this if isinstance(item, exp.Ordered) else item
            out.append(self.expr(inner, scope).sql + direction(item))
        return ", ".join(out)


def direction(item: exp.Expr) -> str:
    """` DESC NULLS LAST` of an ORDER BY item."""
    down = bool(item.args.get("desc")) if isinstance(item, exp.Ordered) else False
    first = bool(item.args.get("nulls_first")) if isinstance(item, exp.Ordered) else False
    return f"{' DESC' if down else ' ASC'} NULLS {'FIRST' if first else 'LAST'}"


class Window:
    """What stands around a call: FILTER, IGNORE NULLS, OVER."""

    def __init__(self) -> None:
        self.over: exp.Window | None = None
        self.filter: exp.Expr | None = None
        self.ignore_nulls = False


class CallShape:
    """A call's arguments without DISTINCT and ORDER BY, which the parser wraps around them."""

    def __init__(self, args: list[exp.Expr], window: Window) -> None:
        self.distinct, self.window = False, window
        self.order: exp.Order | None = None
        args = list(args)
        if len(args) == 1 and isinstance(args[0], exp.Star):
            args = []
        if args and isinstance(args[-1], exp.Order):
            self.order = args[-1]
            args[-1] = self.order.this
        if len(args) == 1 and isinstance(args[0], exp.Distinct):
            self.distinct = True
            args = list(args[0].expressions)
        self.args = args


def decimal_literal(text: str) -> Typed:
    """`1.10` is decimal(3,2): precision and scale are the literal's own."""
    whole, _, fraction = text.strip().lstrip("+-").partition(".")
    digits = len(whole.lstrip("0")) + len(fraction)
    of = decimal(max(1, digits), len(fraction))
    return Typed(f"CAST({literal(text)} AS {of.duckdb})", of)


def read_type(node: exp.DataType) -> Type:
    """The target of a CAST."""
    return parse(node.sql(dialect="trino"))


def constant(sql: str, of: Type) -> Callable[[Expressions, Any, Scope], Typed]:
    return lambda self, node, scope: Typed(sql.format(now=self.now), of)


Rule = Callable[[Expressions, Any, Scope], Typed]
RULES: dict[type[exp.Expr], Rule] = {
    exp.Literal: Expressions.literal,
    exp.Null: constant("NULL", UNKNOWN),
    exp.Boolean: lambda self, node, scope: Typed("true" if node.this else "false", BOOLEAN),
    exp.HexString: lambda self, node, scope: Typed(f"from_hex({literal(str(node.this))})", VARBINARY),
    exp.Column: Expressions.column,
    exp.Identifier: Expressions.identifier,
    exp.Dot: Expressions.dot,
    exp.Paren: lambda self, node, scope: self.expr(node.this, scope),
    exp.Neg: Expressions.negative,
    exp.DPipe: Expressions.concatenation,
    exp.And: Expressions.logic,
    exp.Or: Expressions.logic,
    exp.Not: Expressions.negation,
    exp.Is: Expressions.is_,
    exp.Between: Expressions.between,
    exp.In: Expressions.in_,
    exp.Subquery: Expressions.subquery,
    exp.Select: lambda self, node, scope: self.subquery(node, scope),
    exp.Exists: Expressions.exists,
    exp.Like: Expressions.like,
    exp.Escape: Expressions.escape,
    exp.Case: Expressions.case,
    exp.If: Expressions.if_,
    exp.Cast: Expressions.cast,
    exp.TryCast: Expressions.cast,
    exp.Array: Expressions.array,
    exp.Tuple: Expressions.tuple_,
    exp.Bracket: Expressions.bracket,
    exp.AtTimeZone: Expressions.at_time_zone,
    exp.Interval: Expressions.interval,
    exp.Anonymous: Expressions.function,
    exp.GroupConcat: Expressions.list_agg,
    exp.WithinGroup: Expressions.windowed,
    exp.Window: Expressions.windowed,
    exp.Filter: Expressions.windowed,
    exp.IgnoreNulls: Expressions.windowed,
    exp.RespectNulls: Expressions.windowed,
    exp.Placeholder: Expressions.parameter,
    exp.Parameter: Expressions.parameter,
    exp.CurrentDate: constant("CAST({now} AS DATE)", DATE),
    exp.CurrentTimestamp: constant("CAST({now} AS TIMESTAMPTZ)", TIMESTAMP_TZ),
    exp.Localtimestamp: constant("{now}", TIMESTAMP),
    exp.CurrentUser: constant("'millpond'", VARCHAR),
    exp.Extract: lambda self, node, scope: self.call(node.this.name.lower(), node, [node.expression], scope),
    exp.Substring: lambda self, node, scope: self.call(
        "substr", node, [a for a in (node.this, node.args.get("start"), node.args.get("length")) if a is not None], scope
    ),
    exp.StrPosition: lambda self, node, scope: self.call("strpos", node, [node.this, node.args["substr"]], scope),
    exp.Trim: lambda self, node, scope: self.call(
        {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or "").upper(), "trim"),
        node, [a for a in (node.this, node.expression) if a is not None], scope,
    ),
}  # fmt: skip
RULES.update(dict.fromkeys(COMPARISONS, Expressions.comparison))
RULES.update(dict.fromkeys(ARITHMETIC, Expressions.arithmetic))
