"""EvaluateDataQuality: DQDL rules over a DynamicFrame (AWS docs, "EvaluateDataQuality class").

`apply` gives one record for each rule; `process_rows` a collection of `ruleOutcomes`, `rowLevelOutcomes` (the frame's
records and which rules they pass) and `originalData`. Rules and their meaning: _dqdl.py, _rules.py.

Limits: nothing is published to CloudWatch or the console, whatever publishing_options say; `resultsS3Prefix` is written
to. Rules that need the history of runs or the files of a table are refused where the ruleset is read.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f
from pyspark.sql import types as t

from awsglue.dynamicframe import DynamicFrame, DynamicFrameCollection
from awsglue.gluetypes import NOTHING
from awsglue.transforms.transform import GlueTransform
from awsgluedq import _rules
from awsgluedq._dqdl import Composite, DQDLError, Rule, Ruleset, parse
from awsgluedq._rules import PRIMARY, Data, Outcome

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["DQDLError", "EvaluateDataQuality"]

PUBLISHING = {
    "dataQualityEvaluationContext",
    "enableDataQualityCloudWatchMetrics",
    "enableDataQualityResultsPublishing",
    "resultsS3Prefix",
}
STRATEGY = "dataQualityResultsPublishing.strategy"  # what Glue Studio writes; nothing is published here
SCOPE, METHOD, CACHING = "observations.scope", "compositeRuleEvaluation.method", "performanceTuning.caching"
OUTCOMES = t.StructType(
    [
        t.StructField("Rule", t.StringType()),
        t.StructField("Outcome", t.StringType()),
        t.StructField("FailureReason", t.StringType()),
        t.StructField("EvaluatedMetrics", t.MapType(t.StringType(), t.DoubleType())),
        t.StructField("EvaluatedRule", t.StringType()),
    ]
)
LABELS = t.StructField("Labels", t.MapType(t.StringType(), t.StringType()))
AnyRule = Rule | Composite


class EvaluateDataQuality(GlueTransform):
    """Measures a frame by the rules of a DQDL ruleset."""

    def __call__(
        self, frame: DynamicFrame, ruleset: str, publishing_options: Mapping[str, Any] = NOTHING
    ) -> DynamicFrame:
        """One record for each rule: Rule, Outcome, FailureReason, EvaluatedMetrics, EvaluatedRule. DQDLError when the
        ruleset cannot be read."""
        made = _Evaluation(frame, ruleset, {}, publishing_options, NOTHING)
        return made.outcomes()

    def process_rows(
        self,
        frame: DynamicFrame,
        ruleset: str,
        publishing_options: Mapping[str, Any] = NOTHING,
        additional_options: Mapping[str, Any] = NOTHING,
        additional_data_sources: Mapping[str, DynamicFrame] = NOTHING,
    ) -> DynamicFrameCollection:
        """`ruleOutcomes`, `rowLevelOutcomes` and `originalData`. Rules find the frames of `additional_data_sources` by
        their names. DQDLError when the ruleset cannot be read."""
        made = _Evaluation(frame, ruleset, additional_data_sources, publishing_options, additional_options)
        frames = {
            "originalData": frame,
            "ruleOutcomes": made.outcomes(),
            "rowLevelOutcomes": made.rows(),
        }
        return DynamicFrameCollection(frames, frame.glue_ctx)


class _Evaluation:
    """One ruleset over one frame."""

    def __init__(
        self,
        frame: DynamicFrame,
        ruleset: str,
        others: Mapping[str, DynamicFrame],
        publishing: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> None:
        self.ruleset: Ruleset = parse(ruleset)
        self.frame, self.publishing, self.options = frame, dict(publishing or {}), dict(options or {})
        if unknown := sorted(set(self.publishing) - PUBLISHING):
            raise ValueError(f"EvaluateDataQuality: publishing_options {unknown} are unknown")
        if unknown := sorted(set(self.options) - {SCOPE, METHOD, CACHING, STRATEGY}):
            raise ValueError(f"EvaluateDataQuality: additional_options {unknown} are unknown")
        self.by_row = str(self.options.get(METHOD, "DATASET")).upper() == "ROW"
        data = frame.toDF()
        self.cached = str(self.options.get(CACHING, "CACHE_NOTHING")).upper() == "CACHE_INPUT"
        self.data = Data(data.cache() if self.cached else data, {name: one.toDF() for name, one in others.items()})
        self.spark: SparkSession = data.sparkSession

    def outcomes(self) -> DynamicFrame:
        """All rules, measured now."""
        with self._views():
            self._measure()
            found = [(rule, self._outcome(rule)) for rule in self.ruleset.rules]
            found += [(one, _analyzed(one, self.data)) for one in self.ruleset.analyzers]
        labelled = any(rule.labels for rule, _ in found)
        rows = [
            (
                rule.text,
                "Passed" if one.passed else "Failed",
                one.reason,
                dict(one.metrics),
                rule.text,
                *([dict(rule.labels)] if labelled else []),
            )
            for rule, one in found
            if rule not in self.ruleset.analyzers
        ]
        for rule, one in found:
            if rule in self.ruleset.analyzers:
                print(f"analyzer {rule.text}: {json.dumps(dict(one.metrics))}{one.reason or ''}")
        schema = t.StructType([*OUTCOMES.fields, *([LABELS] if labelled else [])])
        made = DynamicFrame(self.spark.createDataFrame(rows, schema), self.frame.glue_ctx, "ruleOutcomes")
        self._publish(made.toDF())
        return made

    def _measure(self) -> None:
        """The sums of all rules that need no pass of their own, in one."""
        wanted: dict[str, Column] = {}
        for rule in _single(self.ruleset.rules):
            if rule.where is None:
                with contextlib.suppress(_rules.Unmeasurable):  # it says so itself when its turn comes
                    wanted |= dict(_rules.sums(rule, self.data))
        if wanted and self.data.frame.columns:
            names = list(wanted)
            row = self.data.frame.agg(*(wanted[name].alias(f"s{n}") for n, name in enumerate(names))).collect()[0]
            self.data.known.update({name: row[n] for n, name in enumerate(names)})

    def _outcome(self, rule: AnyRule) -> Outcome:
        if isinstance(rule, Rule):
            return _rules.evaluate(rule, self.data)
        if self.by_row and (test := self._test(rule)) is not None:
            good = self.data.frame.agg(f.sum(test.cast("bigint")).alias("n")).collect()[0]["n"] or 0
            ratio = _rules._ratio(good, self.data.rows())
            reason = None if ratio == 1.0 else f"Value: {ratio} does not meet the constraint requirement!"
            return Outcome(ratio == 1.0, reason, {"Dataset.*.RowCompliance": ratio})
        parts = [self._outcome(one) for one in rule.parts]
        passed = all(one.passed for one in parts) if rule.how == "and" else any(one.passed for one in parts)
        metrics = {name: value for one in parts for name, value in one.metrics.items()}
        reasons = [one.reason for one in parts if one.reason]
        return Outcome(passed, None if passed else "\n".join(reasons), metrics)

    def _test(self, rule: AnyRule) -> Column | None:
        """The test of a row; for a composite the tests of its parts together, None when one has none."""
        if isinstance(rule, Composite):
            tests = [one for one in map(self._test, rule.parts) if one is not None]
            if len(tests) != len(rule.parts):
                return None
            made = tests[0]
            for one in tests[1:]:
                made = made & one if rule.how == "and" else made | one
            return made
        try:
            return _outside(rule) | test if (test := _rules.row_test(rule, self.data)) is not None else None
        except _rules.Unmeasurable:
            return None

    # ---- rows

    def rows(self) -> DynamicFrame:
        """The records with what they pass. With `observations.scope` NONE nothing is said of them."""
        frame, passing, failing, skipped = self.data.frame, [], [], []
        if str(self.options.get(SCOPE, "ALL")).upper() != "NONE":
            with self._views():
                for n, rule in enumerate(self.ruleset.rules):
                    marked = self._marked(frame, rule, f"\0rule{n}")
                    if marked is None:
                        skipped.append(rule.text)
                        continue
                    frame = marked
                    text, holds = f.lit(rule.text), frame[f"\0rule{n}"]
                    passing.append(f.when(holds, text))
                    failing.append(f.when(~holds, text))
        columns = [frame[_rules.tick(name)] for name in self.data.frame.columns]
        made = frame.select(
            *columns,
            _strings(passing).alias("DataQualityRulesPass"),
            _strings(failing).alias("DataQualityRulesFail"),
            _strings([f.lit(one) for one in skipped]).alias("DataQualityRulesSkip"),
        )
        failed = f.size(f.col("DataQualityRulesFail")) > 0
        made = made.withColumn("DataQualityEvaluationResult", f.when(failed, "Failed").otherwise("Passed"))
        return DynamicFrame(made, self.frame.glue_ctx, "rowLevelOutcomes")

    def _marked(self, frame: DataFrame, rule: AnyRule, name: str) -> DataFrame | None:
        if (test := self._test(rule)) is not None:
            return frame.withColumn(name, f.coalesce(test, f.lit(False)))
        if isinstance(rule, Composite):
            return None
        try:
            marked = _rules.marked(rule, Data(frame, self.data.others), name)
        except _rules.Unmeasurable:
            return None
        return None if marked is None else marked.withColumn(name, _outside(rule) | marked[name])

    # ---- around

    @contextlib.contextmanager
    def _views(self) -> Iterator[None]:
        """CustomSql finds the data sets by their names."""
        views = {PRIMARY: self.data.frame, **self.data.others}
        for name, frame in views.items():
            frame.createOrReplaceTempView(name)
        try:
            yield
        finally:
            for name in views:
                self.spark.catalog.dropTempView(name)

    def _publish(self, outcomes: DataFrame) -> None:
        if prefix := str(self.publishing.get("resultsS3Prefix") or ""):
            prefix = prefix if "://" in prefix else f"s3://{prefix}"
            place = f"{prefix.rstrip('/')}/{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
            outcomes.coalesce(1).write.mode("append").json(place)
        if str(self.publishing.get("enableDataQualityCloudWatchMetrics", "")).lower() == "true":
            print("data quality: metrics are not published to CloudWatch here", file=sys.stderr)


def _single(rules: Sequence[AnyRule]) -> Iterator[Rule]:
    for one in rules:
        if isinstance(one, Composite):
            yield from _single(one.parts)
        else:
            yield one


def _analyzed(rule: Rule, data: Data) -> Outcome:
    """What an analyzer measures; it judges nothing."""
    try:
        found = _rules.MEASURES[rule.kind](rule, data)
    except (_rules.Unmeasurable, AssertionError) as error:
        return Outcome(False, str(error) or f"{rule.kind} is no analyzer")
    return found if isinstance(found, Outcome) else Outcome(True, None, found[0])


def _outside(rule: Rule) -> Column:
    """Rows that a rule's `where` leaves out pass."""
    return f.lit(False) if rule.where is None else ~f.coalesce(f.expr(rule.where), f.lit(False))


def _strings(values: Sequence[Column]) -> Column:
    """The texts that are there, as an array."""
    if not values:
        return f.array().cast("array<string>")
    return f.filter(f.array(*values), lambda one: one.isNotNull())
