"""What each data quality rule measures, and of which rows it can say whether they pass.

One pass over the data serves all rules that are sums of rows; uniqueness, other data sets and `where` need passes of
their own. Metrics are called as AWS calls them: `Column.id.Completeness`, `Dataset.*.RowCount`.

Nulls: a comparison, a pattern or a list says nothing of them unless it names NULL, so they pass there.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as f
from pyspark.sql import types as t

from awsglue import _choices, _paths
from awsglue._choices import tick
from awsgluedq._dqdl import Condition, Duration, Keyword, Now, Rule, Value

PRIMARY = "primary"
TYPES = {
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "integer": "int",
    "int": "int",
    "long": "bigint",
    "float": "float",
    "double": "double",
    "string": "string",
}
ALL = Condition("=", (1.0,))


class Unmeasurable(Exception):
    """A rule cannot be measured on this data; the message is its FailureReason."""


@dataclass(frozen=True)
class Outcome:
    passed: bool
    reason: str | None
    metrics: Mapping[str, float] = field(default_factory=dict)


# ---- conditions


def holds(value: float, condition: Condition) -> bool:
    """Whether a number meets a condition."""
    numbers = [_number(one) for one in condition.values]
    match condition.op:
        case "between":
            found = numbers[0] < value < numbers[1] or value in numbers
        case "in":
            found = value in numbers
        case "=":
            found = value == numbers[0]
        case "!=":
            found = value != numbers[0]
        case ">":
            found = value > numbers[0]
        case ">=":
            found = value >= numbers[0]
        case "<":
            found = value < numbers[0]
        case "<=":
            found = value <= numbers[0]
        case _:
            raise Unmeasurable(f"{condition.op} compares texts, not numbers")
    return found != condition.negated


def _number(value: Value) -> float:
    if isinstance(value, bool | int | float):
        return float(value)
    raise Unmeasurable(f"{value!r} is no number")


def test_of(column: Column, kind: t.DataType, condition: Condition) -> Column:
    """Whether a row's value meets a condition. Null passes where the condition does not speak of it."""
    keywords = [one.name for one in condition.values if isinstance(one, Keyword)]
    plain = [_literal(one, kind) for one in condition.values if not isinstance(one, Keyword)]
    match condition.op:
        case "between":
            made = column.between(plain[0], plain[1])
        case "matches":
            made = column.cast("string").rlike(str(condition.values[0]))
        case "in" | "=" | "!=":
            made = _any([*(column == one for one in plain), *(_is(column, name) for name in keywords)])
        case _:
            made = {">": column > plain[0], ">=": column >= plain[0], "<": column < plain[0], "<=": column <= plain[0]}[
                condition.op
            ]
    if condition.negated != (condition.op == "!="):
        made = ~made
    return f.coalesce(made, f.lit(True)) if "NULL" not in keywords else made


def _any(tests: Iterable[Column]) -> Column:
    return functools.reduce(Column.__or__, tests, f.lit(False))


def _is(column: Column, keyword: str) -> Column:
    match keyword:
        case "NULL":
            return column.isNull()
        case "EMPTY":
            return f.coalesce(column == "", f.lit(False))
    return f.coalesce((column != "") & (f.trim(column) == ""), f.lit(False))


def _literal(value: Value, kind: t.DataType) -> Column:
    match value:
        case Now():
            made = f.current_timestamp() + f.expr(f"make_dt_interval(0, 0, 0, {value.seconds})")
            return made.cast("date") if isinstance(kind, t.DateType) else made
        case Duration():
            return f.lit(value.seconds)
        case str() if isinstance(kind, t.DateType | t.TimestampType):
            return f.lit(value).cast(kind)
        case str() if isinstance(kind, t.NumericType | t.BooleanType):
            return _choices.tried(f.lit(value), kind)
    return f.lit(value)


# ---- rules


