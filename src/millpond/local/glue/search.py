"""SearchTables: which tables a SearchText and Filters find, and in which order (AWS docs, SearchTables).

A SearchText in quotes must be the whole of a name, description, comment or parameter; else it may be anywhere in one. A
filter on a text splits the field at punctuation; one of the parts, or the whole, must be the value. On a time the
comparator counts.

Limits: AWS does not publish at which characters it splits; here at all but letters, digits and `_`.
"""

from __future__ import annotations

import datetime
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from millpond.local.service import AwsError

COMPARATORS: dict[str, Callable[[Any, Any], bool]] = {
    "EQUALS": operator.eq,
    "GREATER_THAN": operator.gt,
    "LESS_THAN": operator.lt,
    "GREATER_THAN_EQUALS": operator.ge,
    "LESS_THAN_EQUALS": operator.le,
}
TIMES = ("createtime", "updatetime", "lastaccesstime", "lastanalyzedtime")
COLUMNS = ("column", "columns", "columnname")
SORTABLE = {"name": "Name", "databasename": "DatabaseName", "owner": "Owner", "createtime": "CreateTime"}
SORTABLE |= {"updatetime": "UpdateTime", "lastaccesstime": "LastAccessTime", "tabletype": "TableType"}

Test = Callable[[dict[str, Any]], bool]


def compile_search(params: dict[str, Any]) -> Test:
    """The test of a table. InvalidInputException for a time that is none."""
    tests = [_filter(rule) for rule in params.get("Filters") or []]
    if text := params.get("SearchText", "").strip():
        tests.append(_text(text))
    return lambda table: all(test(table) for test in tests)


def sort(tables: list[dict[str, Any]], criteria: Sequence[dict[str, Any]]) -> None:
    """Put tables into the order of SortCriteria. InvalidInputException for a field that has no order."""
    for rule in reversed(criteria):
        field = rule.get("FieldName", "name")
        if (member := SORTABLE.get(field.lower())) is None:
            raise AwsError("InvalidInputException", f"Tables cannot be sorted by {field}.")

        def rank(table: dict[str, Any], member: str = member) -> tuple[bool, Any]:
            return member in table, table.get(member, "")

        tables.sort(key=rank, reverse=rule.get("Sort") == "DESC")


def _text(text: str) -> Test:
    wanted = text.lower()
    if len(wanted) > 1 and wanted[0] == wanted[-1] == '"':
        return lambda table: wanted[1:-1] in map(str.lower, _fields(table))
    return lambda table: any(wanted in field.lower() for field in _fields(table))


def _fields(table: dict[str, Any]) -> Iterator[str]:
    yield from (table["Name"], table["DatabaseName"], table.get("Description") or "", table.get("Owner") or "")
    for column in _columns(table):
        yield from (column["Name"], column.get("Comment") or "")
    for name, value in (table.get("Parameters") or {}).items():
        yield from (name, value)


def _columns(table: dict[str, Any]) -> list[dict[str, Any]]:
    columns: list[dict[str, Any]] = (table.get("StorageDescriptor") or {}).get("Columns") or []
    return columns + (table.get("PartitionKeys") or [])


def _filter(rule: dict[str, Any]) -> Test:
    key, value = rule.get("Key", "").lower(), rule.get("Value", "")
    if key in TIMES:
        compare, moment = COMPARATORS[rule.get("Comparator", "EQUALS")], _moment(value)
        return lambda table: (found := _members(table).get(key)) is not None and compare(found, moment)
    wanted = value.lower()
    if key in COLUMNS:
        return lambda table: wanted in (column["Name"].lower() for column in _columns(table))
    return lambda table: _fits(str(_members(table).get(key, "")).lower(), wanted)


def _members(table: dict[str, Any]) -> dict[str, Any]:
    """Parameters and plain members by their names in lower case; the members win."""
    parameters = {name.lower(): value for name, value in (table.get("Parameters") or {}).items()}
    return parameters | {name.lower(): value for name, value in table.items() if isinstance(value, str | int | float)}


def _fits(found: str, wanted: str) -> bool:
    return found == wanted or wanted in re.split(r"\W+", found)


def _moment(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise AwsError("InvalidInputException", f"'{text}' is not a time.") from None
    return (found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp()
