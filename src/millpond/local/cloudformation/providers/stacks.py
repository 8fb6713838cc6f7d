"""CloudFormation's own types: nested stacks, custom resources behind a Lambda function, and the inert ones.

A custom resource's function answers by PUT to a presigned URL of `RESPONSES`, a bucket that is made when the first
custom resource runs. It is asked once a `POLL_SECONDS`, and given up after `ServiceTimeout`, by default `TIMEOUT`
(an hour on AWS).
"""

from __future__ import annotations

import json
from typing import Any

from millpond.local.cloudformation.intrinsics import text
from millpond.local.cloudformation.providers.provider import (
    Properties,
    Provider,
    ProviderError,
    Task,
    call,
    error_code,
    tag_list,
    tag_map,
)

RESPONSES = "millpond-cloudformation-responses"
TIMEOUT = 300.0
POLL_SECONDS = 0.2
STACK_SECONDS = 3600.0

# --- nested stacks ----------------------------------------------------------------------------------------------------


def _nested(task: Task) -> Properties:
    params: Properties = {"TemplateURL": task.properties["TemplateURL"]}
    values = task.properties.get("Parameters") or {}
    params["Parameters"] = [
        {"ParameterKey": key, "ParameterValue": ",".join(map(text, v)) if isinstance(v, list) else text(v)}
        for key, v in values.items()
    ]
    params["Capabilities"] = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]  # the parent's
    if task.properties.get("Tags"):
        params["Tags"] = tag_list(tag_map(task.properties["Tags"]))
    if "NotificationARNs" in task.properties:
        params["NotificationARNs"] = task.properties["NotificationARNs"]
    return params


def nested_id(task: Task) -> str | None:
    client = task.client("cloudformation")
    try:
        return str(client.describe_stacks(StackName=task.name)["Stacks"][0]["StackId"])
    except client.exceptions.ClientError as error:
        if error_code(error) == "ValidationError":
            return None
        raise


def create_nested(task: Task) -> str:
    params = {**_nested(task), "StackName": task.name, "ClientRequestToken": task.token, "OnFailure": "DO_NOTHING"}
    if "TimeoutInMinutes" in task.properties:
        params["TimeoutInMinutes"] = task.properties["TimeoutInMinutes"]
    made: str = call(task, "cloudformation", "create_stack", params)["StackId"]
    task.report(made)
    _settled(task, made, ("CREATE_COMPLETE", "UPDATE_COMPLETE"), "created")
    return made


def update_nested(task: Task) -> None:
    client = task.client("cloudformation")
    try:
        call(task, "cloudformation", "update_stack", {**_nested(task), "StackName": task.physical_id})
    except client.exceptions.ClientError as error:
        if "No updates are to be performed" in str(error):
            return
        raise
    _settled(task, task.physical_id, ("UPDATE_COMPLETE",), "updated")


def delete_nested(task: Task) -> None:
    call(task, "cloudformation", "delete_stack", {"StackName": task.physical_id})
    _settled(task, task.physical_id, ("DELETE_COMPLETE",), "deleted")


def _settled(task: Task, stack: str, wanted: tuple[str, ...], done: str) -> None:
    client = task.client("cloudformation")
    for _ in range(int(STACK_SECONDS / POLL_SECONDS)):
        found = client.describe_stacks(StackName=stack)["Stacks"][0]
        if found["StackStatus"] in wanted:
            return
        if not found["StackStatus"].endswith("_IN_PROGRESS"):
            reason = found.get("StackStatusReason", found["StackStatus"])
            raise ProviderError(f"Embedded stack {stack} was not successfully {done}: {reason}", "NotStabilized")
        task.sleep(POLL_SECONDS)
    raise ProviderError(f"Embedded stack {stack} was not {done} in time", "NotStabilized")


def read_nested(task: Task) -> dict[str, Any]:
    found = task.client("cloudformation").describe_stacks(StackName=task.physical_id)["Stacks"][0]
    return {f"Outputs.{item['OutputKey']}": item["OutputValue"] for item in found.get("Outputs", [])}


# --- custom resources -------------------------------------------------------------------------------------------------