@dataclass
class Data:
    """The data sets of one evaluation, and what was measured of the primary one."""

    frame: DataFrame
    others: Mapping[str, DataFrame] = field(default_factory=dict)
    known: dict[str, Any] = field(default_factory=dict)

    def column(self, name: str) -> tuple[Column, t.DataType]:
        steps = [name] if name in self.frame.columns else _paths.find(self.frame.schema, name)
        if steps is None:
            raise Unmeasurable(f"Input data does not include column {name}!")
        return _paths.value(self.frame, steps)

    def other(self, name: str) -> DataFrame:
        if name not in self.others:
            raise Unmeasurable(f"There is no data set {name}: pass it in additional_data_sources")
        return self.others[name]

    def sum_of(self, key: str, column: Column) -> Any:
        """An aggregate of all rows: as measured in the first pass, or by a pass of its own."""
        if key not in self.known:
            self.known[key] = self.frame.agg(column.alias("v")).collect()[0]["v"]
        return self.known[key]

    def rows(self) -> int:
        return int(self.sum_of("rows", f.count(f.lit(1))))

    def frequencies(self, names: tuple[str, ...]) -> dict[str, float]:
        """Rows, distinct values, values that occur once, and entropy, of rows that have a value."""
        key = f"frequencies {names}"
        if key not in self.known:
            columns = [self.column(name)[0].alias(f"c{n}") for n, name in enumerate(names)]
            given = self.frame.select(*columns).where(_any(one.isNotNull() for one in columns))
            counted = given.groupBy(*(f"c{n}" for n in range(len(names)))).count()
            n = f.col("count")
            found = counted.agg(
                f.sum(n).alias("rows"),
                f.count(n).alias("distinct"),
                f.sum((n == 1).cast("bigint")).alias("unique"),
                f.sum(n * f.log(n)).alias("logs"),
            ).collect()[0]
            rows = float(found["rows"] or 0)
            entropy = math.log(rows) - float(found["logs"] or 0) / rows if rows else 0.0
            self.known[key] = {
                "rows": rows,
                "distinct": float(found["distinct"]),
                "unique": float(found["unique"] or 0),
                "entropy": max(entropy, 0.0),
            }
        made: dict[str, float] = self.known[key]
        return made


Sums = Iterator[tuple[str, Column]]
Measured = tuple[dict[str, float], float | int | bool]  # metrics, and the value that the condition is about


def sums(rule: Rule, data: Data) -> Sums:
    """The aggregates that a rule needs, by their keys."""
    yield "rows", f.count(f.lit(1))
    name = rule.parameters[0] if rule.parameters else ""
    match rule.kind:
        case "IsComplete" | "Completeness" | "IsPrimaryKey":
            for one in rule.parameters:
                yield f"full {one}", f.count(data.column(one)[0])
        case "Mean" | "Sum" | "StandardDeviation":
            yield f"{rule.kind} {name}", SUMS[rule.kind](data.column(name)[0].cast("double"))
        case "ColumnCorrelation":
            pair = [data.column(one)[0].cast("double") for one in rule.parameters]
            yield f"{rule.kind} {rule.parameters}", f.corr(*pair)
        case "ColumnValues" | "ColumnLength":
            column, kind = data.column(name)
            if rule.kind == "ColumnLength" or isinstance(kind, t.NumericType):
                size = f.length(column) if rule.kind == "ColumnLength" else column.cast("double")
                yield f"low {rule.kind} {name}", f.min(size).cast("double")
                yield f"high {rule.kind} {name}", f.max(size).cast("double")
    test = row_test(rule, data) if rule.kind in COMPLIANT else None
    if test is not None:
        yield f"good {rule.text}", f.sum(test.cast("bigint"))


SUMS: Mapping[str, Callable[[Column], Column]] = {"Mean": f.avg, "Sum": f.sum, "StandardDeviation": f.stddev_pop}
COMPLIANT = ("ColumnValues", "ColumnLength", "ColumnDataType", "DataFreshness")


