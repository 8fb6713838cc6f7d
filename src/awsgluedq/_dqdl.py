"""DQDL, the language of Glue's data quality rules, as a tree (AWS docs, "Data Quality Definition Language reference").

    Rules = [ IsComplete "id", (RowCount > 10) or (ColumnValues "a" in ["x", NULL] with threshold > 0.9) ]

Whatever is not understood is an error with its line and column: a rule is never skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

UNITS = {"minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400}
KEYWORDS = ("NULL", "EMPTY", "WHITESPACES_ONLY")
OPERATORS = ("=", "!=", ">", ">=", "<", "<=")
# What AWS documents and this does not do: rule types that need the history of runs, or the files behind a table.
NOT_CARRIED = ("DetectAnomalies", "FileFreshness", "FileMatch", "FileSize", "FileUniqueness")
# Rule type -> the least and the most parameters, and whether an expression is `required`, `optional` or `none`.
RULES: Mapping[str, tuple[int, int, str]] = {
    "AggregateMatch": (2, 2, "required"),
    "ColumnCorrelation": (2, 2, "required"),
    "ColumnCount": (0, 0, "required"),
    "ColumnDataType": (1, 1, "required"),
    "ColumnExists": (1, 1, "none"),
    "ColumnLength": (1, 1, "required"),
    "ColumnNamesMatchPattern": (1, 1, "none"),
    "ColumnValues": (1, 1, "required"),
    "Completeness": (1, 1, "required"),
    "CustomSql": (1, 1, "optional"),
    "DataFreshness": (1, 1, "required"),
    "DatasetMatch": (2, 4, "required"),
    "DistinctValuesCount": (1, 1, "required"),
    "Entropy": (1, 1, "required"),
    "IsComplete": (1, 1, "none"),
    "IsPrimaryKey": (1, 1000, "none"),
    "IsUnique": (1, 1, "none"),
    "Mean": (1, 1, "required"),
    "ReferentialIntegrity": (2, 2, "required"),
    "RowCount": (0, 0, "required"),
    "RowCountMatch": (1, 1, "required"),
    "SchemaMatch": (1, 1, "required"),
    "StandardDeviation": (1, 1, "required"),
    "Sum": (1, 1, "required"),
    "UniqueValueRatio": (1, 1, "required"),
    "Uniqueness": (1, 1, "required"),
}


# The rule types that may say `with threshold`: those that hold of a part of the rows.
WITH_THRESHOLD = ("ColumnDataType", "ColumnLength", "ColumnValues", "CustomSql", "DataFreshness")


class DQDLError(ValueError):
    """A ruleset cannot be read; the message begins with the line and column."""


@dataclass(frozen=True, slots=True)
class Keyword:
    """NULL, EMPTY or WHITESPACES_ONLY."""

    name: str


@dataclass(frozen=True, slots=True)
class Now:
    """now(), so many seconds later (or earlier)."""

    seconds: float = 0


@dataclass(frozen=True, slots=True)
class Duration:
    """`24 hours`, in seconds."""

    seconds: float


Value = float | int | str | Keyword | Now | Duration


@dataclass(frozen=True, slots=True)
class Condition:
    """`op` is one of OPERATORS, between, in, matches; `negated` by `not`."""

    op: str
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: `IsComplete "id"`."""

    kind: str
    parameters: tuple[str, ...]
    condition: Condition | None
    threshold: Condition | None
    where: str | None
    text: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Composite:
    """Rules in brackets, joined by `and` or by `or`."""

    how: str
    parts: tuple[Rule | Composite, ...]
    text: str

    @property
    def labels(self) -> Mapping[str, str]:
        return {}


@dataclass(frozen=True, slots=True)
class Ruleset:
    rules: tuple[Rule | Composite, ...]
    analyzers: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Token:
    kind: str  # string, number, word, sign, end
    text: str
    at: int