def _request(task: Task, kind: str, key: str) -> Properties:
    url = task.client("s3").generate_presigned_url(
        "put_object", Params={"Bucket": RESPONSES, "Key": key}, ExpiresIn=int(_timeout(task)) + 60
    )
    request: Properties = {
        "RequestType": kind,
        "ServiceToken": task.properties["ServiceToken"],
        "ResponseURL": url,
        "StackId": task.stack_id,
        "RequestId": task.token,
        "LogicalResourceId": task.logical_id,
        "ResourceType": task.type,
        "ResourceProperties": _as_text(task.properties),
    }
    if kind != "Create":
        request["PhysicalResourceId"] = task.physical_id
    if kind == "Update":
        request["OldResourceProperties"] = _as_text(task.old)
    return request


def _as_text(value: Any) -> Any:
    """CloudFormation hands every scalar to a custom resource as a string."""
    match value:
        case dict():
            return {key: _as_text(item) for key, item in value.items()}
        case list():
            return [_as_text(item) for item in value]
        case None:
            return None
        case _:
            return text(value)


def _timeout(task: Task) -> float:
    return float(task.properties.get("ServiceTimeout", TIMEOUT))


def ask(task: Task, kind: str) -> Properties:
    """Send one request to the function and wait for its answer."""
    target = str(task.properties["ServiceToken"])
    if ":lambda:" not in target:
        raise ProviderError("Millpond carries custom resources behind a Lambda function only, not behind SNS")
    client = task.client("s3")
    client.create_bucket(Bucket=RESPONSES)
    key = f"{task.stack_name}/{task.logical_id}/{task.token}"
    payload = json.dumps(_request(task, kind, key)).encode()
    task.client("lambda").invoke(FunctionName=target, InvocationType="Event", Payload=payload)
    for _ in range(int(_timeout(task) / POLL_SECONDS) + 1):
        try:
            body = client.get_object(Bucket=RESPONSES, Key=key)["Body"].read()
        except client.exceptions.NoSuchKey:
            task.sleep(POLL_SECONDS)
            continue
        client.delete_object(Bucket=RESPONSES, Key=key)
        return _answer(body)
    raise ProviderError("CloudFormation did not receive a response from your Custom Resource. Please check your logs "
                        f"for requestId [{task.token}].", "NotStabilized")  # fmt: skip


def _answer(body: bytes) -> Properties:
    try:
        answer = json.loads(body)
    except ValueError:
        raise ProviderError("Invalid Response object: the answer is not JSON") from None
    if not isinstance(answer, dict) or answer.get("Status") not in ("SUCCESS", "FAILED"):
        raise ProviderError("Invalid Response object: Value of Status must be SUCCESS or FAILED")
    if answer["Status"] == "FAILED":
        raise ProviderError(f"Received response status [FAILED] from custom resource. Message returned: "
                            f"{answer.get('Reason', '')}", "GeneralServiceException")  # fmt: skip
    if not isinstance(answer.get("Data") or {}, dict):
        raise ProviderError("Invalid Response object: Data must be an object")
    return answer


def create_custom(task: Task) -> str:
    answer = ask(task, "Create")
    task.attributes = dict(answer.get("Data") or {})
    # AWS names a resource whose function gave no PhysicalResourceId after the request.
    return str(answer.get("PhysicalResourceId") or f"{task.stack_name}-{task.logical_id}-{task.token}")


def update_custom(task: Task) -> None:
    answer = ask(task, "Update")
    task.attributes = dict(answer.get("Data") or {})
    task.physical_id = str(answer.get("PhysicalResourceId") or task.physical_id)


def delete_custom(task: Task) -> None:
    ask(task, "Delete")


PROVIDERS = (
    Provider(type="AWS::CloudFormation::CustomResource", predict=lambda task: None, exclusive=False,
             create=create_custom, update=update_custom, delete=delete_custom, read=lambda task: task.attributes,
             any_attribute=True),
    Provider(type="AWS::CloudFormation::Stack", service="cloudformation", creates="CreateStack",
             predict=nested_id, name_limit=128,
             create=create_nested, update=update_nested, delete=delete_nested, read=read_nested, any_attribute=True),
    Provider(type="AWS::CloudFormation::WaitConditionHandle", create=lambda task: task.name, inert=True,
             exclusive=False, update=lambda task: None),
    Provider(type="AWS::CDK::Metadata", create=lambda task: task.name, inert=True, exclusive=False,
             update=lambda task: None),
)  # fmt: skip
