"""Errors of API calls as a state sees them: the error name, and the cause that the Java SDK would print.

AWS's two families look different. SDK integrations use the Java SDK v2: `S3.NoSuchKeyException`, "The specified key
does not exist. (Service: S3, Status Code: 404, Request ID: ..., Extended Request ID: ...)". Optimised integrations
still speak in v1's words: `DynamoDB.ConditionalCheckFailedException`, "... (Service: AmazonDynamoDBv2; Status Code:
400; Error Code: ConditionalCheckFailedException; Request ID: ...; Proxy: null)". An error that the service's model
does not name is the service's general one: `S3.S3Exception`, `DynamoDB.AmazonDynamoDBException`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from millpond.local import models
from millpond.local.states import sdk

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from botocore.model import OperationModel


class Named(NamedTuple):
    """An optimised integration in errors: prefix, the v1 SDK's service name, its general exception."""

    prefix: str
    service: str
    general: str


OPTIMISED: Mapping[str, Named] = {
    "athena": Named("Athena", "AmazonAthena", "AmazonAthenaException"),
    "batch": Named("Batch", "AWSBatch", "AWSBatchException"),
    "bedrock": Named("Bedrock", "AmazonBedrock", "AmazonBedrockException"),
    "codebuild": Named("CodeBuild", "AWSCodeBuild", "AWSCodeBuildException"),
    "databrew": Named("DataBrew", "AWSGlueDataBrew", "AWSGlueDataBrewException"),
    "dynamodb": Named("DynamoDB", "AmazonDynamoDBv2", "AmazonDynamoDBException"),
    "ecs": Named("ECS", "AmazonECS", "AmazonECSException"),
    "eks": Named("EKS", "AmazonEKS", "AmazonEKSException"),
    "elasticmapreduce": Named("EMR", "AmazonElasticMapReduce", "AmazonElasticMapReduceException"),
    "emr-containers": Named("EMRContainers", "AmazonEMRContainers", "AmazonEMRContainersException"),
    "emr-serverless": Named("EMRServerless", "EMRServerless", "EMRServerlessException"),
    "events": Named("EventBridge", "AmazonEventBridge", "AmazonEventBridgeException"),
    "glue": Named("Glue", "AWSGlue", "AWSGlueException"),
    "lambda": Named("Lambda", "AWSLambda", "AWSLambdaException"),
    "mediaconvert": Named("MediaConvert", "AWSMediaConvert", "AWSMediaConvertException"),
    "sagemaker": Named("SageMaker", "AmazonSageMaker", "AmazonSageMakerException"),
    "sns": Named("SNS", "AmazonSNS", "AmazonSNSException"),
    "sqs": Named("SQS", "AmazonSQS", "AmazonSQSException"),
    "states": Named("StepFunctions", "AWSStepFunctions", "AWSStepFunctionsException"),
}


@dataclass(frozen=True, slots=True)
class _Said:
    """What an API answered: the modelled error ("" when there is none) and the code on the wire, which may differ."""

    modelled: str
    code: str
    text: str
    status: int
    request_id: str
    host_id: str


def failure(service: str, operation: OperationModel, error: ClientError, *, style: sdk.Style) -> tuple[str, str]:
    """The ASL error name and cause of an API error. `service` is ASL's name of it."""
    said = _said(operation, error)
    if style == "optimised":
        return _optimised(service, said)
    name = java_name(operation.service_model.service_name)
    shown = f"{name}Exception" if not said.modelled else v2_class(said.modelled)
    if _refused(said):
        shown = "NotImplementedException"
    ids = f", Request ID: {said.request_id}" + (f", Extended Request ID: {said.host_id}" if said.host_id else "")
    return f"{name}.{shown}", f"{said.text} (Service: {name}, Status Code: {said.status}{ids})"


def _optimised(service: str, said: _Said) -> tuple[str, str]:
    named = OPTIMISED[service]
    shown = v1_class(said.modelled) if said.modelled else named.general
    if _refused(said):
        shown = "NotImplementedException"
    where = (
        f"Service: {named.service}; Status Code: {said.status}; Error Code: {said.code}; "
        f"Request ID: {said.request_id}; Proxy: null"
    )
    return f"{named.prefix}.{shown}", f"{said.text} ({where})"


def _refused(said: _Said) -> bool:
    """Millpond's own refusal of an operation that it does not carry keeps a name of its own."""
    return said.code == "NotImplemented" and said.status == 501


def _said(operation: OperationModel, error: ClientError) -> _Said:
    details: Mapping[str, Any] = error.response.get("Error", {})
    metadata: Mapping[str, Any] = error.response.get("ResponseMetadata", {})
    code = str(details.get("Code", ""))
    # SQS sends the code of its former protocol beside the modelled error; the v1 SDK shows the former one.
    modelled = _shape_name(operation, str(details.get("QueryErrorCode") or code))
    text = str(details.get("Message", "")) or str(error)
    if code in ("404", "NoSuchKey", "NoSuchBucket") and operation.name in _HEADS:  # HEAD has no body to tell more
        modelled, text = _HEADS[operation.name], "null"
    return _Said(
        modelled,
        code.rpartition("#")[2],
        text,
        int(metadata.get("HTTPStatusCode", 400)),
        sdk.request_id(operation.service_model.service_name, metadata),
        str(metadata.get("HostId") or ""),
    )


_HEADS = {"HeadObject": "NoSuchKey", "HeadBucket": "NoSuchBucket"}


def _shape_name(operation: OperationModel, code: str) -> str:
    """The modelled error that a code means, "" when the model does not know it."""
    code = code.rpartition("#")[2]
    for shape in operation.service_model.error_shapes:
        if code in (shape.name, shape.metadata.get("error", {}).get("code")):
            return str(shape.name)
    return ""


def v2_class(shape: str) -> str:
    """The Java SDK v2's class of a modelled error: `NoSuchKey` -> `NoSuchKeyException`, Fault -> Exception."""
    return sdk.java(re.sub(r"(Fault|Exception)$", "", shape)) + "Exception"


def v1_class(shape: str) -> str:
    """The Java SDK v1's class of a modelled error."""
    return re.sub(r"(Fault|Exception)$", "", shape) + "Exception"


@functools.cache
def java_name(service: str) -> str:
    """A botocore service's name in SDK errors: `DynamoDb`, `Sfn`, `CloudWatchLogs`."""
    described = models.model(service)
    return sdk.java(sdk.short_id(described.metadata.get("serviceId", service)) if described else service)


def prefix(service: str, name: str, style: sdk.Style) -> str:
    """What an error's name begins with. `service` is ASL's name, `name` botocore's."""
    return OPTIMISED[service].prefix if style == "optimised" and service in OPTIMISED else java_name(name)
