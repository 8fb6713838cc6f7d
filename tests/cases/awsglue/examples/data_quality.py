# AWS docs, "EvaluateDataQuality class" and "Data Quality Definition Language reference"
areas = frame(
    [
        {"id": 1, "cat": "a", "amount": 10.5, "num": "12"},
        {"id": 2, "cat": "b", "amount": None, "num": "13"},
        {"id": 3, "cat": "b", "amount": 7.0, "num": "z"},
    ]
)
results = EvaluateDataQuality.apply(
    frame=areas,
    ruleset="""Rules = [ColumnExists "id", IsComplete "id"]""",
    publishing_options={"dataQualityEvaluationContext": "areas", "enableDataQualityResultsPublishing": True},
)
results.printSchema()
results.show()
RULES = """Rules = [
    RowCount between 2 and 8, RowCount > 100, ColumnCount = 4, IsComplete "amount", Completeness "amount" > 0.5,
    IsUnique "cat", IsPrimaryKey "id", Mean "amount" > 8, StandardDeviation "amount" < 2, ColumnExists "nope",
    ColumnValues "amount" > 8, ColumnValues "cat" in ["a"] with threshold > 0.3, ColumnLength "cat" = 1,
    ColumnValues "num" matches "^[0-9]+$", ColumnDataType "num" = "INTEGER" with threshold > 0.6,
    CustomSql "select count(*) from primary where id > 1" = 2, ReferentialIntegrity "id" "known.id" >= 0.6,
    RowCountMatch "known" = 1.5, IsComplete "amount" where "id <> 2",
    (IsComplete "id") and (RowCount > 5), (IsComplete "amount") or (RowCount = 3)
]"""
dq = EvaluateDataQuality().process_rows(
    frame=areas,
    ruleset=RULES,
    additional_data_sources={"known": frame([{"id": 1}, {"id": 2}])},
    additional_options={"observations.scope": "ALL", "performanceTuning.caching": "CACHE_NOTHING"},
)
for row in SelectFromCollection.apply(dfc=dq, key="ruleOutcomes").toDF().collect():
    print(row.Outcome, row.Rule, row.FailureReason, sorted(row.EvaluatedMetrics.items()))
rows = dq["rowLevelOutcomes"].toDF()
print(rows.columns)
print(sorted((row.id, row.DataQualityEvaluationResult, row.DataQualityRulesFail) for row in rows.collect()))
for wrong in (
    "Rules = [\n  IsCompleet 'id'\n]",
    "Rules = [ RowCount > avg(last(3)) ]",
    'Rules = [ DetectAnomalies "RowCount" ]',
):
    try:
        EvaluateDataQuality.apply(areas, wrong)
    except DQDLError as error:
        print(error)
