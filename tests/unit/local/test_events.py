"""EventBridge without a server: what a pattern matches, what a target is given, what the catalog tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from millpond.local.events import parse_pattern
from millpond.local.events.delivery import kind_of, shaped
from millpond.local.glue.announcements import announced
from millpond.local.patterns import matches
from millpond.local.service import Announcement, AwsError, Call, Clock, Endpoint
from millpond.local.store import Store

EVENT = {
    "version": "0",
    "id": "e-1",
    "detail-type": "Glue Job State Change",
    "source": "aws.glue",
    "time": "2026-01-02T03:04:05Z",
    "resources": ["arn:aws:glue:us-east-1:000000000000:job/load"],
    "detail": {"jobName": "load", "state": "FAILED", "rows": 5, "ok": False, "why": None, "ip": "10.0.0.7",
               "steps": [{"n": 1}, {"n": 2}], "say": 'a "b"'},
}  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"source": ["aws.glue"]}, True),
        ({"source": ["aws.states"]}, False),
        ({"source": ["aws.glue"], "detail": {"state": ["FAILED", "TIMEOUT"], "jobName": [{"prefix": "lo"}]}}, True),
        ({"detail": {"state": [{"anything-but": ["SUCCEEDED", "STOPPED"]}]}}, True),
        ({"detail": {"state": [{"anything-but": "FAILED"}]}}, False),
        ({"detail": {"state": [{"anything-but": {"prefix": ["FA", "X"]}}]}}, False),
        ({"detail": {"state": [{"equals-ignore-case": "failed"}], "jobName": [{"suffix": "ad"}]}}, True),
        ({"detail": {"jobName": [{"prefix": {"equals-ignore-case": "LO"}}]}}, True),
        ({"detail": {"rows": [{"numeric": [">", 1, "<=", 5]}]}}, True),
        ({"detail": {"rows": [{"numeric": ["<", 5]}]}}, False),
        ({"detail": {"rows": [5]}}, True),
        ({"detail": {"rows": ["5"]}}, False),
        ({"detail": {"ok": [False], "why": [None]}}, True),
        ({"detail": {"ok": [0]}}, False),
        ({"detail": {"nothing": [{"exists": False}], "rows": [{"exists": True}]}}, True),
        ({"detail": {"none": {"of": [{"exists": False}]}}}, True),
        ({"detail": {"nothing": [{"anything-but": "x"}]}}, False),
        ({"detail": {"ip": [{"cidr": "10.0.0.0/24"}]}}, True),
        ({"detail": {"ip": [{"cidr": "10.1.0.0/24"}]}}, False),
        ({"resources": [{"wildcard": "arn:*:job/*"}]}, True),
        ({"resources": [{"wildcard": "arn:*:job"}]}, False),
        ({"detail": {"jobName": [{"wildcard": "l*a*d"}]}}, True),
        ({"detail": {"steps": {"n": [2]}}}, True),
        ({"detail": {"steps": {"n": [3]}}}, False),
        ({"$or": [{"source": ["x"]}, {"detail": {"rows": [5]}}]}, True),
        ({"detail-type": ["Glue Job State Change"], "$or": [{"source": ["x"]}, {"source": ["y"]}]}, False),
    ],
)
def test_patterns(pattern: dict[str, Any], expected: bool) -> None:
    assert matches(parse_pattern(json.dumps(pattern)), EVENT) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"source": "aws.glue"}',
        '{"source": []}',
        '{"source": [[1]]}',
        '{"a": [{"nope": 1}]}',
        '{"a": [{"numeric": ["<"]}]}',
        '{"a": [{"cidr": "x"}]}',
        '{"a": [{"exists": "yes"}]}',
        '{"a": [{"prefix": "x", "suffix": "y"}]}',
        '{"a": [{"wildcard": "a**b"}]}',
        '{"a": [{"anything-but": {"numeric": ["<", 1]}}]}',
    ],
)
def test_patterns_that_are_none(text: str) -> None:
    with pytest.raises(AwsError) as caught:
        parse_pattern(text)
    assert caught.value.code == "InvalidEventPatternException"


RULE = "arn:aws:events:us-east-1:000000000000:rule/failed"
NAMES = {"job": "$.detail.jobName", "rows": "$.detail.rows", "say": "$.detail.say", "step": "$.detail.steps[1]"}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({}, json.dumps(EVENT)),
        ({"Input": '{"fixed": 1}'}, '{"fixed": 1}'),
        ({"InputPath": "$.detail.jobName"}, '"load"'),
        ({"InputPath": "$.detail-type"}, '"Glue Job State Change"'),
        ({"InputPath": "$.resources[0]"}, json.dumps(EVENT["resources"][0])),
        ({"InputPath": "$.detail.none"}, "null"),
        ({"InputTransformer": {"InputPathsMap": NAMES, "InputTemplate": '"Job <job>: <rows> rows"'}},
         '"Job load: 5 rows"'),
        ({"InputTransformer": {"InputPathsMap": NAMES, "InputTemplate": '{"job": <job>, "n": <rows>, "s": <step>}'}},
         '{"job": "load", "n": 5, "s": {"n": 2}}'),
        ({"InputTransformer": {"InputPathsMap": NAMES, "InputTemplate": '{"a": "<say>!", "b": <say>}'}},
         '{"a": "a \\"b\\"!", "b": "a \\"b\\""}'),
        ({"InputTransformer": {"InputTemplate": '"<aws.events.rule-name> at <aws.events.event.ingestion-time> <no>"'}},
         '"failed at 2026-01-02T03:04:05Z <no>"'),
    ],
)  # fmt: skip
def test_what_a_target_is_given(target: dict[str, Any], expected: str) -> None:
    assert shaped(target, EVENT, RULE) == expected


def test_which_targets_are_reached() -> None:
    arn = "arn:aws:{}:us-east-1:000000000000:{}"
    reached = [
        ("lambda", "function:f"),
        ("states", "stateMachine:m"),
        ("sns", "t"),
        ("sqs", "q"),
        ("glue", "workflow/w"),
    ]
    reached += [("logs", "log-group:/aws/events/x:*"), ("events", "event-bus/b")]
    assert [kind_of(arn.format(*one)) for one in reached] == [service for service, _ in reached]
    others = [arn.format("ecs", "cluster/c"), arn.format("glue", "job/j"), "arn", "", "x:" * 9]
    assert not any(kind_of(one) for one in others)


def test_what_operations_of_the_catalog_tell(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    endpoint = Endpoint(data=tmp_path, store=store, clock=Clock(), port=0, access_key="k", secret_key="s")
    heard: list[Announcement] = []
    answers: dict[str, Any] = {}

    def call(name: str, **params: Any) -> list[Any]:
        heard.clear()
        announced(endpoint, name, lambda params, call: answers)(params, Call("glue", name, ""))
        return [(one.detail_type.split()[3], one.tell()) for one in heard]

    assert call("CreateDatabase", DatabaseInput={"Name": "D"}) == []  # nobody listens
    endpoint.announcer = heard.append
    arn = "arn:aws:glue:us-east-1:000000000000:"
    detail: dict[str, Any] = {"databaseName": "d", "typeOfChange": "CreateDatabase", "changedTables": []}
    assert call("CreateDatabase", DatabaseInput={"Name": "D"}) == [("Database", ([f"{arn}database/d"], detail))]
    detail = {"databaseName": "d", "typeOfChange": "CreateTable", "changedTables": ["t"]}
    assert call("CreateTable", DatabaseName="D", TableInput={"Name": "T"}) == [
        ("Database", ([f"{arn}table/d/t"], detail))
    ]
    assert call("DeleteTable", DatabaseName="d", Name="t")[0][1][1]["changedTables"] == ["t"]
    detail = {"databaseName": "d", "tableName": "t", "typeOfChange": "UpdateTable", "changedPartitions": []}
    assert call("UpdateTable", DatabaseName="d", TableInput={"Name": "T"}) == [("Table", ([f"{arn}table/d/t"], detail))]
    at = {"DatabaseName": "d", "TableName": "t"}
    for name, given in (
        ("CreatePartition", {"PartitionInput": {"Values": ["2024", "01"]}}),
        ("UpdatePartition", {"PartitionValueList": ["2024", "01"], "PartitionInput": {}}),
        ("DeletePartition", {"PartitionValues": ["2024", "01"]}),
        ("BatchUpdatePartition", {"Entries": [{"PartitionValueList": ["2024", "01"], "PartitionInput": {}}]}),
        ("BatchDeletePartition", {"PartitionsToDelete": [{"Values": ["2024", "01"]}]}),
    ):
        ((kind, (_, told)),) = call(name, **at, **given)
        assert (kind, told["typeOfChange"], told["changedPartitions"]) == ("Table", name, ["[2024, 01]"])
    answers = {"Errors": [{"PartitionValues": ["1"], "ErrorDetail": {}}]}
    given = [{"Values": [str(n)]} for n in range(100)]
    ((_, (_, told)),) = call("BatchCreatePartition", **at, PartitionInputList=given)
    assert len(told["changedPartitions"]) == 99 and "[1]" not in told["changedPartitions"]
    answers = {"Errors": [{"TableName": "t7", "ErrorDetail": {}}]}
    told = [
        one[1][1]["changedTables"]
        for one in call("BatchDeleteTable", DatabaseName="d", TablesToDelete=[f"t{n}" for n in range(150)])
    ]
    assert [len(names) for names in told] == [100, 49]
    assert call("GetTable", DatabaseName="d", Name="t") == []
    store.close()