def row_test(rule: Rule, data: Data) -> Column | None:
    """Whether a row passes; None for rules that speak of the whole only, or that need `marked`."""
    name = rule.parameters[0] if rule.parameters else ""
    match rule.kind:
        case "IsComplete" | "Completeness":
            return data.column(name)[0].isNotNull()
        case "ColumnValues" if rule.condition:
            return test_of(*data.column(name), rule.condition)
        case "ColumnLength" if rule.condition:
            return test_of(f.length(data.column(name)[0]), t.IntegerType(), rule.condition)
        case "ColumnDataType" if rule.condition:
            return _typed(*data.column(name), rule.condition)
        case "DataFreshness" if rule.condition:
            column, _ = data.column(name)
            age = f.unix_timestamp(f.current_timestamp()) - f.unix_timestamp(column.cast("timestamp"))
            seconds = Condition(rule.condition.op, tuple(_seconds(one) for one in rule.condition.values))
            return test_of(age, t.LongType(), seconds)
        case "IsUnique" | "Uniqueness" | "UniqueValueRatio" | "IsPrimaryKey":
            columns = [data.column(one)[0] for one in rule.parameters]
            once = f.count(f.lit(1)).over(Window.partitionBy(*columns)) == 1
            full = functools.reduce(Column.__and__, (one.isNotNull() for one in columns))
            return once & full if rule.kind == "IsPrimaryKey" else once
    return None


def _seconds(value: Value) -> float:
    if not isinstance(value, Duration):
        raise Unmeasurable("DataFreshness compares with a duration, such as 24 hours")
    return value.seconds


def _typed(column: Column, kind: t.DataType, condition: Condition) -> Column:
    def one(value: Value) -> Column:
        wanted = TYPES.get(str(value).lower())
        if wanted is None:
            raise Unmeasurable(f"ColumnDataType: {value!r} is none of {', '.join(sorted(TYPES))}")
        if kind.simpleString() == wanted or wanted == "string":
            return f.lit(True)
        if isinstance(kind, t.StringType) and wanted in ("int", "bigint"):
            return _choices.tried(column, wanted).isNotNull() & column.rlike(r"^\s*[+-]?\d+\s*$")
        return _choices.tried(column.cast("string"), wanted).isNotNull()

    made = _any(one(value) for value in condition.values)
    made = ~made if condition.negated != (condition.op == "!=") else made
    return column.isNull() | made


def marked(rule: Rule, data: Data, name: str) -> DataFrame | None:
    """The primary rows with a column `name`, whether they pass; None when a rule has nothing to say of rows."""
    test = row_test(rule, data)
    if test is not None:
        return data.frame.withColumn(name, test)
    if rule.kind == "ReferentialIntegrity":
        keys, wanted = _reference(rule, data)
        found = wanted.toDF(*(f"{name} {n}" for n in range(len(wanted.columns)))).distinct()
        same = functools.reduce(
            Column.__and__,
            (data.column(key)[0] == found[tick(one)] for key, one in zip(keys, found.columns, strict=True)),
        )
        joined = data.frame.join(found, same, "left")
        return joined.withColumn(name, joined[tick(found.columns[0])].isNotNull()).drop(*found.columns)
    if rule.kind == "CustomSql" and rule.condition is None:
        rows = _sql(rule, data)
        if set(rows.columns) <= set(data.frame.columns):
            found = (
                rows.distinct().toDF(*(f"{name} {n}" for n in range(len(rows.columns)))).withColumn(name, f.lit(True))
            )
            same = functools.reduce(
                Column.__and__,
                (data.frame[tick(one)].eqNullSafe(found[f"{name} {n}"]) for n, one in enumerate(rows.columns)),
            )
            joined = data.frame.join(found, same, "left").drop(*(f"{name} {n}" for n in range(len(rows.columns))))
            return joined.withColumn(name, f.coalesce(joined[name], f.lit(False)))
    return None