TOKENS = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?%?)
    |(?P<word>[A-Za-z_][\w.]*)
    |(?P<sign>!=|>=|<=|[=<>\[\](),+\-*/{}])""",
    re.VERBOSE,
)


def parse(text: str) -> Ruleset:
    """The ruleset of a DQDL document. DQDLError, with its place, when it is none."""
    return _Parser(text).ruleset()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._split())
        self.at = 0
        self.constants: dict[str, Token] = {}
        self.defaults: dict[str, str] = {}

    def _split(self) -> Iterator[Token]:
        at = 0
        while at < len(self.text):
            found = TOKENS.match(self.text, at)
            if not found:
                raise self.error(f"{self.text[at]!r} has no meaning here", at)
            if found.lastgroup != "space":
                yield Token(found.lastgroup or "", found.group(), at)
            at = found.end()
        yield Token("end", "", len(self.text))

    def error(self, message: str, at: int | None = None) -> DQDLError:
        place = self.tokens[self.at].at if at is None else at
        line = self.text.count("\n", 0, place) + 1
        column = place - (self.text.rfind("\n", 0, place) + 1) + 1
        return DQDLError(f"DQDL, line {line}, column {column}: {message}")

    # ---- tokens

    @property
    def next(self) -> Token:
        one = self.tokens[self.at]
        return self.constants.get(one.text, one) if one.kind == "word" else one

    def take(self) -> Token:
        one = self.next
        self.at += one.kind != "end"
        return one

    def is_next(self, *texts: str) -> bool:
        return self.next.kind != "string" and self.next.text in texts

    def maybe(self, *texts: str) -> bool:
        if self.is_next(*texts):
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.maybe(text):
            raise self.error(f"expected {text!r}, found {self.next.text or 'the end'!r}")

    def string(self) -> str:
        if self.next.kind != "string":
            raise self.error(f"expected a text in quotes, found {self.next.text or 'the end'!r}")
        return _unquoted(self.take().text)

    # ---- document

    def ruleset(self) -> Ruleset:
        rules: list[Rule | Composite] | None = None
        analyzers: list[Rule] | None = None
        while self.next.kind != "end":
            start, name = self.at, self.take()
            self.expect("=")
            if name.text == "Rules" and rules is None:
                rules = list(self.listed(self.rule))
            elif name.text == "Analyzers" and analyzers is None:
                analyzers = list(self.listed(self.analyzer))
            elif name.text == "DefaultLabels":
                self.defaults = self.labels()
            elif name.kind == "word" and name.text not in ("Rules", "Analyzers") and name.text not in RULES:
                self.constants[name.text] = self.take()
            else:
                raise self.error("expected Rules = [...] or Analyzers = [...], each once", self.tokens[start].at)
        if not rules and not analyzers:
            raise self.error("there are no Rules")
        return Ruleset(tuple(rules or ()), tuple(analyzers or ()))

    def listed(self, one: object) -> Iterator[object]:
        self.expect("[")
        while not self.maybe("]"):
            yield one()  # type: ignore[operator]
            if not self.maybe(","):
                self.expect("]")
                return

    def rule(self) -> Rule | Composite:
        start = self.at
        if not self.is_next("("):
            return self.single()
        parts = [self.bracketed()]
        how = ""
        while self.is_next("and", "or"):
            if how and self.next.text != how:
                raise self.error(f"{how!r} and {self.next.text!r} together need brackets")
            how = self.take().text
            parts.append(self.bracketed())
        if not how:
            return parts[0]
        return Composite(how, tuple(parts), self.written(start))

    def bracketed(self) -> Rule | Composite:
        self.expect("(")
        made = self.rule()
        self.expect(")")
        return made

    def kind(self) -> str:
        token = self.next
        if token.kind != "word" or (token.text not in RULES and token.text not in NOT_CARRIED):
            raise self.error(f"{token.text or 'the end'!r} is no rule type")
        if token.text in NOT_CARRIED:
            raise self.error(f"the rule type {token.text} is not carried")
        return self.take().text

    def parameters(self, kind: str) -> tuple[str, ...]:
        least, most, _ = RULES[kind]
        given: list[str] = []
        while self.next.kind == "string" and len(given) < most:
            given.append(self.string())
        if len(given) < least:
            raise self.error(f"{kind} needs {least} parameter{'s' * (least > 1)} in quotes")
        return tuple(given)

    def single(self) -> Rule:
        start = self.at
        kind = self.kind()
        parameters = self.parameters(kind)
        condition = None
        if RULES[kind][2] != "none" and not self.is_next(",", "]", ")", "where", "with", "labels"):
            condition = self.condition()
        if RULES[kind][2] == "required" and condition is None:
            raise self.error(f"{kind} needs an expression, such as > 0.9")
        where, threshold = self.ending(kind)
        text = self.written(start)
        labels = dict(self.defaults)
        if self.maybe("labels"):
            self.expect("=")
            labels |= self.labels()
        return Rule(kind, parameters, condition, threshold, where, text, labels)

    def ending(self, kind: str) -> tuple[str | None, Condition | None]:
        where, threshold = None, None
        while self.is_next("where", "with"):
            if self.take().text == "where":
                where = self.string()
            else:
                self.expect("threshold")
                if kind not in WITH_THRESHOLD:
                    raise self.error(f"{kind} has no threshold")
                threshold = self.condition()
        return where, threshold

    def analyzer(self) -> Rule:
        start = self.at
        kind = self.kind()
        return Rule(kind, self.parameters(kind), None, None, None, self.written(start))

    def labels(self) -> dict[str, str]:
        made: dict[str, str] = {}
        self.expect("[")
        while not self.maybe("]"):
            name = self.string()
            self.expect("=")
            made[name] = self.string()
            if not self.maybe(","):
                self.expect("]")
                break
        return made

    # ---- expressions

    def condition(self) -> Condition:
        negated = self.maybe("not")
        if self.maybe("between"):
            low = self.value()
            self.expect("and")
            return Condition("between", (low, self.value()), negated)
        if self.maybe("in"):
            return Condition("in", tuple(self.listed(self.value)), negated)  # type: ignore[arg-type]
        if self.maybe("matches"):
            return Condition("matches", (self.string(),), negated)
        if negated or not self.is_next(*OPERATORS):
            raise self.error(f"expected a comparison, found {self.next.text or 'the end'!r}")
        return Condition(self.take().text, (self.value(),))

    def value(self) -> Value:
        if self.maybe("("):
            made = self.value()
            self.expect(")")
            return made
        token = self.take()
        if token.kind == "string":
            return _unquoted(token.text)
        if token.kind == "number":
            if self.is_next("*", "/"):
                raise self.error(f"{self.next.text!r}: calculated values, as of dynamic rules, are not carried")
            return self.amount(token.text)
        if token.text in KEYWORDS:
            return Keyword(token.text)
        if token.text == "now":
            return self.now()
        self.at -= token.kind != "end"
        if token.kind == "word" and self.tokens[self.at + 1].text == "(":
            raise self.error(f"{token.text}(...): dynamic rules, which look at earlier runs, are not carried")
        raise self.error(f"expected a value, found {token.text or 'the end'!r}")

    def amount(self, text: str) -> Value:
        number = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
        made = int(number) if number.is_integer() and "." not in text and "%" not in text else number
        unit = self.next.text.rstrip("s")
        if self.next.kind == "word" and unit in UNITS:
            self.at += 1
            return Duration(made * UNITS[unit])
        return made

    def now(self) -> Now:
        self.expect("(")
        self.expect(")")
        sign = {"-": -1, "+": 1}.get(self.next.text) if self.next.kind == "sign" else None
        if sign is None and self.next.kind == "number" and self.next.text.startswith("-"):
            sign = 1  # `now() -3 days`: the sign belongs to the number
        elif sign is None:
            return Now()
        else:
            self.at += 1
        moved = self.value()
        if not isinstance(moved, Duration):
            raise self.error("expected a duration, such as 3 days")
        return Now(sign * moved.seconds)

    def written(self, start: int) -> str:
        """The tokens from `start` to here as one line."""
        made = ""
        for one in self.tokens[start : self.at]:
            tight = not made or made[-1] in "([" or one.text in (",", ")", "]") or made.endswith(",")
            made += (
                one.text
                if tight or (one.text == "(" and made[-1].isalnum() and made.endswith("now"))
                else f" {one.text}"
            )
        return made


def _unquoted(text: str) -> str:
    """Only quotes are escaped: regular expressions keep their backslashes."""
    return text[1:-1].replace(f"\\{text[0]}", text[0])
