"""Queries: SELECT, WITH, VALUES, set operations and joins to DuckDB's SQL, scope by scope.

A finished query names its columns c0, c1, ...; relations get fresh aliases r1, r2, ... So no name of a user or of the
catalog is ever an identifier of the generated SQL, and DuckDB's own lookup rules (aliases in WHERE and GROUP BY,
replacement scans, table functions) have nothing to find.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlglot import exp

from millpond.local.athena import functions
from millpond.local.athena.casts import cast, convert
from millpond.local.athena.expressions import Expressions, direction
from millpond.local.athena.failures import QueryFailure
from millpond.local.athena.scopes import Column, Field, Relation, Scope, Typed
from millpond.local.athena.types import BIGINT, VARCHAR, Type, common, literal, row

Resolve = Callable[[tuple[str, ...], str], "TableUse | ViewUse"]

SUPPORTED = frozenset({
    "expressions", "distinct", "limit", "from_", "joins", "laterals", "where", "group", "having", "order", "offset",
    "with_", "windows",
})  # fmt: skip


class TableUse:
    """A table of the catalog as a query reads it: `view` is the generated view's name; hidden columns end the list."""

    def __init__(self, view: str, columns: tuple[Column, ...], name: tuple[str, ...]) -> None:
        self.view, self.columns, self.name = view, columns, name
        self.keys: frozenset[str] = frozenset()  # partition keys that a WHERE may prune by
        self.conditions: list[list[str]] = []  # one list for each time the query names the table


class ViewUse:
    """A view of the catalog: Athena text, and the database that its unqualified names mean."""

    def __init__(self, sql: str, database: str) -> None:
        self.sql, self.database = sql, database


