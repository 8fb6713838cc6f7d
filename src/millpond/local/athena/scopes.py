"""Names while a query is compiled: fields of relations, what a column reference means, what an expression became."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from millpond.local.athena.types import Type


@dataclass(frozen=True, slots=True)
class Typed:
    """An expression in DuckDB's SQL with its Athena type. `name`: how the user would call it as a column."""

    sql: str
    type: Type
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """A column in reach: `relation` is how it may be qualified, longest first: ("db", "orders") or ("o",)."""

    name: str | None
    type: Type
    sql: str
    relation: tuple[str, ...] = ()
    hidden: bool = False  # "$path": reachable by name, not by *


@dataclass(slots=True)
class Scope:
    """What is in reach. A lookup goes outwards through `parent` (correlated subqueries, lambdas)."""

    fields: list[Field] = field(default_factory=list)
    parent: Scope | None = None
    outputs: dict[str, Typed] = field(default_factory=dict)  # select aliases: ORDER BY sees them first

    def find(self, parts: list[str]) -> tuple[list[Field], int]:
        """The fields that `parts` may mean in the nearest scope, and how many parts named it; the rest dereferences."""
        for used in range(len(parts), 0, -1):
            qualifier, name = tuple(parts[: used - 1]), parts[used - 1]
            found = [f for f in self.fields if f.name is not None and f.name.lower() == name and _fits(f, qualifier)]
            if found:
                return found, used
        return self.parent.find(parts) if self.parent else ([], 0)


def _fits(one: Field, qualifier: tuple[str, ...]) -> bool:
    return not qualifier or one.relation[-len(qualifier) :] == qualifier


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table or of a finished query."""

    name: str | None
    type: Type
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """A finished query: its columns are named c0, c1, ... in `sql`."""

    sql: str
    columns: tuple[Column, ...]


Lookup = Callable[[str, str, str], "Relation"]  # catalog, database, table -> a relation to read from
