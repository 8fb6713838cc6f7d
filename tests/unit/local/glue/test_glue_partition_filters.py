"""What SQLite is told of a filter never hides a partition that the filter's own predicate lets through.

Every combination of a clause and odd values goes through both ways: all partitions through the predicate, and
GetPartitions. Integers with leading zeros, dates that are none, nulls, quotes, backslashes and keys that begin alike.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from millpond.local.glue.expressions import compile_filter

Glue = Callable[..., dict[str, Any]]
Refused = Callable[..., str]

KEYS = [
    {"Name": "s", "Type": "string"},
    {"Name": "n", "Type": "bigint"},
    {"Name": "d", "Type": "date"},
    {"Name": "t", "Type": "timestamp"},
    {"Name": "x", "Type": "decimal(20,4)"},
]
NULL = "__HIVE_DEFAULT_PARTITION__"
VALUES = [
    ["a", "ab", "a b", 'a"b', "a\\b", "a'b", "", "\u00e4", "a%b", "A", "a,b", "a]", "a^", "\U0001f600", "a\x01", NULL],
    ["1", "01", "-1", "+1", "10", "2", "9223372036854775807", "99999999999999999999", "1.0", "x", " 1", NULL],
    ["2024-01-01", "2024-01-31", "2024-02-30", "20240101", "2024-W05-3", "1999-12-31", NULL],
    ["2024-01-01 00:00:00", "2024-01-01 10:00:00.5", "2024-01-01T10:00:00", "2024-01-02", "x", NULL],
    ["1", "1.0", "1.0000", "0.1", "1e2", "12345678901234567.1", "12345678901234567.2", "NaN", "-0", NULL],
]
CLAUSES = [
    *(
        "s = 'a'",
        "s = 'a b'",
        "s = 'a\"b'",
        "s = 'a\\b'",
        "s = 'a''b'",
        "s = ''",
        "s = '\u00e4'",
        "s > 'a'",
        "s <= 'a\"b'",
    ),
    *("s in ('a', 'A', 'a]')", "s like 'a%'", "s like 'a_b'", "s like '%b'", "s like 'a\\%'", "s is null", "s <> 'a'"),
    *("n = 1", "n > 1", "n < 1", "n between -1 and 2", "n in (1, 10)", "n >= 9223372036854775807", "n != 1", "1 < n"),
    *("d = '2024-01-01'", "d > date '2024-01-01'", "d between '2000-01-01' and '2024-01-31'", "d in ('1999-12-31')"),
    *("t = timestamp '2024-01-01 10:00:00'", "t > '2024-01-01 00:00:00'", "t < '2024-01-01T10:00:00.5'"),
    *("s like '%b%'", "s like '%_b'", "s like '_'", "s like '%a%b%'", "s is not null", "n is null", "n is not null"),
    *("d <> '2024-01-01'", "t <> '2024-01-01 10:00:00'", "x <> 1", "s <> 'a\\b'", "s <> ''", "n <> 10"),
    *("x = 1", "x > 0.1", "x < 12345678901234567.2", "x = 12345678901234567.1", "x in (1, 100)", "x between 0 and 1"),
]


@pytest.fixture
def lake(glue: Glue) -> Glue:
    glue("CreateDatabase", DatabaseInput={"Name": "d"})
    glue("CreateTable", DatabaseName="d", TableInput={"Name": "t", "PartitionKeys": KEYS})
    return glue


def fill(lake: Glue, wanted: list[list[str]]) -> None:
    for start in range(0, len(wanted), 100):
        given = [{"Values": values} for values in wanted[start : start + 100]]
        assert lake("BatchCreatePartition", DatabaseName="d", TableName="t", PartitionInputList=given)["Errors"] == []


def found(lake: Glue, **params: Any) -> list[list[str]]:
    seen, token = [], {}
    while True:
        answer = lake("GetPartitions", DatabaseName="d", TableName="t", **params, **token)
        seen += [one["Values"] for one in answer["Partitions"]]
        if "NextToken" not in answer:
            return seen
        token = {"NextToken": answer["NextToken"]}


def test_sqlite_hides_nothing(lake: Glue) -> None:
    dice = random.Random(4)
    every = {tuple(dice.choice(choices) for choices in VALUES) for _ in range(300)}
    for position, choices in enumerate(VALUES):  # each value beside the first ones of the others
        every |= {tuple(one if n == position else VALUES[n][0] for n in range(5)) for one in choices}
    rows = [list(values) for values in every]
    fill(lake, rows)
    pairs = [f"{a} {word} {b}" for a, b in itertools.pairwise(CLAUSES) for word in ("and", "or")]
    negated = [f"not ({clause}) and n is not null" for clause in CLAUSES]
    for expression in [*CLAUSES, *pairs, *negated, "s = 'a' and n = 1 and d = '2024-01-01'"]:
        chosen = compile_filter(expression, KEYS)
        expected = sorted(values for values in rows if chosen(values))
        assert sorted(found(lake, Expression=expression, MaxResults=1000)) == expected, expression
    assert found(lake, Expression="s = 'a'") == found(lake, Expression="s = 'a'", MaxResults=7)


@pytest.mark.parametrize("kind", ["double", "float", "boolean", "binary", "array<int>"])
def test_types_that_no_filter_reads(glue: Glue, refused: Refused, kind: str) -> None:
    glue("CreateDatabase", DatabaseInput={"Name": "d"})
    keys = [{"Name": "a", "Type": kind}, {"Name": "b", "Type": "int"}]
    glue("CreateTable", DatabaseName="d", TableInput={"Name": "t", "PartitionKeys": keys})
    where = {"DatabaseName": "d", "TableName": "t"}
    assert refused("GetPartitions", **where, Expression="a = 1") == "InvalidInputException"
    assert glue("GetPartitions", **where, Expression="b = 1")["Partitions"] == []


def test_a_key_that_came_later_is_null_in_older_partitions(lake: Glue) -> None:
    lake("UpdateTable", DatabaseName="d", TableInput={"Name": "t", "PartitionKeys": KEYS[:1]})
    fill(lake, [["a"], ["b"]])
    lake("UpdateTable", DatabaseName="d", TableInput={"Name": "t", "PartitionKeys": KEYS[:2]})
    assert found(lake, Expression="n = 1") == []
    assert found(lake, Expression="n is null and s = 'a'") == [["a"]]
    assert found(lake, Expression="s like 'b%' or n like '1%'") == [["b"]]


def test_segments_share_out_what_a_filter_leaves(lake: Glue, refused: Refused) -> None:
    rows = [[f"s{n}", str(n), "2024-01-01", "2024-01-01", "1"] for n in range(300)]
    fill(lake, rows)
    parts = [found(lake, Segment={"SegmentNumber": n, "TotalSegments": 4}, Expression="n < 200") for n in range(4)]
    assert all(parts) and sorted(itertools.chain(*parts)) == sorted(rows[:200])
    where = {"DatabaseName": "d", "TableName": "t", "Segment": {"SegmentNumber": 4, "TotalSegments": 4}}
    assert refused("GetPartitions", **where) == "InvalidInputException"


def test_a_name_may_be_a_word_of_the_grammar(glue: Glue) -> None:
    glue("CreateDatabase", DatabaseInput={"Name": "d"})
    keys = [{"Name": name, "Type": "string"} for name in ("date", "timestamp", "\u00e9t\u00e9")]
    glue("CreateTable", DatabaseName="d", TableInput={"Name": "t", "PartitionKeys": keys})
    fill(glue, [["2024-01-01", "x", "y"]])
    assert found(glue, Expression="date = '2024-01-01' and timestamp = 'x' and \u00e9t\u00e9 = 'y'")
