"""S7 in small: the process dies at every call of an operation; after a restart the end is that of a clean run."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

ROLE = "arn:aws:iam::000000000000:role/any"


def template(*, later: bool) -> str:
    resources: dict[str, Any] = {
        "Db": {"Type": "AWS::Glue::Database", "Properties": {"CatalogId": "1", "DatabaseInput": {"Name": "db"}}},
        "Job": {
            "Type": "AWS::Glue::Job",
            "Properties": {"Name": "j", "Role": ROLE, "Command": {}, "Timeout": 1},
            "DependsOn": "Db",
        },
        "Crawler": {
            "Type": "AWS::Glue::Crawler",
            "Properties": {"Role": ROLE, "DatabaseName": {"Ref": "Db"}, "Targets": {}},
        },
        "Flow": {"Type": "AWS::Glue::Workflow", "DependsOn": "Job"},
    }
    if later:
        resources["Db"]["Properties"]["DatabaseInput"]["Name"] = "db2"
        resources["Job"]["Properties"]["Timeout"] = 2
        del resources["Flow"]
        resources["Flow2"] = {"Type": "AWS::Glue::Workflow", "DependsOn": "Job"}
    return json.dumps({"Resources": resources, "Outputs": {"Crawler": {"Value": {"Ref": "Crawler"}}}})


def shape(cloud: Any) -> list[str]:
    """The dump without the random part of generated names."""
    return sorted(f"{key.rpartition('-')[0] or key} {value}" for key, value in cloud.dump().items())


CREATED = ["crawler lake-Crawler", "database db", "job j", "workflow lake-Flow"]
UPDATED = ["crawler lake-Crawler", "database db2", "job j", "workflow lake-Flow2"]


def names(cloud: Any) -> list[str]:
    return sorted(key.rpartition("-")[0] or key for key in cloud.dump())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 5))
def test_killed_create_is_finished(room: Any, cloud: Any, number: int, after: bool) -> None:
    cloud.die_at(number, after=after)
    room("CreateStack", StackName="lake", TemplateBody=template(later=False))
    assert room.status() == "CREATE_IN_PROGRESS"
    room.restart()
    assert room.status() == "CREATE_COMPLETE"
    assert names(cloud) == CREATED
    outputs = room("DescribeStacks", StackName="lake")["Stacks"][0]["Outputs"]
    assert f"crawler {outputs[0]['OutputValue']}" in cloud.dump()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 7))
def test_killed_update_is_finished(room: Any, cloud: Any, number: int, after: bool) -> None:
    room("CreateStack", StackName="lake", TemplateBody=template(later=False))
    cloud.die_at(number, after=after)
    room("UpdateStack", StackName="lake", TemplateBody=template(later=True))
    assert room.status().endswith("_IN_PROGRESS")
    room.restart()
    assert room.status() == "UPDATE_COMPLETE"
    assert names(cloud) == UPDATED
    assert cloud.dump()["job j"]["Timeout"] == 2


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 5))
def test_killed_delete_is_finished(room: Any, cloud: Any, number: int, after: bool) -> None:
    stack = room("CreateStack", StackName="lake", TemplateBody=template(later=False))["StackId"]
    cloud.die_at(number, after=after)
    room("DeleteStack", StackName="lake")
    assert room.status(stack) == "DELETE_IN_PROGRESS"
    room.restart()
    assert room.status(stack) == "DELETE_COMPLETE"
    assert cloud.dump() == {}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 6))
def test_killed_rollback_is_finished(room: Any, cloud: Any, number: int, after: bool) -> None:
    """The update fails at its last resource; the process dies on the way back."""
    room("CreateStack", StackName="lake", TemplateBody=template(later=False))
    before = copy.deepcopy(cloud.dump())
    forward = 4  # db2, the crawler, the job, and then Flow2, which fails
    cloud.refuse("create_workflow")
    cloud.die_at(forward + number, after=after)
    room("UpdateStack", StackName="lake", TemplateBody=template(later=True))
    room.restart()
    assert room.status() == "UPDATE_ROLLBACK_COMPLETE"
    assert cloud.dump() == before


def test_many_deaths(room: Any, cloud: Any) -> None:
    """A process that dies at every second call gets there in the end, and makes nothing twice."""
    cloud.die_at(2, after=True)
    room("CreateStack", StackName="lake", TemplateBody=template(later=False))
    for _ in range(10):
        if room.status() == "CREATE_COMPLETE":
            break
        room.service.executor.stopping.set()
        cloud.revive()
        cloud.die_at(2, after=True)
        room._begin()
        room.service.start()
        room.service.api.settle()
    assert room.status() == "CREATE_COMPLETE"
    assert names(cloud) == CREATED


def test_an_orderly_stop_leaves_the_operation_open(room: Any, cloud: Any) -> None:
    room.service.executor.stopping.set()
    room("CreateStack", StackName="lake", TemplateBody=template(later=False))
    assert room.status() == "CREATE_IN_PROGRESS"
    assert cloud.dump() == {}
    room.restart()
    assert room.status() == "CREATE_COMPLETE"


def test_events_are_not_told_twice(room: Any, cloud: Any) -> None:
    cloud.die_at(2, after=True)
    room("CreateStack", StackName="lake", TemplateBody=template(later=False))
    room.restart()
    events = room("DescribeStackEvents", StackName="lake")["StackEvents"]
    done = [event["LogicalResourceId"] for event in events if event["ResourceStatus"] == "CREATE_COMPLETE"]
    assert sorted(done) == ["Crawler", "Db", "Flow", "Job", "lake"]
    begun = [event for event in events if event["ResourceStatus"] == "CREATE_IN_PROGRESS"]
    assert len([event for event in begun if event["LogicalResourceId"] == "lake"]) == 1
