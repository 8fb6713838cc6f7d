"""Why a query fails: Trino's names, Athena's categories, the place in the user's SQL; and DuckDB's errors translated.

A DuckDB message never reaches the user alone: it may hold a path or a word of another dialect. What has no translation
becomes GENERIC_INTERNAL_ERROR, and the original goes to the endpoint's own log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from millpond.errors import MillpondError

SYSTEM, USER, OTHER = 1, 2, 3  # AthenaError.ErrorCategory

# AthenaError.ErrorType, from the error type reference of the Athena user guide; what is not listed there is 1006.
ERROR_TYPES = {
    "SYNTAX_ERROR": 1001,
    "FUNCTION_NOT_FOUND": 1006,
    "TABLE_NOT_FOUND": 1301,
    "SCHEMA_NOT_FOUND": 1301,
    "COLUMN_NOT_FOUND": 1006,
    "TYPE_MISMATCH": 1006,
    "NOT_SUPPORTED": 1003,
    "DIVISION_BY_ZERO": 1006,
    "HIVE_BAD_DATA": 1100,
    "HIVE_PARTITION_SCHEMA_MISMATCH": 1100,
    "GENERIC_INTERNAL_ERROR": 401,
}


class QueryFailure(MillpondError):
    """A query that ends FAILED: `code` is Trino's error name, the message has `line L:C:` where the place is known."""

    def __init__(self, code: str, message: str, *, at: tuple[int, int] | None = None, category: int = USER) -> None:
        text = f"line {at[0]}:{at[1]}: {message}" if at else message
        super().__init__(text)
        self.code, self.category = code, category

    @property
    def reason(self) -> str:
        """As StateChangeReason has it: `COLUMN_NOT_FOUND: line 1:8: Column 'x' cannot be resolved ...`."""
        return f"{self.code}: {self.message}" if self.code else self.message

    @property
    def error_type(self) -> int:
        return ERROR_TYPES.get(self.code, 1006 if self.category == USER else 401)


class MalformedQuery(MillpondError):
    """Text that Athena's parser refuses: StartQueryExecution answers InvalidRequestException."""


# What our own generated SQL raises through error('CODE: text').
OURS = re.compile(r"\b([A-Z][A-Z_]{5,}): ([^\x01]*)")

NAMES = {"INT8": "tinyint", "INT16": "smallint", "INT32": "integer", "INT64": "bigint", "INT128": "decimal(38,0)",
         "FLOAT": "real"}  # fmt: skip

DUCKDB: tuple[tuple[str, str, str], ...] = (
    (r"Division by zero|division by zero", "DIVISION_BY_ZERO", "Division by zero"),
    (r"Overflow in (addition|subtraction|multiplication|negation) of (\w+) \((.*?)\)", "NUMERIC_VALUE_OUT_OF_RANGE",
     "{2} {1} overflow: {3}"),
    (r"Type (\w+) with value (\S+) can't be cast because the value is out of range for the destination type (\w+)",
     "NUMERIC_VALUE_OUT_OF_RANGE", "Out of range for {3}: {2}"),
    (r"Could not (?:cast|convert) (?:value|string) \"?(\S+?)\"? to DECIMAL\((\d+),(\d+)\)", "INVALID_CAST_ARGUMENT",
     "Cannot cast '{1}' to DECIMAL({2}, {3})"),
    (r"Could not convert string '(.*)' to (\w+)", "INVALID_CAST_ARGUMENT", "Cannot cast '{1}' to {2}"),
    (r"(?:invalid )?(date|timestamp|time) field (?:format|value out of range): \"(.*?)\"", "INVALID_CAST_ARGUMENT",
     "Value cannot be cast to {1}: {2}"),
    (r"(?i)value .*out of range|overflow|does not fit", "NUMERIC_VALUE_OUT_OF_RANGE", "Value is out of range"),
    (r"must appear in the GROUP BY clause", "EXPRESSION_NOT_AGGREGATE",
     "must be an aggregate expression or appear in GROUP BY clause"),
    (r"aggregate function calls cannot be nested|GROUP BY clause cannot contain aggregates|"
     r"WHERE clause cannot contain aggregates", "NESTED_AGGREGATION", "an aggregation is not allowed here"),
    (r"More than one row returned by a subquery", "SUBQUERY_MULTIPLE_ROWS",
     "Scalar sub-query has returned multiple rows"),
    (r"(?i)malformed JSON", "INVALID_FUNCTION_ARGUMENT", "Cannot convert value to JSON"),
    (r"Could not parse string \"(.*?)\" according to format", "INVALID_FUNCTION_ARGUMENT", "Invalid format: \"{1}\""),
    (r"(?i)invalid regular expression|missing \)|missing argument to repetition", "INVALID_FUNCTION_ARGUMENT",
     "The regular expression is not valid"),
    (r"(?i)out of memory|failed to allocate|could not allocate", "EXCEEDED_LOCAL_MEMORY_LIMIT",
     "Query exceeded per-node memory limit"),
    (r"(?i)duplicate key|Map keys must be unique", "INVALID_FUNCTION_ARGUMENT", "Duplicate map keys are not allowed"),
)  # fmt: skip


def from_duckdb(kind: str, message: str, names: Mapping[str, str]) -> QueryFailure:
    """Translate what the worker reports. `names` maps generated names (`r0.c1`) to what the user wrote."""
    text = message.split("\n\nLINE ")[0]
    if ours := OURS.search(text):
        return QueryFailure(ours[1], ours[2].strip())
    for pattern, code, template in DUCKDB:
        if found := re.search(pattern, text):
            groups = [NAMES.get(g or "", g or "") for g in found.groups()]
            if template.endswith("to {2}"):  # Trino's casts name the type as SQL does
                groups[1] = {"integer": "INT"}.get(groups[1], groups[1].upper())
            said = template.format(found[0], *groups)
            column = next((names[n] for n in re.findall(r"\bc\d+\b", text) if n in names), None)
            if code == "EXPRESSION_NOT_AGGREGATE":
                said = f"'{column or 'expression'}' {said}"
            return QueryFailure(code, said)
    if kind in {"IOException", "InvalidInputException"} and re.search(r"(?i)parquet|CSV|gzip|magic bytes", text):
        return QueryFailure("HIVE_BAD_DATA", "A file of the table cannot be read in the table's format")
    return QueryFailure("GENERIC_INTERNAL_ERROR", f"The query engine stopped ({kind})", category=SYSTEM)