class Queries(Expressions):
    """`resolve` finds a table of the catalog (or the SQL text of a view, compiled in its place)."""

    def __init__(self, sql: str, now: str, resolve: Resolve, database: str = "default") -> None:
        super().__init__(sql, now)
        self.resolve, self.database = resolve, database
        self.uses: dict[str, tuple[TableUse, list[str]]] = {}  # relation alias -> table, its partition conditions
        self.ctes: list[dict[str, Relation]] = []
        self.definitions: list[dict[str, exp.Window]] = []
        self.depth = 0

    def query(self, node: exp.Expr, outer: Scope | None) -> Relation:
        """Any query expression."""
        self.depth += 1
        if self.depth > 100:
            self.fail("QUERY_TOO_DEEP", "The query is nested too deeply", node)
        try:
            with_ = node.args.get("with_")
            if with_ is None:
                return self.body(node, outer)
            self.ctes.append({})
            head = self.with_(with_, outer)
            inner = self.body(node, outer)
            self.ctes.pop()
            return Relation(f"{head} {inner.sql}", inner.columns)
        finally:
            self.depth -= 1

    def body(self, node: exp.Expr, outer: Scope | None) -> Relation:
        match node:
            case exp.Select():
                return self.select(node, outer)
            case exp.SetOperation():
                return self.set_operation(node, outer)
            case exp.Values():
                return self.values(node, outer)
            case exp.Subquery():
                inner = self.query(node.this, outer)
                if node.args.get("order") or node.args.get("limit") or node.args.get("offset"):
                    return self.tail(Relation(f"SELECT * FROM ({inner.sql})", inner.columns), node)
                return inner
            case exp.Table():
                fields, sql = self.table(node, outer)
                return self.star(fields, sql)
        self.fail("NOT_SUPPORTED", f"{type(node).__name__} is not supported by the local engine", node)

    @staticmethod
    def star(fields: list[Field], sql: str) -> Relation:
        shown = [f for f in fields if not f.hidden]
        items = ", ".join(f"{f.sql} AS c{i}" for i, f in enumerate(shown))
        return Relation(f"SELECT {items} FROM {sql}", tuple(Column(f.name, f.type) for f in shown))

    # --- WITH -------------------------------------------------------------------------------------------------------

    def with_(self, node: exp.With, outer: Scope | None) -> str:
        parts = []
        for cte in node.expressions:
            name, alias = self.fresh("q"), cte.args["alias"]
            wanted = [c.name for c in alias.args.get("columns") or ()]
            recursive = node.args.get("recursive") and isinstance(cte.this, exp.Union) and wanted
            if recursive:
                relation = self.recursive(cte, name, wanted, outer)
            else:
                relation = self.renamed(self.query(cte.this, outer), wanted, cte)
            names = ", ".join(f"c{i}" for i in range(len(relation.columns)))
            parts.append(f"{name}({names}) AS ({relation.sql})")
            self.ctes[-1][alias.name.lower()] = Relation(name, relation.columns)
        return f"WITH {'RECURSIVE ' if node.args.get('recursive') else ''}{', '.join(parts)}"

    def recursive(self, cte: exp.CTE, name: str, wanted: list[str], outer: Scope | None) -> Relation:
        first = self.renamed(self.query(cte.this.this, outer), wanted, cte)
        self.ctes[-1][cte.alias.lower()] = Relation(name, first.columns)
        step = self.query(cte.this.expression, outer)
        types = tuple(zip(step.columns, first.columns, strict=False))
        if len(step.columns) != len(first.columns) or any(common(s.type, f.type) != f.type for s, f in types):
            self.fail("TYPE_MISMATCH", "recursion step relation output type is not coercible to the base's", cte)
        word = "UNION" if cte.this.args.get("distinct") else "UNION ALL"
        step_items = ", ".join(f"{convert(Typed(f'c{i}', s.type), f.type)} AS c{i}" for i, (s, f) in enumerate(types))
        return Relation(f"{first.sql} {word} SELECT {step_items} FROM ({step.sql})", first.columns)

    def renamed(self, relation: Relation, names: list[str], node: exp.Expr) -> Relation:
        """With the column list of an alias: `t(a, b)`."""
        if not names:
            return relation
        if len(names) != len(relation.columns):
            said = f"Column alias list has {len(names)} entries but relation has {len(relation.columns)} columns"
            self.fail("MISMATCHED_COLUMN_ALIASES", said, node)
        return Relation(relation.sql, tuple(Column(n, c.type) for n, c in zip(names, relation.columns, strict=True)))

    # --- set operations and VALUES ----------------------------------------------------------------------------------

    def set_operation(self, node: exp.SetOperation, outer: Scope | None) -> Relation:
        word = {exp.Union: "UNION", exp.Intersect: "INTERSECT", exp.Except: "EXCEPT"}[type(node)]
        sides = [self.query(side, outer) for side in chain(node)]
        types = [c.type for c in sides[0].columns]
        for side in sides[1:]:
            if len(side.columns) != len(types):
                said = f"{word} query has different number of fields: {len(types)}, {len(side.columns)}"
                self.fail("TYPE_MISMATCH", said, node)
            for i, (a, b) in enumerate(zip(types, side.columns, strict=True)):
                wider = common(a, b.type)
                if wider is None:
                    said = f"column {i + 1} in {word} query has incompatible types: {a}, {b.type}"
                    self.fail("TYPE_MISMATCH", said, node)
                types[i] = wider
        distinct = "" if node.args.get("distinct") else " ALL"
        sql = f" {word}{distinct} ".join(self.retyped(side, types) for side in sides)
        columns = tuple(Column(c.name, t) for c, t in zip(sides[0].columns, types, strict=True))
        return self.tail(Relation(f"SELECT * FROM ({sql})", columns), node)

    @staticmethod
    def retyped(relation: Relation, types: list[Type]) -> str:
        items = (
            f"{convert(Typed(f'c{i}', c.type), t)} AS c{i}"
            for i, (c, t) in enumerate(zip(relation.columns, types, strict=True))
        )
        return f"(SELECT {', '.join(items)} FROM ({relation.sql}))"

    def tail(self, relation: Relation, node: exp.Expr) -> Relation:
        """ORDER BY, OFFSET and LIMIT of a query whose columns are c0, c1, ..."""
        fields = [Field(c.name, c.type, f"c{i}") for i, c in enumerate(relation.columns)]
        sql = relation.sql
        if order := node.args.get("order"):
            sql += f" ORDER BY {self.order_by(order.expressions, Scope(fields), [f.sql for f in fields])}"
        return Relation(sql + self.limits(node), relation.columns)

    def values(self, node: exp.Values, outer: Scope | None) -> Relation:
        scope = Scope(parent=outer)
        rows = [[self.expr(v, scope) for v in (r.expressions if isinstance(r, exp.Tuple) else [r])]
                for r in node.expressions]  # fmt: skip
        if len({len(r) for r in rows}) != 1:
            self.fail("TYPE_MISMATCH", "Values rows have mismatched sizes", node)
        columns, sqls = [], []
        for column in zip(*rows, strict=True):
            texts, of = self.unify(list(column), node, "Values rows")
            sqls.append(texts)
            columns.append(Column(None, of))
        names = ", ".join(f"c{i}" for i in range(len(columns)))
        made = ", ".join(f"({', '.join(line)})" for line in zip(*sqls, strict=True))
        alias = self.fresh("r")
        found = Relation(f"SELECT {names} FROM (VALUES {made}) AS {alias}({names})", tuple(columns))
        return self.tail(found, node) if node.args.get("order") or node.args.get("limit") else found

    # --- FROM -------------------------------------------------------------------------------------------------------

    def source(self, node: exp.Expr, scope: Scope) -> tuple[list[Field], str]:
        """A relation of FROM: its fields and its SQL. `scope` is what a lateral relation may see."""
        match node:
            case exp.Table():
                return self.table(node, scope)
            case exp.Subquery() if not isinstance(node.this, exp.Table):
                return self.aliased(self.query(node.this, scope.parent), node)
            case exp.Subquery():  # a parenthesised join
                return self.joined_source(node.this, scope)
            case exp.Values():
                return self.aliased(self.values(node, scope.parent), node)
            case exp.Unnest():
                return self.unnest(node, scope)
            case exp.Lateral() if isinstance(node.this, exp.Subquery):
                fields, sql = self.aliased(self.query(node.this.this, scope), node)
                return fields, f"LATERAL {sql}"
        self.fail("NOT_SUPPORTED", f"{type(node).__name__} in FROM is not supported by the local engine", node)

    def joined_source(self, node: exp.Expr, scope: Scope) -> tuple[list[Field], str]:
        inner = Scope(parent=scope.parent)
        inner.fields, sql = self.source(node, inner)
        for join in node.args.get("joins") or ():
            sql = self.join(join, inner, sql)
        return inner.fields, f"({sql})"

    def aliased(self, relation: Relation, node: exp.Expr) -> tuple[list[Field], str]:
        alias, name = self.fresh("r"), node.args.get("alias")
        names = [c.name for c in name.args.get("columns") or ()] if isinstance(name, exp.TableAlias) else []
        relation = self.renamed(relation, names, node)
        qualifier = (name.name.lower(),) if name is not None and name.name and name.name != "_values" else ()
        fields = [Field(c.name, c.type, f"{alias}.c{i}", qualifier, c.hidden) for i, c in enumerate(relation.columns)]
        self.names.update({f"c{i}": c.name for i, c in enumerate(relation.columns) if c.name})
        return fields, f"({relation.sql}) AS {alias}"

    def table(self, node: exp.Table, scope: Scope | None) -> tuple[list[Field], str]:
        for part in ("version", "sample", "pivots", "when", "only", "hints", "partition"):
            if node.args.get(part):
                self.fail("NOT_SUPPORTED", f"{part.upper()} of a table is not supported by the local engine", node)
        if not isinstance(node.this, exp.Identifier):
            called = node.this.name if isinstance(node.this, exp.Anonymous) else type(node.this).__name__
            self.fail("FUNCTION_NOT_FOUND", f"Table function '{called}' not registered", node)
        parts = tuple(p.name.lower() for p in node.parts)
        if len(parts) == 1 and (cte := self.cte(parts[0])):
            return self.aliased_table(f"{cte.sql}", cte.columns, parts, node)
        try:
            found = self.resolve(parts, self.database)
        except QueryFailure as failure:
            self.fail(failure.code, failure.message, node)
        if isinstance(found, ViewUse):
            return self.view(found, parts, node)
        fields, sql = self.aliased_table(found.view, found.columns, found.name, node)
        conditions: list[str] = []
        found.conditions.append(conditions)
        self.uses[sql.rpartition(" ")[2]] = (found, conditions)
        return fields, sql

    def aliased_table(self, source: str, columns: tuple[Column, ...], name: tuple[str, ...],
                      node: exp.Table) -> tuple[list[Field], str]:  # fmt: skip
        alias = self.fresh("r")
        given = node.args.get("alias")
        qualifier = (given.name.lower(),) if given is not None and given.name else name
        if given is not None and given.args.get("columns"):
            shown = tuple(c for c in columns if not c.hidden)
            columns = self.renamed(Relation("", shown), [c.name for c in given.args["columns"]], node).columns
        self.names.update({f"c{i}": c.name for i, c in enumerate(columns) if c.name})
        fields = [Field(c.name, c.type, f"{alias}.c{i}", qualifier, c.hidden) for i, c in enumerate(columns)]
        return fields, f"{source} AS {alias}"

    def view(self, view: ViewUse, parts: tuple[str, ...], node: exp.Table) -> tuple[list[Field], str]:
        """A view of the catalog: its own Athena text, compiled with its own places and names."""
        from millpond.local.athena.grammar import parse

        outer_sql, outer_ctes, outer_database = self.sql, self.ctes, self.database
        self.sql, self.ctes, self.database = view.sql, [], view.database
        try:
            relation = self.query(parse(view.sql), None)
        except QueryFailure as failure:
            said = f"Failed analyzing stored view '{'.'.join(parts)}': {failure.message}"
            self.sql = outer_sql
            self.fail("INVALID_VIEW", said, node)
        finally:
            self.sql, self.ctes, self.database = outer_sql, outer_ctes, outer_database
        return self.aliased_table(f"({relation.sql})", relation.columns, parts, node)

    def cte(self, name: str) -> Relation | None:
        return next((level[name] for level in reversed(self.ctes) if name in level), None)

    def unnest(self, node: exp.Unnest, scope: Scope) -> tuple[list[Field], str]:
        """UNNEST of arrays, maps and arrays of rows, side by side, padded with NULL; WITH ORDINALITY."""
        inner: list[str] = []
        columns, outs, lengths = [], [], []
        for arg in node.expressions:
            value = self.expr(arg, scope)
            if value.type.name not in {"array", "map"}:
                self.fail("INVALID_FUNCTION_ARGUMENT", f"Cannot unnest type: {value.type}", node)
            source = value.sql if value.type.name == "array" else f"map_entries({value.sql})"
            lengths.append(f"coalesce(len({source}), 0)")
            name = f"u{len(inner)}"
            inner.append(f"unnest({source}) AS {name}")
            of = (
                value.type.args[0]
                if value.type.name == "array"
                else row(("key", value.type.args[0]), ("value", value.type.args[1]))
            )
            if of.name == "row":
                members = zip(of.names, of.fields, of.args, strict=True)
                for real, shown, member in members:
                    columns.append(Column(shown if value.type.name == "array" else None, member))
                    outs.append(self.member(Typed(name, of), real, node).sql)
            else:
                columns.append(Column(None, of))
                outs.append(name)
        if node.args.get("offset"):
            columns.append(Column("ordinality", BIGINT))
            outs.append("uo")
        inner.append(f"unnest(range(1, greatest({', '.join([*lengths, '0'])}) + 1)) AS uo")
        items = ", ".join(f"{o} AS c{i}" for i, o in enumerate(outs))
        relation = Relation(f"SELECT {items} FROM (SELECT {', '.join(inner)})", tuple(columns))
        alias = node.args.get("alias")
        ordinal = node.args.get("offset")
        if alias is not None and alias.args.get("columns") and isinstance(ordinal, exp.Identifier):
            # The parser takes the last name of the column list for the ordinality.
            alias = alias.copy()
            alias.set("columns", [*alias.args["columns"], ordinal.copy()])
        holder = exp.Subquery(this=exp.Select(), alias=alias)
        fields, sql = self.aliased(relation, holder)
        return fields, f"LATERAL {sql}"

    def join(self, node: exp.Join, scope: Scope, left: str) -> str:
        """Add the right side's fields to `scope`; the SQL of both sides."""
        kind = " ".join(str(node.args.get(k) or "").upper() for k in ("method", "side", "kind")).split()
        if "NATURAL" in kind or "SEMI" in kind or "ANTI" in kind or "ASOF" in kind:
            self.fail("NOT_SUPPORTED", f"{' '.join(kind)} JOIN is not supported by the local engine", node)
        fields, right = self.source(node.this, scope)
        if using := node.args.get("using"):
            return self.using(kind, [u.name for u in using], scope, fields, left, right, node)
        scope.fields = scope.fields + fields
        condition = node.args.get("on")
        word = " ".join(k for k in kind if k != "OUTER")
        if condition is None:
            # The parser leaves `pivots` on a JOIN that was written, and nothing on a comma.
            if word != "CROSS" and "pivots" in node.args:
                self.fail("SYNTAX_ERROR", "A JOIN needs ON or USING", node)
            return f"{left} CROSS JOIN {right}"
        on = self.boolean(condition, scope, "JOIN ON clause")
        return f"{left} {word or 'INNER'} JOIN {right} ON {on}"

    def using(self, kind: list[str], names: list[str], scope: Scope, fields: list[Field], left: str, right: str,
              node: exp.Join) -> str:  # fmt: skip
        """USING: each column appears once, unqualified, first."""
        conditions, merged, gone = [], [], []
        for name in names:
            sides = []
            for side in (scope.fields, fields):
                found = [f for f in side if (f.name or "").lower() == name.lower()]
                if len(found) != 1:
                    self.fail(
                        "COLUMN_NOT_FOUND", f"Column '{name}' is missing from or ambiguous in a side of join", node
                    )
                sides.append(found[0])
            a, b = (Typed(f.sql, f.type) for f in sides)
            conditions.append(self.compared(a, "=", b, node))
            sqls, of = self.unify([a, b], node, "USING columns")
            gone += sides
            merged.append(Field(name, of, f"coalesce({sqls[0]}, {sqls[1]})"))
        rest = [
            f if f not in gone else Field(None, f.type, f.sql, f.relation, hidden=True)
            for f in [*scope.fields, *fields]
        ]
        scope.fields = merged + rest
        word = " ".join(k for k in kind if k != "OUTER") or "INNER"
        return f"{left} {word} JOIN {right} ON {' AND '.join(conditions)}"

    # --- SELECT -----------------------------------------------------------------------------------------------------

    def select(self, node: exp.Select, outer: Scope | None) -> Relation:
        for part, value in node.args.items():
            if value and part not in SUPPORTED:
                self.fail("NOT_SUPPORTED", f"{part.upper().strip('_')} is not supported by the local engine", node)
        scope = Scope(parent=outer)
        source = self.from_(node, scope)
        windows = {w.name.lower(): w for w in node.args.get("windows") or ()}
        self.definitions.append(windows)
        try:
            return self.clauses(node, scope, source)
        finally:
            self.definitions.pop()

    def from_(self, node: exp.Select, scope: Scope) -> str:
        start = node.args.get("from_")
        if start is None:
            return ""
        fields, sql = self.source(start.this, scope)
        scope.fields = fields
        for join in [*(start.this.args.get("joins") or ()), *(node.args.get("joins") or ())]:
            sql = self.join(join, scope, sql)
        if node.args.get("laterals"):
            self.fail("NOT_SUPPORTED", "LATERAL VIEW is not part of Athena's SELECT", node)
        return f" FROM {sql}"

    def clauses(self, node: exp.Select, scope: Scope, source: str) -> Relation:
        items = self.items(node, scope)
        where = ""
        if condition := node.args.get("where"):
            self.no_aggregate(condition.this, "WHERE clause")
            where = f" WHERE {self.boolean(condition.this, scope, 'WHERE clause')}"
            self.note_partitions(condition.this, scope)
        group = self.group(node.args.get("group"), scope, [i.sql for i in items])
        having = ""
        if condition := node.args.get("having"):
            having = f" HAVING {self.boolean(condition.this, scope, 'HAVING clause')}"
        distinct = ""
        if found := node.args.get("distinct"):
            if found.args.get("on"):
                self.fail("SYNTAX_ERROR", "mismatched input 'ON'", node)
            distinct = "DISTINCT "
        names = ", ".join(f"{item.sql} AS c{i}" for i, item in enumerate(items)) or self.no_items(node)
        sql = f"SELECT {distinct}{names}{source}{where}{group}{having}"
        if order := node.args.get("order"):
            outputs = {i.name.lower(): Typed(i.sql, i.type, i.name) for i in items if i.name}
            inner = Scope(scope.fields, scope.parent, outputs)
            sql += f" ORDER BY {self.order_by(order.expressions, inner, [i.sql for i in items])}"
        sql += self.limits(node)
        return Relation(sql, tuple(Column(i.name, i.type) for i in items))

    def note_partitions(self, condition: exp.Expr, scope: Scope) -> None:
        """Remember what WHERE demands of partition keys: GetPartitions answers only those."""
        for term in conjuncts(condition):
            found = partition_condition(term)
            if found is None:
                continue
            column, text = found
            fields, used = Scope(scope.fields).find([p.name.lower() for p in column.parts])
            if len(fields) != 1 or used != len(column.parts):
                continue
            table, conditions = self.uses.get(fields[0].sql.partition(".")[0], (None, []))
            name = (fields[0].name or "").lower()
            if table is not None and name in table.keys:
                conditions.append(text.format(name))

    def no_items(self, node: exp.Expr) -> str:
        self.fail("SYNTAX_ERROR", "SELECT * needs a FROM clause with columns", node)

    def no_aggregate(self, node: exp.Expr, where: str) -> None:
        for call in node.find_all(exp.Anonymous):
            inside = call.find_ancestor(exp.Subquery, exp.Exists, exp.Select)
            if call.name.lower() in functions.aggregates() and (
                inside is None or inside is node.find_ancestor(exp.Select)
            ):
                self.fail(
                    "EXPRESSION_NOT_SCALAR",
                    f"{where} cannot contain aggregations, window functions or grouping operations: [{call.name}]",
                    call,
                )

    def items(self, node: exp.Select, scope: Scope) -> list[Typed]:
        out: list[Typed] = []
        for item in node.expressions:
            inner = item.this if isinstance(item, exp.Alias) else item
            if isinstance(inner, exp.Star) or (isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star)):
                out += self.expanded(inner, scope, node)
                continue
            value = self.expr(inner, scope)
            name = item.alias if isinstance(item, exp.Alias) else value.name
            if not isinstance(item, exp.Alias) and not isinstance(inner, exp.Column | exp.Dot):
                name = None
            out.append(Typed(value.sql, value.type, name))
        return out

    def expanded(self, star: exp.Expr, scope: Scope, node: exp.Select) -> list[Typed]:
        if star.args.get("except_") or star.args.get("replace") or star.args.get("except"):
            self.fail("SYNTAX_ERROR", "mismatched input after '*'", node)
        fields = [f for f in scope.fields if not f.hidden]
        if isinstance(star, exp.Column):
            qualifier = tuple(p.name.lower() for p in star.parts[:-1])
            fields = [
                f for f in scope.fields if f.relation[-len(qualifier) :] == qualifier and not (f.hidden and f.name)
            ]
            if not fields:
                self.fail("TABLE_NOT_FOUND", f"Unable to resolve reference {'.'.join(qualifier)}", star)
        elif not scope.fields:
            self.fail("COLUMN_NOT_FOUND", "SELECT * not allowed in queries without FROM clause", node)
        return [Typed(f.sql, f.type, f.name) for f in fields]

    def group(self, node: exp.Group | None, scope: Scope, items: list[str]) -> str:
        if node is None:
            return ""
        kinds = [one for kind in ("cube", "rollup", "grouping_sets") for one in node.args.get(kind) or ()]
        parts = [self.grouping_element(e, scope, items) for e in [*node.expressions, *kinds]]
        if node.args.get("all") or node.args.get("totals"):
            self.fail("NOT_SUPPORTED", "GROUP BY ALL is not supported", node)
        return f" GROUP BY {', '.join(parts)}" if parts else ""

    def grouping_element(self, node: exp.Expr, scope: Scope, items: list[str]) -> str:
        match node:
            case exp.Cube() | exp.Rollup():
                word = type(node).__name__.upper()
                return f"{word} ({', '.join(self.key(e, scope, items) for e in node.expressions)})"
            case exp.GroupingSets():
                sets = [f"({', '.join(self.key(e, scope, items) for e in _members(s))})" for s in node.expressions]
                return f"GROUPING SETS ({', '.join(sets)})"
        return self.key(node, scope, items)

    def key(self, node: exp.Expr, scope: Scope, items: list[str]) -> str:
        """A grouping key: an ordinal of the select list, or an expression over FROM."""
        if isinstance(node, exp.Literal) and not node.is_string:
            number = int(node.name) if node.name.isdigit() else 0
            if not 1 <= number <= len(items):
                self.fail("INVALID_COLUMN_REFERENCE", f"GROUP BY position {node.name} is not in select list", node)
            return str(number)
        self.no_aggregate(node, "GROUP BY clause")
        return self.expr(node, scope).sql

    def order_by(self, nodes: list[exp.Expr], scope: Scope, items: list[str]) -> str:
        """Ordinals and aliases of the select list first, then the columns of FROM."""
        parts = []
        for node in nodes:
            inner = node.this if isinstance(node, exp.Ordered) else node
            if isinstance(inner, exp.Literal) and not inner.is_string:
                number = int(inner.name) if inner.name.isdigit() else 0
                if not 1 <= number <= len(items):
                    self.fail(
                        "INVALID_COLUMN_REFERENCE", f"ORDER BY position {inner.name} is not in select list", inner
                    )
                sql = str(number)
            else:
                sql = self.expr(inner, scope).sql
                sql = str(items.index(sql) + 1) if sql in items else sql
            parts.append(sql + direction(node))
        return ", ".join(parts)

    def limits(self, node: exp.Expr) -> str:
        out = ""
        limit, offset = node.args.get("limit"), node.args.get("offset")
        if isinstance(limit, exp.Fetch):
            options = limit.args.get("limit_options")
            if options is not None and options.args.get("with_ties"):
                self.fail("NOT_SUPPORTED", "FETCH ... WITH TIES is not supported by the local engine", node)
            out += f" LIMIT {self.count(limit.args.get('count'), node)}"
        elif limit is not None and not isinstance(limit.expression, exp.Column | exp.Var):
            out += f" LIMIT {self.count(limit.expression, node)}"
        if offset is not None:
            out += f" OFFSET {self.count(offset.expression, node)}"
        return out

    def count(self, node: Any, at: exp.Expr) -> int:
        if isinstance(node, exp.Literal) and node.name.isdigit():
            return int(node.name)
        self.fail("SYNTAX_ERROR", "LIMIT and OFFSET take a whole number", at)

    def named_window(self, name: Any, node: exp.Expr) -> exp.Window:
        key = (name.name if isinstance(name, exp.Expr) else str(name)).lower()
        for level in reversed(self.definitions[-1:]):
            if key in level:
                return level[key]
        return super().named_window(name, node)


