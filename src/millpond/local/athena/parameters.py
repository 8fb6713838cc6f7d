"""`?` in a query: each takes the text of one literal, which must be a literal."""

from __future__ import annotations

from sqlglot import exp

from millpond.local.athena.failures import MalformedQuery
from millpond.local.athena.grammar import parse
from millpond.local.athena.statements import Reader

LITERALS = (exp.Literal, exp.Neg, exp.Boolean, exp.Null, exp.Cast, exp.Array, exp.DataType, exp.DataTypeParam,
            exp.Interval, exp.Var, exp.HexString, exp.Paren, exp.Identifier)  # fmt: skip


def bound(sql: str, values: list[str]) -> str:
    """`sql` with each `?` outside quotes and comments replaced, in order. Raises MalformedQuery."""
    places = [t.start for t in Reader(sql).tokens if t.text == "?"]
    if len(places) != len(values):
        text = f"Incorrect number of parameters: expected {len(places)} but found {len(values)}"
        raise MalformedQuery(f"line 1:1: {text}")
    for place, value in reversed(list(zip(places, values, strict=True))):
        sql = f"{sql[:place]}{checked(value)}{sql[place + 1 :]}"
    return sql


def checked(value: str) -> str:
    """The literal's own text; anything that would be more than one value is refused."""
    tree = parse(f"SELECT {value}")
    items = tree.expressions if isinstance(tree, exp.Select) else []
    only = isinstance(tree, exp.Select) and all(not v or k in {"expressions", "kind"} for k, v in tree.args.items())
    if not only or len(items) != 1 or not all(isinstance(n, LITERALS) for n in items[0].walk()):
        raise MalformedQuery(f"line 1:1: The execution parameter {value!r} is not a literal")
    return f" {value.strip()} "