def evaluate(rule: Rule, data: Data) -> Outcome:
    """Measure one rule."""
    try:
        if rule.where is not None:
            data = Data(data.frame.where(rule.where), data.others)
        found = MEASURES[rule.kind](rule, data)
        if isinstance(found, Outcome):
            return found
        metrics, value = found
        of_rows = rule.kind in COMPLIANT or (rule.kind == "CustomSql" and not rule.condition)
        wanted = rule.threshold if of_rows else rule.condition
        passed = value if isinstance(value, bool) else holds(value, wanted or ALL)
        return Outcome(passed, None if passed else _reason(metrics, value), metrics)
    except Unmeasurable as error:
        return Outcome(False, str(error))
    except AnalysisException as error:
        return Outcome(False, str(error).splitlines()[0])


def _reason(metrics: Mapping[str, float], value: float | int | bool) -> str:
    if isinstance(value, bool):
        value = next((one for one in metrics.values() if one != 1.0), 0.0)
    return f"Value: {value} does not meet the constraint requirement!"


# ---- measures


def _ratio(part: float, whole: float) -> float:
    """All of nothing is all."""
    return float(part) / float(whole) if whole else 1.0


def _row_count(rule: Rule, data: Data) -> Measured:
    return {"Dataset.*.RowCount": float(data.rows())}, data.rows()


def _column_count(rule: Rule, data: Data) -> Measured:
    return {"Dataset.*.ColumnCount": float(len(data.frame.columns))}, len(data.frame.columns)


def _column_exists(rule: Rule, data: Data) -> Measured:
    data.column(rule.parameters[0])
    return {}, True


def _names(rule: Rule, data: Data) -> Measured:
    names = data.frame.columns
    ratio = _ratio(sum(bool(re.fullmatch(rule.parameters[0], name)) for name in names), len(names))
    return {"Dataset.*.ColumnNamesPatternMatchRatio": ratio}, ratio


def _completeness(rule: Rule, data: Data) -> Measured:
    name = rule.parameters[0]
    full = data.sum_of(f"full {name}", f.count(data.column(name)[0]))
    ratio = _ratio(full, data.rows())
    return {f"Column.{name}.Completeness": ratio}, ratio


def _unique(rule: Rule, data: Data) -> Measured:
    name = rule.parameters[0]
    found = data.frequencies((name,))
    ratio = _ratio(found["unique"], found["rows"])
    return {f"Column.{name}.Uniqueness": ratio}, ratio


def _primary_key(rule: Rule, data: Data) -> Measured:
    found = data.frequencies(rule.parameters)
    several = len(rule.parameters) > 1
    owner = f"Multicolumn.{','.join(rule.parameters)}" if several else f"Column.{rule.parameters[0]}"
    metrics = {f"{owner}.Uniqueness": _ratio(found["unique"], found["rows"])}
    for name in rule.parameters:
        full = data.sum_of(f"full {name}", f.count(data.column(name)[0]))
        metrics[f"Column.{name}.Completeness"] = _ratio(full, data.rows())
    return metrics, all(one == 1.0 for one in metrics.values())


def _of_frequencies(metric: str, value: Callable[[dict[str, float]], float]) -> Callable[[Rule, Data], Measured]:
    def measure(rule: Rule, data: Data) -> Measured:
        found = value(data.frequencies(rule.parameters))
        return {f"Column.{rule.parameters[0]}.{metric}": found}, found

    return measure


def _summed(rule: Rule, data: Data) -> Measured:
    name = rule.parameters[0]
    value = data.sum_of(f"{rule.kind} {name}", SUMS[rule.kind](data.column(name)[0].cast("double")))
    if value is None:
        raise Unmeasurable(f"Empty state for analyzer {rule.kind}({name}), all input values were NULL.")
    return {f"Column.{name}.{rule.kind}": float(value)}, float(value)


def _correlation(rule: Rule, data: Data) -> Measured:
    pair = [data.column(one)[0].cast("double") for one in rule.parameters]
    value = data.sum_of(f"{rule.kind} {rule.parameters}", f.corr(*pair))
    if value is None:
        raise Unmeasurable(f"There is no correlation of {' and '.join(rule.parameters)}")
    return {f"Multicolumn.{','.join(rule.parameters)}.ColumnCorrelation": float(value)}, float(value)