SIMPLE = {exp.EQ: "=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
FLIPPED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def chain(node: exp.SetOperation) -> list[exp.Expr]:
    """`a UNION b UNION c` as a list: a long chain must not nest. Each operation reads its sides from the left."""
    sides: list[exp.Expr] = []
    left: exp.Expr = node
    while (
        type(left) is type(node)
        and left.args.get("distinct") == node.args.get("distinct")
        and (left is node or not any(left.args.get(k) for k in ("with_", "order", "limit", "offset")))
    ):
        sides.append(left.args["expression"])
        left = left.this
    return [left, *reversed(sides)]


def conjuncts(node: exp.Expr) -> list[exp.Expr]:
    """The terms of a conjunction, through parentheses."""
    out, todo = [], [node]
    while todo:
        one = todo.pop()
        match one:
            case exp.And():
                todo += [one.expression, one.this]
            case exp.Paren():
                todo.append(one.this)
            case _:
                out.append(one)
    return out


def partition_condition(node: exp.Expr) -> tuple[exp.Column, str] | None:
    """`day >= DATE '2026-01-01'` as (column, "{} >= '2026-01-01'"); None when it is no such comparison."""
    match node:
        case exp.EQ() | exp.LT() | exp.LTE() | exp.GT() | exp.GTE():
            operator, sides = SIMPLE[type(node)], (node.this, node.expression)
            if isinstance(sides[1], exp.Column):
                operator, sides = FLIPPED[operator], (sides[1], sides[0])
            value = partition_value(sides[1])
            if isinstance(sides[0], exp.Column) and value is not None:
                return sides[0], f"{{}} {operator} {value}"
        case exp.Between(this=exp.Column()):
            low, high = partition_value(node.args["low"]), partition_value(node.args["high"])
            if low is not None and high is not None:
                return node.this, f"{{0}} >= {low} AND {{0}} <= {high}"
        case exp.In(this=exp.Column()) if node.expressions:
            values = [partition_value(e) for e in node.expressions]
            if None not in values:
                return node.this, f"{{}} IN ({', '.join(str(v) for v in values)})"
    return None


def partition_value(node: exp.Expr) -> str | None:
    """A literal as GetPartitions' expressions take it."""
    if isinstance(node, exp.Cast) and node.to.is_type("date", "varchar") and isinstance(node.this, exp.Literal):
        node = node.this
    if not isinstance(node, exp.Literal) or (not node.is_string and not node.name.isdigit()):
        return None
    text = literal(node.name) if node.is_string else node.name
    return text.replace("{", "{{").replace("}", "}}")


def _members(node: exp.Expr) -> list[exp.Expr]:
    """The keys of one grouping set: `(a, b)`, `(a)`, `a` or `()`."""
    match node:
        case exp.Tuple():
            return list(node.expressions)
        case exp.Paren():
            return [node.this]
    return [node]


def final(relation: Relation) -> tuple[str, list[Column]]:
    """The statement to run, each column cast to its Athena type; unnamed columns are `_col0`, `_col1`, ..."""
    columns = [Column(c.name or f"_col{i}", c.type) for i, c in enumerate(relation.columns)]
    items = [f"{_shown(f'c{i}', c.type)} AS c{i}" for i, c in enumerate(columns)]
    return f"SELECT {', '.join(items)} FROM ({relation.sql})", columns


def _shown(sql: str, of: Type) -> str:
    """A result column as its Athena type; instants with a zone and months become text here, where the zone is known."""
    if of.name == "interval year to month":
        return f"(CAST(date_part('year', {sql}) AS VARCHAR) || '-' || CAST(date_part('month', {sql}) AS VARCHAR))"
    plain = _zones_as_text(of)
    if plain != of:
        found = cast(Typed(sql, of), plain)
        return found.sql if found else sql
    return f"CAST({sql} AS {of.duckdb})" if "unknown" not in str(of) else sql


def _zones_as_text(of: Type) -> Type:
    if of.name in {"timestamp with time zone", "time"}:
        return VARCHAR
    return replace(of, args=tuple(map(_zones_as_text, of.args))) if of.args else of
