"""Athena's text to a tree. Functions are left as the user named them, so that only ours decide what they mean.

sqlglot reads Trino's grammar; its table of functions is emptied, because its translations of them are not tested by us.
Places are kept: `place(sql, node)` is the line and column of the first token of a node.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import sqlglot
from sqlglot import TokenType, exp
from sqlglot.dialects.trino import Trino
from sqlglot.errors import ParseError, SqlglotError

from millpond.local.athena.failures import MalformedQuery

LIMIT = 262_144  # bytes of a query string, Athena service quotas

KEPT = ("CAST", "TRY_CAST", "EXTRACT", "TRIM", "SUBSTRING", "POSITION", "LISTAGG")


class Query(Trino):
    """Trino without a single known function, and with subscripts as written."""

    INDEX_OFFSET = 0

    class Tokenizer(Trino.Tokenizer):
        pass

    class Parser(Trino.Parser):  # type: ignore[misc, valid-type]
        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar = {n: p for n, p in Trino.Parser.FUNCTION_PARSERS.items() if n in KEPT}
        COLUMN_OPERATORS: ClassVar = {TokenType.DOT: None}  # no `::`, no `->` outside lambdas
        STRICT_CAST = True

        def _parse_bracket(self, this: Any = None) -> Any:
            if this is None and self._curr is not None and self._curr.token_type == TokenType.L_BRACKET:
                self.raise_error("an array is written ARRAY[...]")
            return super()._parse_bracket(this)


def parse(sql: str) -> exp.Expr:
    """One SELECT, WITH, VALUES or TABLE statement. Raises MalformedQuery with Athena's `line L:C: ...`."""
    try:
        found = sqlglot.parse(sql, read=Query)
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        line, column, token = first.get("line") or 1, first.get("col") or 1, str(first.get("highlight") or "")
        column = max(1, column - max(0, len(token) - 1))
        raise MalformedQuery(f"line {line}:{column}: mismatched input '{token or '<EOF>'}'") from error
    except (SqlglotError, RecursionError) as error:
        raise MalformedQuery("line 1:1: the statement cannot be read") from error
    trees = [tree for tree in found if tree is not None]
    if len(trees) != 1:
        raise MalformedQuery("Only one sql statement is allowed. Got: " + sql[:200])
    return trees[0]


def place(sql: str, node: exp.Expr) -> tuple[int, int] | None:
    """Line and column, from 1, of the first token of `node` that the parser remembers."""
    starts = [n.meta["start"] for n in node.walk() if "start" in n.meta]
    if not starts:
        return None
    before = sql[: min(starts)]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def strip_comments(sql: str) -> str:
    """Comments become blanks of the same length, so that places stay right; quoted text is untouched."""

    def blank(found: re.Match[str]) -> str:
        text = found[0]
        return text if text[0] in "'\"`" else re.sub(r"[^\n]", " ", text)

    return re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|--[^\n]*|/\*.*?\*/", blank, sql, flags=re.DOTALL)
