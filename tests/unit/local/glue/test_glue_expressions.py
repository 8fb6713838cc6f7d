"""The filter of GetPartitions."""

from __future__ import annotations

import pytest

from millpond.local.glue.expressions import ExpressionError, compile_filter

KEYS = [
    {"Name": "country", "Type": "string"},
    {"Name": "year", "Type": "int"},
    {"Name": "day", "Type": "date"},
    {"Name": "price", "Type": "decimal(10,2)"},
]
ROW = ["DE", "2024", "2024-05-06", "9.50"]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("country = 'DE'", True),
        ("country='de'", False),
        ("COUNTRY = 'DE'", True),
        ("`country` = 'DE' and \"year\" = 2024", True),
        ("year > 999", True),  # as a number: as a text '2024' < '999'
        ("year >= 2024 AND year <= 2024", True),
        ("year <> 2024", False),
        ("year != 2023", True),
        ("year = '2024'", True),
        ("2024 = year", True),
        ("2025 > year", True),
        ("year in (2023, 2024)", True),
        ("year not in (2023, 2024)", False),
        ("country IN ('FR', 'IT')", False),
        ("year between 2020 and 2024 and country = 'DE'", True),
        ("year NOT BETWEEN 2020 AND 2024", False),
        ("country like 'D%'", True),
        ("country like '_E'", True),
        ("country like 'D'", False),
        ("country not like '%E%'", False),
        ("country like '%D%E%'", True),
        ("day > '2024-05-05'", True),
        ("day = date '2024-05-06'", True),
        ("price < 10", True),
        ("price = 9.5", True),
        ("country = 'FR' or year = 2024", True),
        ("country = 'FR' or year = 2024 and price > 100", False),
        ("(country = 'FR' or year = 2024) and price < 100", True),
        ("not country = 'FR'", True),
        ("not (country = 'DE' and year = 2024)", False),
        ("country is null", False),
        ("country is not null", True),
    ],
)
def test_filters(text: str, expected: bool) -> None:
    assert compile_filter(text, KEYS)(ROW) is expected


@pytest.mark.parametrize("text", ["year = 5", "year <> 5", "NOT year = 5", "year NOT IN (5)", "year LIKE '5'"])
def test_a_null_key_fits_no_comparison(text: str) -> None:
    assert compile_filter(text, KEYS)(["DE", "__HIVE_DEFAULT_PARTITION__", "2024-01-01", "1"]) is False


def test_a_quote_is_doubled() -> None:
    assert compile_filter("country = 'O''Brien'", KEYS)(["O'Brien", "1", "2024-01-01", "1"])


@pytest.mark.parametrize(
    "text, said",
    [
        ("city = 'x'", "'city' is not a partition key; the keys are: country, year, day, price"),
        ("year = 'abc'", "does not fit"),
        ("year =", "found the end"),
        ("year 5", "a comparison"),
        ("(year = 5", "')'"),
        ("year = 5 garbage", "AND, OR or the end"),
        ("year = 5; drop table x", "unexpected character ';'"),
        ("country in ()", "a literal"),
        ("country like 5", "a text"),
        ("(" * 900 + "year = 5" + ")" * 900, "nested deeper"),
        ("not " * 400 + "year = 5", "nested deeper"),
    ],
)
def test_refuses_with_the_place(text: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=said.replace("(", r"\(").replace(")", r"\)")):
        compile_filter(text, KEYS)


def test_like_is_not_exponential() -> None:
    """Ends at once; a backtracking matcher would not."""
    assert compile_filter("country like '" + "%a" * 200 + "%b'", KEYS)(["a" * 1000, "1", "2024-01-01", "1"]) is False