def _values(rule: Rule, data: Data) -> Measured | Outcome:
    """ColumnValues and ColumnLength: the extremes of numbers, and the part of the rows that pass."""
    name = rule.parameters[0]
    column, kind = data.column(name)
    test = row_test(rule, data)
    assert test is not None and rule.condition is not None
    ratio = _ratio(data.sum_of(f"good {rule.text}", f.sum(test.cast("bigint"))) or 0, data.rows())
    low, high = ("Minimum", "Maximum") if rule.kind == "ColumnValues" else ("MinimumLength", "MaximumLength")
    compared = rule.condition.op in ("between", ">", ">=", "<", "<=") or rule.kind == "ColumnLength"
    if (rule.kind == "ColumnLength" or isinstance(kind, t.NumericType)) and compared and not rule.threshold:
        size = f.length(column) if rule.kind == "ColumnLength" else column.cast("double")
        least = data.sum_of(f"low {rule.kind} {name}", f.min(size).cast("double"))
        most = data.sum_of(f"high {rule.kind} {name}", f.max(size).cast("double"))
        metrics = {f"Column.{name}.{low}": least, f"Column.{name}.{high}": most}
        metrics = {key: float(one) for key, one in metrics.items() if one is not None}
        if ratio < 1.0 and metrics:
            wrong = [one for one in metrics.values() if not holds(one, rule.condition)]
            return Outcome(False, _reason(metrics, wrong[0] if wrong else ratio), metrics)
        return metrics, ratio
    return {f"Column.{name}.{rule.kind}.Compliance": ratio}, ratio


def _compliance(rule: Rule, data: Data) -> Measured:
    test = row_test(rule, data)
    assert test is not None
    ratio = _ratio(data.sum_of(f"good {rule.text}", f.sum(test.cast("bigint"))) or 0, data.rows())
    return {f"Column.{rule.parameters[0]}.{rule.kind}.Compliance": ratio}, ratio


def _sql(rule: Rule, data: Data) -> DataFrame:
    return data.frame.sparkSession.sql(rule.parameters[0])


def _custom_sql(rule: Rule, data: Data) -> Measured:
    rows = _sql(rule, data)
    if rule.condition is None:
        ratio = _ratio(rows.count(), data.rows())
        return {"Dataset.*.CustomSQL.Compliance": ratio}, ratio
    first = rows.first()
    if first is None or first[0] is None:
        raise Unmeasurable("CustomSql gave no value")
    try:
        value = float(first[0])
    except (TypeError, ValueError):
        raise Unmeasurable(f"CustomSql gave {first[0]!r}, which is no number") from None
    return {"Dataset.*.CustomSQL": value}, value


def _split(named: str) -> tuple[str, list[str]]:
    """`reference.{a,b}` or `reference.a`: the data set and its columns."""
    alias, _, rest = named.partition(".")
    return alias, [one.strip() for one in rest.strip("{}").split(",") if one.strip()]


def _reference(rule: Rule, data: Data) -> tuple[list[str], DataFrame]:
    keys = [one.strip() for one in rule.parameters[0].split(",")]
    alias, columns = _split(rule.parameters[1])
    other = data.other(alias)
    if missing := [one for one in columns if one not in other.columns] or not columns:
        raise Unmeasurable(f"Data set {alias} does not include column {missing}!")
    if len(keys) != len(columns):
        raise Unmeasurable("ReferentialIntegrity: as many columns of the one data set as of the other")
    return keys, other.select(*(other[tick(one)] for one in columns))


def _integrity(rule: Rule, data: Data) -> Measured:
    found = marked(rule, data, "\0found")
    assert found is not None
    good = found.agg(f.sum(found["\0found"].cast("bigint")).alias("n")).collect()[0]["n"]
    ratio = _ratio(good or 0, data.rows())
    return {f"Column.{rule.parameters[1].partition('.')[0]}.ReferentialIntegrity": ratio}, ratio


