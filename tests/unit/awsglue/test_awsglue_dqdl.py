"""DQDL as written: what a ruleset means, and where one has a mistake."""

from __future__ import annotations

import pytest

from awsgluedq._dqdl import Composite, Condition, Duration, Keyword, Now, Rule, parse


def only(rule: str) -> Rule:
    found = parse(f"Rules = [ {rule} ]").rules
    assert len(found) == 1 and isinstance(found[0], Rule)
    return found[0]


@pytest.mark.parametrize(
    ("written", "condition"),
    [
        ("RowCount = 5", Condition("=", (5,))),
        ("RowCount between 1 and 10", Condition("between", (1, 10))),
        ('Completeness "a" > 95%', Condition(">", (0.95,))),
        ('ColumnValues "a" not between -1.5 and 2', Condition("between", (-1.5, 2), True)),
        ('ColumnValues "a" in [ "x", NULL, EMPTY ]', Condition("in", ("x", Keyword("NULL"), Keyword("EMPTY")))),
        ('ColumnValues "a" not matches "\\d+"', Condition("matches", ("\\d+",), True)),
        ('ColumnValues "d" >= (now() - 3 days)', Condition(">=", (Now(-3 * 86400),))),
        ('DataFreshness "d" between 2 hours and 1 day', Condition("between", (Duration(7200), Duration(86400)))),
        ("ColumnValues 'a' = 'it\\'s'", Condition("=", ("it's",))),
    ],
)
def test_expressions(written: str, condition: Condition) -> None:
    assert only(written).condition == condition


def test_what_ends_a_rule() -> None:
    rule = only('ColumnValues "a" > 1 where "b = \'x\'" with threshold >= 0.9 labels=["team"="x"]')
    assert rule.where == "b = 'x'" and rule.threshold == Condition(">=", (0.9,)) and rule.labels == {"team": "x"}
    assert rule.text == 'ColumnValues "a" > 1 where "b = \'x\'" with threshold >= 0.9'


def test_rules_in_brackets() -> None:
    found = parse('Rules = [ (RowCount > 0) or ((IsComplete "a") and (IsUnique "a")), # a comment\n IsUnique "b" ]')
    first = found.rules[0]
    assert isinstance(first, Composite) and first.how == "or" and isinstance(first.parts[1], Composite)
    assert first.text == '(RowCount > 0) or ((IsComplete "a") and (IsUnique "a"))'


def test_analyzers_constants_and_default_labels() -> None:
    found = parse(
        'least = 5\nDefaultLabels = ["a"="b"]\nRules = [ RowCount > least ]\nAnalyzers = [ Completeness "x" ]'
    )
    assert isinstance(found.rules[0], Rule) and found.rules[0].condition == Condition(">", (5,))
    assert found.rules[0].labels == {"a": "b"} and found.analyzers[0].parameters == ("x",)


@pytest.mark.parametrize(
    ("written", "place", "words"),
    [
        ("", "line 1, column 1", "no Rules"),
        ("Rules = []", "line 1, column 11", "no Rules"),
        ("Rules = [\n  IsCompleet 'a'\n]", "line 2, column 3", "no rule type"),
        ("Rules = [ IsComplete ]", "line 1, column 22", "needs 1 parameter"),
        ("Rules = [ RowCount ]", "line 1, column 20", "needs an expression"),
        ("Rules = [ RowCount > ]", "line 1, column 22", "expected a value"),
        ('Rules = [ IsComplete "a" IsUnique "a" ]', "line 1, column 26", "expected ']'"),
        ('Rules = [ IsComplete "a" with threshold > 0.9 ]', "line 1, column 41", "no threshold"),
        ("Rules = [ RowCount > avg(last(3)) ]", "line 1, column 22", "dynamic rules"),
        ("Rules = [ RowCount > avg(last(3)) * 0.8 ]", "line 1, column 22", "dynamic rules"),
        ("Rules = [ RowCount > (0.9 * avg(last(3))) ]", "line 1, column 27", "dynamic rules"),
        ('Rules = [ DetectAnomalies "RowCount" ]', "line 1, column 11", "not carried"),
        ('Rules = [ (IsUnique "a") and (IsUnique "b") or (IsUnique "c") ]', "line 1, column 45", "need brackets"),
        ("Rules = [ RowCount ; 5 ]", "line 1, column 20", "no meaning"),
        ("Rules = [ RowCount > 1 ] Rules = [ RowCount > 1 ]", "line 1, column 26", "each once"),
    ],
)
def test_a_mistake_has_its_place(written: str, place: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse(written)
    assert str(caught.value).startswith(f"DQDL, {place}: ")
