# AWS docs, "DynamicFrame class", errors: a function that raises makes an error record
numbers = frame([{"n": 1}, {"n": 0}, {"n": 4}])


def inverse(rec):
    rec["i"] = 1 / rec["n"]
    return rec


made = numbers.map(inverse, info="inverting")
print(made.count(), made.errorsCount(), made.stageErrorsCount())
later = made.select_fields(["n"]).filter(lambda rec: rec["nope"])
print(later.count(), later.stageErrorsCount(), later.errorsCount())
errors = ErrorsAsDynamicFrame.apply(made)
errors.select_fields(["error.msg", "error.dynamicRecord"]).show()
print(errors.toDF().head()["error"]["callsite"]["info"])
made.assertErrorThreshold()
for limits in ({"stageThreshold": 1}, {"stageThreshold": 2}, {"totalThreshold": 1}):
    try:
        print(limits, numbers.map(inverse, **limits).toDF().count())
    except ErrorThresholdExceeded as error:
        print("failed:", error)
