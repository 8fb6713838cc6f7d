"""Distributed Maps through boto3: what readers find, what writers leave, Map Runs and their child executions."""

from __future__ import annotations

import gzip
import io
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from millpond.aws import runs
from millpond.aws.target import Target
from millpond.cli import render

ROLE = "arn:aws:iam::000000000000:role/flow"
PASS = {"Same": {"Type": "Pass", "End": True}}
PICKY = {
    "Ok": {"Type": "Choice", "Choices": [{"Variable": "$.n", "NumericLessThan": 0, "Next": "No"}], "Default": "Same"},
    "No": {"Type": "Fail", "Error": "Negative", "Cause": "below zero"},
    **PASS,
}
SEEN = {"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "of.$": "$$.Map.Item.Source"}


@pytest.fixture(scope="module")
def sfn(aws: Callable[[str], Any]) -> Any:
    return aws("stepfunctions")


@pytest.fixture(scope="module")
def bucket(aws: Callable[[str], Any]) -> str:
    name = f"maps-{uuid.uuid4()}"
    aws("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="module")
def put(aws: Callable[[str], Any], bucket: str) -> Callable[[str, bytes | str], None]:
    def put(key: str, body: bytes | str) -> None:
        aws("s3").put_object(Bucket=bucket, Key=key, Body=body)

    return put


def each(states: dict[str, Any] = PASS, *, kind: str = "STANDARD", **fields: Any) -> dict[str, Any]:
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind},
        "StartAt": next(iter(states)),
        "States": states,
    }
    return {"StartAt": "Each", "States": {"Each": {"Type": "Map", "ItemProcessor": processor, "End": True, **fields}}}


def start(sfn: Any, definition: dict[str, Any], value: Any = None) -> str:
    machine = sfn.create_state_machine(name=f"m-{uuid.uuid4()}", definition=json.dumps(definition), roleArn=ROLE)
    return sfn.start_execution(stateMachineArn=machine["stateMachineArn"], input=json.dumps(value or {}))[
        "executionArn"
    ]


def ended(sfn: Any, execution: str) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while (seen := sfn.describe_execution(executionArn=execution))["status"] == "RUNNING":
        assert time.monotonic() < deadline, "the execution does not end"
        time.sleep(0.02)
    return seen


def output(sfn: Any, definition: dict[str, Any], value: Any = None) -> Any:
    seen = ended(sfn, start(sfn, definition, value))
    assert seen["status"] == "SUCCEEDED", (seen["error"], seen["cause"])
    return json.loads(seen["output"])


def reader(bucket: str, key: str, kind: str, **config: Any) -> dict[str, Any]:
    return {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": kind, **config},
        "Parameters": {"Bucket": bucket, "Key": key},
    }


