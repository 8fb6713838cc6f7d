"""S6 in small: a failure at every call of a create and of an update leaves the cloud exactly as it was before."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

ROLE = "arn:aws:iam::000000000000:role/any"


def job(name: str, timeout: int, *, after: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "Type": "AWS::Glue::Job",
        "Properties": {"Name": name, "Role": ROLE, "Command": {"Name": "glueetl"}, "Timeout": timeout},
    }
    if after:
        made["DependsOn"] = after
    return made


def database(name: str, description: str = "") -> dict[str, Any]:
    return {
        "Type": "AWS::Glue::Database",
        "Properties": {"CatalogId": "1", "DatabaseInput": {"Name": name, "Description": description}},
    }


def crawler(name: str, of: str, path: str) -> dict[str, Any]:
    return {
        "Type": "AWS::Glue::Crawler",
        "Properties": {
            "Name": name,
            "Role": ROLE,
            "DatabaseName": {"Ref": of},
            "Targets": {"S3Targets": [{"Path": path}]},
        },
    }


BEFORE: dict[str, Any] = {
    "Raw": database("raw"),
    "Mart": database("mart"),
    "Spare": database("spare"),
    "Ingest": job("ingest", 10),
    "Join": job("join", 20, after="Ingest"),
    "Write": job("write", 30, after="Join"),
    "CrawlRaw": crawler("crawl-raw", "Raw", "s3://lake/raw"),
    "CrawlMart": crawler("crawl-mart", "Mart", "s3://lake/mart"),
    "Flow": {"Type": "AWS::Glue::Workflow", "Properties": {"Name": "flow", "Description": "nightly"}},
    "Old": job("old", 5),
    "Older": job("older", 5, after="Old"),
    "Quiet": job("quiet", 1),
}


def changed() -> dict[str, Any]:
    """Eight of the twelve updated, one replaced with its dependent, two removed, one added."""
    after = copy.deepcopy(BEFORE)
    for name in ("Ingest", "Join", "Write"):
        after[name]["Properties"]["Timeout"] += 1
    after["Raw"]["Properties"]["DatabaseInput"]["Description"] = "raw data"
    after["Mart"]["Properties"]["DatabaseInput"]["Name"] = "mart2"  # replaced; its crawler follows
    after["CrawlRaw"]["Properties"]["Targets"]["S3Targets"][0]["Path"] = "s3://lake/raw2"
    after["Flow"]["Properties"]["Description"] = "hourly"
    after["Spare"]["Properties"]["DatabaseInput"]["Description"] = "spare"
    del after["Old"], after["Older"]
    after["New"] = job("new", 7, after="Write")
    return after


def body(resources: dict[str, Any]) -> str:
    return json.dumps({"Resources": resources})


CREATES = len(BEFORE)
UPDATES = 10  # 8 updates and 2 creates; the deletes that follow are cleanup


@pytest.mark.parametrize("number", range(1, CREATES + 1))
def test_failed_create_leaves_nothing(room: Any, cloud: Any, number: int) -> None:
    cloud.fail_at(number)
    stack = room("CreateStack", StackName="lake", TemplateBody=body(BEFORE))["StackId"]
    assert room.status(stack) == "ROLLBACK_COMPLETE"
    assert cloud.dump() == {}
    resources = room("DescribeStackResources", StackName=stack)["StackResources"]
    assert {item["ResourceStatus"] for item in resources} == {"DELETE_COMPLETE"}


@pytest.mark.parametrize("number", range(1, UPDATES + 1))
def test_failed_update_goes_back(room: Any, cloud: Any, number: int) -> None:
    room("CreateStack", StackName="lake", TemplateBody=body(BEFORE))
    before, records = cloud.dump(), room("DescribeStackResources", StackName="lake")["StackResources"]
    cloud.fail_at(number)
    room("UpdateStack", StackName="lake", TemplateBody=body(changed()))
    assert room.status() == "UPDATE_ROLLBACK_COMPLETE"
    assert cloud.dump() == before
    after = room("DescribeStackResources", StackName="lake")["StackResources"]
    assert [(r["LogicalResourceId"], r["PhysicalResourceId"]) for r in after] == [
        (r["LogicalResourceId"], r["PhysicalResourceId"]) for r in records
    ]
    assert room("GetTemplate", StackName="lake")["TemplateBody"] == body(BEFORE)
    # The same update goes through afterwards: nothing of the failure is left in the records.
    cloud.revive()
    room("UpdateStack", StackName="lake", TemplateBody=body(changed()))
    assert room.status() == "UPDATE_COMPLETE"


def test_update_and_its_inverse(room: Any, cloud: Any) -> None:
    room("CreateStack", StackName="lake", TemplateBody=body(BEFORE))
    before = cloud.dump()
    cloud.fail_at(10_000)  # only counts
    room("UpdateStack", StackName="lake", TemplateBody=body(changed()))
    assert room.status() == "UPDATE_COMPLETE"
    assert len([call for call in cloud.calls if not call.startswith("delete")]) == UPDATES
    assert "database mart" not in cloud.dump()
    assert cloud.dump()["crawler crawl-mart"]["DatabaseName"] == "mart2"
    room("UpdateStack", StackName="lake", TemplateBody=body(BEFORE))
    assert cloud.dump() == before


def test_failing_rollback_can_be_continued(room: Any, cloud: Any) -> None:
    room("CreateStack", StackName="lake", TemplateBody=body(BEFORE))
    before = cloud.dump()
    cloud.fail_at(9)
    cloud.refuse("update_job")
    room("UpdateStack", StackName="lake", TemplateBody=body(changed()))
    assert room.status() == "UPDATE_ROLLBACK_FAILED"
    cloud.revive()
    room("ContinueUpdateRollback", StackName="lake")
    assert room.status() == "UPDATE_ROLLBACK_COMPLETE"
    assert cloud.dump() == before


def test_resources_to_skip(room: Any, cloud: Any) -> None:
    room("CreateStack", StackName="lake", TemplateBody=body({"A": job("a", 1), "B": job("b", 1)}))
    cloud.refuse("update_job")
    room("UpdateStack", StackName="lake", TemplateBody=body({"A": job("a", 2), "B": job("b", 1)}))
    assert room.status() == "UPDATE_ROLLBACK_FAILED"
    room("ContinueUpdateRollback", StackName="lake", ResourcesToSkip=["A"])
    assert room.status() == "UPDATE_ROLLBACK_COMPLETE"


def test_do_nothing_and_then_roll_back(room: Any, cloud: Any) -> None:
    room("CreateStack", StackName="lake", TemplateBody=body(BEFORE))
    before = cloud.dump()
    cloud.fail_at(5)
    room("UpdateStack", StackName="lake", TemplateBody=body(changed()), DisableRollback=True)
    assert room.status() == "UPDATE_FAILED"
    assert cloud.dump() != before
    cloud.revive()
    room("RollbackStack", StackName="lake")
    assert room.status() == "UPDATE_ROLLBACK_COMPLETE"
    assert cloud.dump() == before


def test_do_nothing_and_then_go_on(room: Any, cloud: Any) -> None:
    cloud.fail_at(7)
    room("CreateStack", StackName="lake", TemplateBody=body(BEFORE), OnFailure="DO_NOTHING")
    assert room.status() == "CREATE_FAILED"
    cloud.revive()
    room("UpdateStack", StackName="lake", TemplateBody=body(changed()))
    assert room.status() == "UPDATE_COMPLETE"
    assert {name for name in cloud.dump() if name.startswith("job")} == {
        "job ingest",
        "job join",
        "job new",
        "job quiet",
        "job write",
    }


def test_on_failure_delete(room: Any, cloud: Any) -> None:
    cloud.fail_at(6)
    stack = room("CreateStack", StackName="lake", TemplateBody=body(BEFORE), OnFailure="DELETE")["StackId"]
    assert room.status(stack) == "DELETE_COMPLETE"
    assert cloud.dump() == {}


def test_a_taken_name_is_refused_and_left_alone(room: Any, cloud: Any) -> None:
    cloud.client("glue").create_job(Name="ingest", Command="by hand")
    stack = room("CreateStack", StackName="lake", TemplateBody=body(BEFORE))["StackId"]
    assert room.status(stack) == "ROLLBACK_COMPLETE"
    assert cloud.dump() == {"job ingest": {"Command": "by hand"}}
    reason = room.reason("Ingest", "CREATE_FAILED", stack)
    assert "Resource of type 'AWS::Glue::Job' with identifier 'ingest' already exists." in reason
    assert "HandlerErrorCode: AlreadyExists" in reason


def test_custom_name_cannot_be_replaced(room: Any, cloud: Any) -> None:
    trigger = {"Type": "AWS::Glue::Trigger", "Properties": {"Name": "t", "Type": "ON_DEMAND", "Actions": []}}
    room("CreateStack", StackName="lake", TemplateBody=body({"T": trigger}))
    other = copy.deepcopy(trigger)
    other["Properties"]["Type"] = "SCHEDULED"
    room("UpdateStack", StackName="lake", TemplateBody=body({"T": other}))
    assert room.status() == "UPDATE_ROLLBACK_COMPLETE"
    assert "when a custom-named resource requires replacing. Rename t" in room.reason("T", "UPDATE_FAILED")
    assert cloud.dump()["trigger t"]["Type"] == "ON_DEMAND"


def test_retained_resources_stay(room: Any, cloud: Any) -> None:
    kept = {**database("kept"), "DeletionPolicy": "Retain"}
    stack = room("CreateStack", StackName="lake", TemplateBody=body({"K": kept, "Gone": database("gone")}))["StackId"]
    room("DeleteStack", StackName="lake")
    assert room.status(stack) == "DELETE_COMPLETE"
    assert list(cloud.dump()) == ["database kept"]
    assert room.reason("K", "DELETE_SKIPPED", stack) == ""


def test_retain_except_on_create(room: Any, cloud: Any) -> None:
    kept = {**database("kept"), "DeletionPolicy": "RetainExceptOnCreate"}
    cloud.refuse("create_job")
    room("CreateStack", StackName="lake", TemplateBody=body({"K": kept, "J": {**job("j", 1), "DependsOn": "K"}}))
    assert room.status() == "ROLLBACK_COMPLETE"
    assert cloud.dump() == {}


def test_replaced_resource_may_be_retained(room: Any, cloud: Any) -> None:
    kept = {**database("one"), "UpdateReplacePolicy": "Retain"}
    room("CreateStack", StackName="lake", TemplateBody=body({"K": kept}))
    room("UpdateStack", StackName="lake", TemplateBody=body({"K": {**kept, **database("two")}}))
    assert sorted(cloud.dump()) == ["database one", "database two"]


def test_failed_delete(room: Any, cloud: Any) -> None:
    room("CreateStack", StackName="lake", TemplateBody=body({"A": job("a", 1), "B": job("b", 1, after="A")}))
    cloud.refuse("delete_job")
    room("DeleteStack", StackName="lake")
    assert room.status() == "DELETE_FAILED"
    assert sorted(cloud.dump()) == ["job a", "job b"]  # what B depends on is not tried
    assert cloud.calls[-1] == "delete_job b"
    room("DeleteStack", StackName="lake", RetainResources=["B"])
    assert room.status() == "DELETE_FAILED"
    cloud.revive()
    stack = room("DescribeStacks", StackName="lake")["Stacks"][0]["StackId"]
    room("DeleteStack", StackName="lake", RetainResources=["B"])
    assert room.status(stack) == "DELETE_COMPLETE"
    assert sorted(cloud.dump()) == ["job b"]


def test_late_findings_of_the_schema_roll_back(room: Any, cloud: Any) -> None:
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "INVALID_Bucket!"}}
    room("CreateStack", StackName="lake", TemplateBody=body({"B": bucket}))
    assert room.status() == "ROLLBACK_COMPLETE"
    assert "does not match pattern" in room.reason("B", "CREATE_FAILED")