def _row_count_match(rule: Rule, data: Data) -> Measured:
    alias = rule.parameters[0]
    other = data.other(alias).count()
    if not other:
        raise Unmeasurable(f"Data set {alias} has no rows")
    ratio = data.rows() / other
    return {f"Dataset.{alias}.RowCountMatch": ratio}, ratio


def _schema_match(rule: Rule, data: Data) -> Measured:
    alias = rule.parameters[0]
    theirs = {one.name: one.dataType.simpleString() for one in data.other(alias).schema.fields}
    ours = data.frame.schema.fields
    ratio = _ratio(sum(theirs.get(one.name) == one.dataType.simpleString() for one in ours), len(ours))
    return {f"Dataset.{alias}.SchemaMatch": ratio}, ratio


def _aggregate_match(rule: Rule, data: Data) -> Measured:
    values = []
    for text in rule.parameters:
        alias = next((name for name in data.others if f"{name}." in text), PRIMARY)
        source = data.frame if alias == PRIMARY else data.other(alias)
        values.append(source.alias(alias).selectExpr(text).collect()[0][0])
    if values[0] is None or not values[1]:
        raise Unmeasurable(
            f"AggregateMatch: {rule.parameters[1]} gave {values[1]!r}, {rule.parameters[0]} {values[0]!r}"
        )
    ratio = float(values[0]) / float(values[1])
    return {f"Dataset.{','.join(rule.parameters)}.AggregateMatch": ratio}, ratio


def _pairs(text: str) -> list[tuple[str, str]]:
    """`a, b->c`: names in the primary data set and in the other."""
    made = []
    for one in text.split(","):
        left, _, right = one.partition("->")
        made.append((left.strip(), (right or left).strip()))
    return made


def _dataset_match(rule: Rule, data: Data) -> Measured:
    alias, keys = rule.parameters[0], _pairs(rule.parameters[1])
    other = data.other(alias)
    if len(rule.parameters) > 2:
        compared = _pairs(rule.parameters[2])
    else:
        compared = [(one, one) for one in data.frame.columns if one not in dict(keys)]
    needed = [right for _, right in (*keys, *compared)]
    if missing := [one for one in needed if one not in other.columns]:
        raise Unmeasurable(f"Data set {alias} does not include column {', '.join(missing)}!")
    right = other.select(*(other[tick(one)].alias(f"\0{n}") for n, one in enumerate(needed))).distinct()
    same = functools.reduce(
        Column.__and__,
        (data.column(one)[0].eqNullSafe(right[f"\0{n}"]) for n, (one, _) in enumerate((*keys, *compared))),
    )
    ratio = _ratio(data.frame.join(right, same, "left_semi").count(), data.rows())
    return {f"Dataset.{alias}.DatasetMatch": ratio}, ratio


MEASURES: Mapping[str, Callable[[Rule, Data], Measured | Outcome]] = {
    "AggregateMatch": _aggregate_match,
    "ColumnCorrelation": _correlation,
    "ColumnCount": _column_count,
    "ColumnDataType": _compliance,
    "ColumnExists": _column_exists,
    "ColumnLength": _values,
    "ColumnNamesMatchPattern": _names,
    "ColumnValues": _values,
    "Completeness": _completeness,
    "CustomSql": _custom_sql,
    "DataFreshness": _compliance,
    "DatasetMatch": _dataset_match,
    "DistinctValuesCount": _of_frequencies("DistinctValuesCount", lambda one: one["distinct"]),
    "Entropy": _of_frequencies("Entropy", lambda one: one["entropy"]),
    "IsComplete": _completeness,
    "IsPrimaryKey": _primary_key,
    "IsUnique": _unique,
    "Mean": _summed,
    "ReferentialIntegrity": _integrity,
    "RowCount": _row_count,
    "RowCountMatch": _row_count_match,
    "SchemaMatch": _schema_match,
    "StandardDeviation": _summed,
    "Sum": _summed,
    "UniqueValueRatio": _of_frequencies("UniqueValueRatio", lambda one: _ratio(one["unique"], one["distinct"])),
    "Uniqueness": _unique,
}