def refusal(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return caught.value.response["Error"]["Code"]


# ------------------------------------------------------------------------------------------------------------- readers

CSV = 'id,name,note\r\n1,"Ann, the first","said ""hi"""\r\n2,Bob\r\n3,C\\,D,x\\\\y,surplus\n\n4,"two\nlines",end'
CSV_ROWS = [
    {"id": "1", "name": "Ann, the first", "note": 'said "hi"'},
    {"id": "2", "name": "Bob", "note": ""},
    {"id": "3", "name": "C,D", "note": "x\\y"},
    {"id": "4", "name": "two\nlines", "note": "end"},
]
DEEP = {"skipped": [1, {"a": "]"}], "data": {"a/b": [{"n": 1}, {"n": -2.5e3}, "ü", None]}}
OBJECTS: list[tuple[str, str | bytes, dict[str, Any], list[Any]]] = [
    ("CSV", CSV, {"CSVHeaderLocation": "FIRST_ROW"}, CSV_ROWS),
    (
        "CSV",
        b"\xef\xbb\xbfa|b\n1|2\n",
        {"CSVHeaderLocation": "FIRST_ROW", "CSVDelimiter": "PIPE"},
        [{"a": "1", "b": "2"}],
    ),
    (
        "CSV",
        "1\t2\n",
        {"CSVHeaderLocation": "GIVEN", "CSVHeaders": ["x", "y"], "CSVDelimiter": "TAB"},
        [{"x": "1", "y": "2"}],
    ),
    ("CSV", "a\n1\n2\n3\n", {"CSVHeaderLocation": "FIRST_ROW", "MaxItems": 2}, [{"a": "1"}, {"a": "2"}]),
    ("CSV", gzip.compress(b"a\n1\n", mtime=0), {"CSVHeaderLocation": "FIRST_ROW"}, [{"a": "1"}]),
    ("CSV", "only,a,header\n", {"CSVHeaderLocation": "FIRST_ROW"}, []),
    ("JSON", json.dumps([1, "two", {"n": [3]}]), {}, [1, "two", {"n": [3]}]),
    ("JSON", json.dumps({"a": 1, "b": [2]}), {}, [{"Key": "a", "Value": 1}, {"Key": "b", "Value": [2]}]),
    ("JSON", json.dumps(DEEP), {"ItemsPointer": "/data/a~1b"}, DEEP["data"]["a/b"]),
    ("JSON", " [ ] ", {}, []),
    ("JSONL", '{"a": 1}\n\n[2]\r\n"x"', {}, [{"a": 1}, [2], "x"]),
]


@pytest.mark.parametrize(("kind", "body", "config", "items"), OBJECTS)
def test_an_object(sfn: Any, bucket: str, put: Any, kind: str, body: Any, config: dict[str, Any], items: Any) -> None:
    key = f"in/{uuid.uuid4()}"
    put(key, body)
    assert output(sfn, each(ItemReader=reader(bucket, key, kind, **config))) == items


def test_parquet_and_a_context_object(sfn: Any, bucket: str, put: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(pa.table({"n": [1, 2], "s": ["a", None]}), file)
    put("p.parquet", file.getvalue())
    shown = output(sfn, each(ItemReader=reader(bucket, "p.parquet", "PARQUET"), ItemSelector=SEEN))
    source = f"S3://{bucket}/p.parquet"
    rows = [{"n": 1, "s": "a"}, {"n": 2, "s": None}]
    assert shown == [{"i": i, "v": row, "of": source} for i, row in enumerate(rows)]
    put("no.parquet", b"PAR1 but not")
    seen = ended(sfn, start(sfn, each(ItemReader=reader(bucket, "no.parquet", "PARQUET"))))
    assert (seen["error"], seen["cause"][:37]) == ("States.ItemReaderFailed", "The Parquet file cannot be read: Parq")


def test_listings_as_they_are_and_loaded(sfn: Any, bucket: str, put: Any) -> None:
    for key, body in (("list/", b""), ("list/a.jsonl", "1\n2\n"), ("list/b.jsonl", "3\n")):
        put(key, body)
    listing: dict[str, Any] = {"Resource": "arn:aws:states:::s3:listObjectsV2"}
    listing["Parameters"] = {"Bucket": bucket, "Prefix.$": "$.prefix"}
    _, first, second = output(sfn, each(ItemReader=listing), {"prefix": "list/"})
    assert (first["Key"], first["Size"], first["StorageClass"], second["Key"]) == (
        "list/a.jsonl",
        4,
        "STANDARD",
        "list/b.jsonl",
    )
    assert first["Etag"].startswith('"') and abs(first["LastModified"] - time.time()) < 600
    listing["ReaderConfig"] = {"InputType": "JSONL", "Transformation": "LOAD_AND_FLATTEN"}
    shown = output(sfn, each(ItemReader=listing, ItemSelector=SEEN), {"prefix": "list/"})
    place = f"S3://{bucket}/list"
    assert [(item["v"], item["of"]) for item in shown] == [
        (1, f"{place}/a.jsonl"),
        (2, f"{place}/a.jsonl"),
        (3, f"{place}/b.jsonl"),
    ]


def test_manifests(sfn: Any, bucket: str, put: Any) -> None:
    put("inv/1.csv.gz", gzip.compress(b'"b","k1","7"\n"b","k2","8"\n'))
    manifest = {
        "sourceBucket": "b",
        "destinationBucket": f"arn:aws:s3:::{bucket}",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size",
        "files": [{"key": "inv/1.csv.gz", "size": 1, "MD5checksum": "x"}],
    }
    put("inv/manifest.json", json.dumps(manifest))
    rows = [{"Bucket": "b", "Key": "k1", "Size": "7"}, {"Bucket": "b", "Key": "k2", "Size": "8"}]
    assert output(sfn, each(ItemReader=reader(bucket, "inv/manifest.json", "MANIFEST"))) == rows
    put("out/1", '{"n":1}\n')
    put("out/2", gzip.compress(b'{"n":2}\n'))
    put("out-manifest.csv", f"s3://{bucket}/out/1\ns3://{bucket}/out/2\n")
    athena = reader(bucket, "out-manifest.csv", "JSONL", ManifestType="ATHENA_DATA")
    assert output(sfn, each(ItemReader=athena)) == [{"n": 1}, {"n": 2}]


def test_a_reader_in_jsonata(sfn: Any, bucket: str, put: Any) -> None:
    put("j.json", "[1, 2, 3]")
    read = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON", "MaxItems": "{% $states.input.most %}"},
        "Arguments": {"Bucket": bucket, "Key": "{% $states.input.key %}"},
    }
    batches = {"MaxItemsPerBatch": "{% 1 + 1 %}", "BatchInput": {"day": "{% $states.input.day %}"}}
    selected = {"n": "{% $states.context.Map.Item.Value %}"}
    definition = each(ItemReader=read, ItemBatcher=batches, ItemSelector=selected) | {"QueryLanguage": "JSONata"}
    shown = output(sfn, definition, {"key": "j.json", "most": 3, "day": 7})
    assert shown == [
        {"BatchInput": {"day": 7}, "Items": [{"n": 1}, {"n": 2}]},
        {"BatchInput": {"day": 7}, "Items": [{"n": 3}]},
    ]


@pytest.mark.parametrize(
    ("kind", "body", "cause"),
    [
        ("JSON", None, "The specified key does not exist."),
        ("JSON", "7", "Attempting to map over non-iterable node."),
        ("JSON", "[1, 2", "not valid JSON"),
        ("JSON", "", "not valid JSON"),
        ("JSONL", "{}\n{", "Line 2"),
        ("CSV", "", "empty"),
        ("CSV", b"a\n\xff\n", "not UTF-8"),
        ("CSV", "x" * 10_241 + "\n", "10 KiB"),
        ("MANIFEST", "[]", "manifest"),
    ],
)
def test_what_cannot_be_read(sfn: Any, bucket: str, put: Any, kind: str, body: Any, cause: str) -> None:
    key = f"bad/{uuid.uuid4()}"
    if body is not None:
        put(key, body)
    config = {"CSVHeaderLocation": "FIRST_ROW"} if kind == "CSV" else {}
    execution = start(sfn, each(ItemReader=reader(bucket, key, kind, **config)))
    seen = ended(sfn, execution)
    assert (seen["status"], seen["error"]) == ("FAILED", "States.ItemReaderFailed")
    assert cause in seen["cause"]
    (run,) = sfn.list_map_runs(executionArn=execution)["mapRuns"]
    shown = sfn.describe_map_run(mapRunArn=run["mapRunArn"])
    assert (shown["status"], shown["itemCounts"]["total"]) == ("FAILED", 0)


# ------------------------------------------------------------------------------------------------------------- writers


def written(aws: Any, shown: dict[str, Any]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The manifest, and the records of each kind."""
    s3, place = aws("s3"), shown["ResultWriterDetails"]
    load = lambda key: s3.get_object(Bucket=place["Bucket"], Key=key)["Body"].read()  # noqa: E731
    manifest = json.loads(load(place["Key"]))
    found: dict[str, list[Any]] = {}
    for kind, files in manifest["ResultFiles"].items():
        found[kind] = []
        for file in files:
            raw = load(file["Key"])
            assert len(raw) == file["Size"]
            parsed = json.loads(raw) if file["Key"].endswith(".json") else [json.loads(x) for x in raw.splitlines()]
            found[kind] += parsed
    return manifest, found


def writer(bucket: str, **config: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "Resource": "arn:aws:states:::s3:putObject",
        "Parameters": {"Bucket": bucket, "Prefix": "results"},
    }
    return made | ({"WriterConfig": config} if config else {})


def test_results_go_to_files(sfn: Any, aws: Any, bucket: str) -> None:
    items = [{"n": 1}, {"n": -1}, {"n": 2}]
    definition = each(PICKY, ResultWriter=writer(bucket), ToleratedFailureCount=1, Label="picky")
    execution = start(sfn, definition, items)
    shown = json.loads(ended(sfn, execution)["output"])
    manifest, found = written(aws, shown)
    run = shown["MapRunArn"].rpartition(":")[2]
    assert shown["ResultWriterDetails"]["Key"] == f"results/{run}/manifest.json"
    assert manifest["DestinationBucket"] == bucket and manifest["MapRunArn"] == shown["MapRunArn"]
    assert [file["Key"] for file in manifest["ResultFiles"]["SUCCEEDED"]] == [f"results/{run}/SUCCEEDED_0.json"]
    first, second = found["SUCCEEDED"]
    assert (first["Input"], first["Output"], first["Status"]) == ('{"n":1}', '{"n":1}', "SUCCEEDED")
    assert (json.loads(second["Output"]), found["PENDING"]) == ({"n": 2}, [])
    (failed,) = found["FAILED"]
    assert (failed["Error"], failed["Cause"], failed["Status"]) == ("Negative", "below zero", "FAILED")
    assert first["ExecutionArn"] == f"{failed['ExecutionArn'].rpartition(':')[0]}:{first['Name']}"
    counts = sfn.describe_map_run(mapRunArn=shown["MapRunArn"])
    assert counts["executionCounts"]["resultsWritten"] == counts["itemCounts"]["resultsWritten"] == 3


@pytest.mark.parametrize(
    ("config", "results"),
    [
        ({"Transformation": "COMPACT", "OutputType": "JSON"}, [[1, 2], 3]),
        ({"Transformation": "FLATTEN", "OutputType": "JSONL"}, [1, 2, 3]),
    ],
)
def test_transformed_results(sfn: Any, aws: Any, bucket: str, config: dict[str, str], results: list[Any]) -> None:
    shown = output(sfn, each(ResultWriter=writer(bucket, **config)), [[1, 2], 3])
    assert written(aws, shown)[1]["SUCCEEDED"] == results
    assert shown["ResultWriterDetails"]["Bucket"] == bucket
    assert output(sfn, each(ResultWriter={"WriterConfig": config}), [[1, 2], 3]) == results


def test_a_bucket_that_does_not_exist(sfn: Any) -> None:
    seen = ended(sfn, start(sfn, each(ResultWriter=writer("no-such-bucket-at-all")), [1]))
    assert (seen["status"], seen["error"]) == ("FAILED", "States.ResultWriterFailed")


def test_what_a_failed_map_run_writes(sfn: Any, aws: Any, bucket: str) -> None:
    definition = each(PICKY, ResultWriter=writer(bucket), MaxConcurrency=1)
    execution = start(sfn, definition, [{"n": 1}, {"n": -1}, {"n": 2}])
    assert ended(sfn, execution)["error"] == "States.ExceedToleratedFailureThreshold"
    (run,) = sfn.list_map_runs(executionArn=execution)["mapRuns"]
    key = f"results/{run['mapRunArn'].rpartition(':')[2]}/manifest.json"
    _, found = written(aws, {"ResultWriterDetails": {"Bucket": bucket, "Key": key}})
    assert {kind: [json.loads(each["Input"])["n"] for each in records] for kind, records in found.items()} == {
        "SUCCEEDED": [1],
        "FAILED": [-1],
        "PENDING": [2],
    }
    counts = sfn.describe_map_run(mapRunArn=run["mapRunArn"])["executionCounts"]
    assert (counts["succeeded"], counts["failed"], counts["pending"], counts["total"]) == (1, 1, 1, 3)


# ------------------------------------------------------------------------------------------------- Map Runs, children


def test_a_map_run_and_its_children(sfn: Any) -> None:
    items = [{"n": n} for n in (1, -1, 2, -2, 3)]
    definition = each(PICKY, Label="picky", ToleratedFailurePercentage=50, MaxConcurrency=2)
    execution = start(sfn, definition, items)
    ended(sfn, execution)
    (run,) = sfn.list_map_runs(executionArn=execution)["mapRuns"]
    shown = sfn.describe_map_run(mapRunArn=run["mapRunArn"])
    assert (shown["status"], shown["executionArn"], shown["maxConcurrency"]) == ("SUCCEEDED", execution, 2)
    assert (shown["toleratedFailurePercentage"], shown["toleratedFailureCount"], shown["redriveCount"]) == (50.0, 0, 0)
    exact = {"pending": 0, "running": 0, "succeeded": 3, "failed": 2, "timedOut": 0, "aborted": 0, "total": 5}
    exact |= {"resultsWritten": 0, "failuresNotRedrivable": 0, "pendingRedrive": 0}
    assert shown["itemCounts"] == shown["executionCounts"] == exact
    assert shown["stopDate"] >= shown["startDate"]

    pages = sfn.get_paginator("list_executions").paginate(mapRunArn=run["mapRunArn"], PaginationConfig={"PageSize": 2})
    children = [child for page in pages for child in page["executions"]]
    machine = run["stateMachineArn"].rpartition("/")[0]
    assert len({child["executionArn"] for child in children}) == 5
    assert {child["itemCount"] for child in children} == {1}
    assert {child["mapRunArn"] for child in children} == {run["mapRunArn"]}
    assert {child["stateMachineArn"] for child in children} == {f"{machine}/picky"}
    assert [child["executionArn"] for child in sfn.list_executions(stateMachineArn=machine)["executions"]] == [
        execution
    ]
    failed = sfn.list_executions(mapRunArn=run["mapRunArn"], statusFilter="FAILED")["executions"]
    assert len(failed) == 2

    one = failed[0]["executionArn"]
    assert one.startswith(f"{machine.replace(':stateMachine:', ':execution:')}/picky:")
    seen = sfn.describe_execution(executionArn=one)
    assert (seen["mapRunArn"], seen["error"], seen["status"]) == (run["mapRunArn"], "Negative", "FAILED")
    assert (seen["redriveStatus"], seen["stateMachineArn"]) == ("REDRIVABLE_BY_MAP_RUN", f"{machine}/picky")
    events = sfn.get_execution_history(executionArn=one)["events"]
    assert [event["type"] for event in events] == [
        "ExecutionStarted",
        "ChoiceStateEntered",
        "ChoiceStateExited",
        "FailStateEntered",
        "ExecutionFailed",
    ]
    assert json.loads(events[0]["executionStartedEventDetails"]["input"])["n"] < 0
    of = sfn.describe_state_machine_for_execution(executionArn=one)
    assert (of["label"], of["mapRunArn"], json.loads(of["definition"])) == ("picky", run["mapRunArn"], definition)
    assert refusal(sfn.redrive_execution, executionArn=one) == "ExecutionNotRedrivable"


def test_batches_are_counted_by_item(sfn: Any) -> None:
    execution = start(sfn, each(ItemBatcher={"MaxItemsPerBatch": 2}), [1, 2, 3])
    ended(sfn, execution)
    (run,) = sfn.list_map_runs(executionArn=execution)["mapRuns"]
    shown = sfn.describe_map_run(mapRunArn=run["mapRunArn"])
    assert (shown["itemCounts"]["succeeded"], shown["executionCounts"]["succeeded"]) == (3, 2)
    counts = [child["itemCount"] for child in sfn.list_executions(mapRunArn=run["mapRunArn"])["executions"]]
    assert counts == [1, 2]


def test_express_children_are_described_and_keep_no_history(sfn: Any) -> None:
    inner = {"Say": {"Type": "Pass", "Parameters": {"id.$": "$$.Execution.Id"}, "End": True}}
    execution = start(sfn, each(inner, kind="EXPRESS", Label="quick"), [1, 2])
    first, _ = json.loads(ended(sfn, execution)["output"])
    assert ":express:" in first["id"] and "/quick:" in first["id"]
    (run,) = sfn.list_map_runs(executionArn=execution)["mapRuns"]
    assert sfn.describe_map_run(mapRunArn=run["mapRunArn"])["executionCounts"]["succeeded"] == 2
    seen = sfn.describe_execution(executionArn=first["id"])
    assert (seen["status"], seen["mapRunArn"], json.loads(seen["output"])) == ("SUCCEEDED", run["mapRunArn"], first)
    assert len(sfn.list_executions(mapRunArn=run["mapRunArn"])["executions"]) == 2
    for call in (sfn.get_execution_history, sfn.stop_execution, sfn.describe_state_machine_for_execution):
        assert refusal(call, executionArn=first["id"]) == "InvalidArn"


def test_nested_map_runs(sfn: Any) -> None:
    inner = each(PASS, Label="inner")["States"]["Each"]
    execution = start(sfn, each({"Inner": inner}, Label="outer"), [[1, 2], [3]])
    assert json.loads(ended(sfn, execution)["output"]) == [[1, 2], [3]]
    (outer,) = sfn.list_map_runs(executionArn=execution)["mapRuns"]
    children = sfn.list_executions(mapRunArn=outer["mapRunArn"])["executions"]
    found = [sfn.list_map_runs(executionArn=child["executionArn"])["mapRuns"] for child in children]
    assert [len(runs) for runs in found] == [1, 1]
    grandchildren = sfn.list_executions(mapRunArn=found[1][0]["mapRunArn"])["executions"]
    assert len(grandchildren) == 2
    assert sfn.describe_execution(executionArn=grandchildren[0]["executionArn"])["output"] in "12"


def test_update_and_stop(sfn: Any) -> None:
    wait = {"Nap": {"Type": "Wait", "SecondsPath": "$.s", "End": True}}
    execution = start(sfn, each(wait, MaxConcurrency=1, Label="nap"), [{"s": 600}] * 3 + [{"s": 0}])
    deadline = time.monotonic() + 120
    while not (runs := sfn.list_map_runs(executionArn=execution)["mapRuns"]):
        assert time.monotonic() < deadline
    arn = runs[0]["mapRunArn"]

    def counts(**wanted: int) -> None:
        deadline = time.monotonic() + 120
        while True:
            shown = sfn.describe_map_run(mapRunArn=arn)["executionCounts"]
            if all(shown[name] == number for name, number in wanted.items()):
                return
            assert time.monotonic() < deadline, shown
            time.sleep(0.02)

    counts(running=1, pending=3, total=4)
    sfn.update_map_run(mapRunArn=arn, maxConcurrency=2, toleratedFailureCount=1)
    counts(running=2, pending=2)
    shown = sfn.describe_map_run(mapRunArn=arn)
    assert (shown["maxConcurrency"], shown["toleratedFailureCount"], shown["status"]) == (2, 1, "RUNNING")
    child = sfn.list_executions(mapRunArn=arn, statusFilter="RUNNING")["executions"][0]["executionArn"]
    sfn.stop_execution(executionArn=child, error="Enough", cause="of it")
    seen = sfn.describe_execution(executionArn=child)
    assert (seen["status"], seen["error"]) == ("ABORTED", "Enough")
    counts(running=2, aborted=1, pending=1)
    sfn.stop_execution(executionArn=execution)
    assert ended(sfn, execution)["status"] == "ABORTED"
    assert sfn.describe_map_run(mapRunArn=arn)["status"] == "ABORTED"
    counts(running=0, aborted=3, pending=1, total=4)
    assert refusal(sfn.update_map_run, mapRunArn=arn, maxConcurrency=5) == "ValidationException"


def test_refusals(sfn: Any) -> None:
    execution = start(sfn, each(), [1])
    ended(sfn, execution)
    arn = sfn.list_map_runs(executionArn=execution)["mapRuns"][0]["mapRunArn"]
    for call in (sfn.describe_map_run, sfn.update_map_run, sfn.list_executions):
        assert refusal(call, mapRunArn="arn:aws:states:us-east-1:000000000000:mapRun") == "InvalidArn"
        assert refusal(call, mapRunArn=arn[:-12] + "000000000000") == "ResourceNotFound"
    assert refusal(sfn.list_executions, mapRunArn=arn, stateMachineArn=execution) == "ValidationException"
    assert refusal(sfn.list_executions, mapRunArn=arn, nextToken="forged") == "InvalidToken"


def test_a_redrive_runs_what_did_not_succeed(sfn: Any) -> None:
    activity = sfn.create_activity(name=f"a-{uuid.uuid4()}")["activityArn"]
    states = {"Ask": {"Type": "Task", "Resource": activity, "End": True}}
    execution = start(sfn, each(states, MaxConcurrency=1, Label="asked"), [1, 2, 3])

    def answer(error: str | None = None) -> str:
        task = sfn.get_activity_task(activityArn=activity)
        if error is not None:
            sfn.send_task_failure(taskToken=task["taskToken"], error=error)
        else:
            sfn.send_task_success(taskToken=task["taskToken"], output=task["input"])
        return task["input"]

    assert [answer(), answer("Boom")] == ["1", "2"]
    assert ended(sfn, execution)["error"] == "States.ExceedToleratedFailureThreshold"
    sfn.redrive_execution(executionArn=execution)
    task = sfn.get_activity_task(activityArn=activity)
    (run,) = sfn.list_map_runs(executionArn=execution)["mapRuns"]
    shown = sfn.describe_map_run(mapRunArn=run["mapRunArn"])
    assert (shown["status"], shown["redriveCount"]) == ("RUNNING", 1) and "redriveDate" in shown
    assert (shown["executionCounts"]["succeeded"], shown["executionCounts"]["running"]) == (1, 1)
    sfn.send_task_success(taskToken=task["taskToken"], output="20")
    assert answer() == "3"
    assert json.loads(ended(sfn, execution)["output"]) == [1, 20, 3]
    redriven = sfn.list_executions(mapRunArn=run["mapRunArn"], redriveFilter="REDRIVEN")["executions"]
    assert [child["redriveCount"] for child in redriven] == [1]
    types = [event["type"] for event in sfn.get_execution_history(executionArn=redriven[0]["executionArn"])["events"]]
    assert types[-6:] == [
        "ExecutionRedriven",
        "ActivityScheduled",
        "ActivityStarted",
        "ActivitySucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]


def test_a_redrive_reads_and_writes_again(sfn: Any, aws: Any, bucket: str, put: Any) -> None:
    """A Map Run that could not read has no children: another one takes its place. One that could not write goes on."""
    late, key = f"late-{uuid.uuid4()}", f"late/{uuid.uuid4()}"
    definition = each(ItemReader=reader(bucket, key, "JSON"), ResultWriter=writer(late))
    execution = start(sfn, definition)
    assert ended(sfn, execution)["error"] == "States.ItemReaderFailed"
    put(key, "[1, 2]")
    sfn.redrive_execution(executionArn=execution)
    assert ended(sfn, execution)["error"] == "States.ResultWriterFailed"
    put(key, "[3]")  # the items are those that were read
    aws("s3").create_bucket(Bucket=late)
    sfn.redrive_execution(executionArn=execution)
    shown = json.loads(ended(sfn, execution)["output"])
    assert [record["Output"] for record in written(aws, shown)[1]["SUCCEEDED"]] == ["1", "2"]
    failed, second = [
        sfn.describe_map_run(mapRunArn=run["mapRunArn"]) for run in sfn.list_map_runs(executionArn=execution)["mapRuns"]
    ]
    assert (failed["status"], failed["redriveCount"]) == ("FAILED", 0)
    assert (second["status"], second["redriveCount"], second["executionCounts"]["total"]) == ("SUCCEEDED", 1, 2)


def test_children_log_where_their_machine_does(sfn: Any, aws: Any) -> None:
    group = f"/maps/{uuid.uuid4()}"
    aws("logs").create_log_group(logGroupName=group)
    arn = aws("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["arn"]
    machine = sfn.create_state_machine(
        name=f"m-{uuid.uuid4()}",
        definition=json.dumps(each(Label="logged")),
        roleArn=ROLE,
        loggingConfiguration={
            "level": "ALL",
            "includeExecutionData": True,
            "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": arn}}],
        },
    )["stateMachineArn"]
    execution = sfn.start_execution(stateMachineArn=machine, input="[1, 2]")["executionArn"]
    ended(sfn, execution)
    lines = [json.loads(event["message"]) for event in aws("logs").filter_log_events(logGroupName=group)["events"]]
    children = {line["execution_arn"] for line in lines} - {execution}
    assert len(children) == 2 and all("/logged:" in child for child in children)
    assert sum(line["type"] == "PassStateEntered" for line in lines) == 2


def test_what_people_are_shown_of_a_map_run(sfn: Any, endpoint: Any) -> None:
    """How many items did what; and of a failure the child's own."""
    states = {
        "Odd": {
            "Type": "Choice",
            "Choices": [{"Variable": "$", "NumericEquals": 2, "Next": "No"}],
            "Default": "Yes",
        },
        "Yes": {"Type": "Pass", "End": True},
        "No": {"Type": "Fail", "Error": "Two", "Cause": "it was two"},
    }
    execution = start(sfn, each(states, ItemsPath="$.x", MaxConcurrency=1), {"x": [1, 2, 3]})
    assert ended(sfn, execution)["status"] == "FAILED"
    target = Target("local", endpoint.region, endpoint.url, endpoint.access_key, endpoint.secret_key)
    run = runs.get(target, execution)
    assert render.tree(run).splitlines()[-1].split()[:2] == ["FAIL", "Each"]
    assert "1 of 3 items, 1 failed" in render.tree(run)
    said = render.failure(run, runs.explain(target, run))
    assert "Each failed: States.ExceedToleratedFailureThreshold" in said
    assert "A child failed: Two  it was two" in said
    (step,) = runs.to_json(run)["steps"]
    assert step["items"]["pending"] == 1 and step["mapRunArn"]
    child = runs.get(target, runs.explain(target, run).child)
    assert f"millpond show {child.arn}" in said
    said = render.failure(child, runs.explain(target, child))
    assert "the run failed: Two  it was two" in said and f"millpond show {child.arn}" in said
