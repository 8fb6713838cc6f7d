"""What a Task's Resource may be: the optimised integrations with their patterns, and how an ARN is read.

Source: AWS Step Functions Developer Guide, "Integrating services with Step Functions". May import: nothing of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Pattern = Literal["request", "sync", "token"]

_R: frozenset[str] = frozenset({""})
_RS = frozenset({"", ".sync"})
_RT = frozenset({"", ".waitForTaskToken"})
_S = frozenset({".sync"})

INTEGRATIONS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "apigateway": {"invoke": _RT},
    "athena": {
        "startQueryExecution": _RS,
        "stopQueryExecution": _R,
        "getQueryExecution": _R,
        "getQueryResults": _R,
    },
    "batch": {"submitJob": _RS | _RT},
    "bedrock": {"invokeModel": _RT, "createModelCustomizationJob": _RS},
    "codebuild": {
        "startBuild": _RS,
        "stopBuild": _R,
        "batchDeleteBuilds": _R,
        "batchGetReports": _R,
        "startBuildBatch": _RS,
        "stopBuildBatch": _R,
        "retryBuildBatch": _RS,
        "deleteBuildBatch": _R,
    },
    "databrew": {"startJobRun": _RS},
    "dynamodb": {"getItem": _R, "putItem": _R, "updateItem": _R, "deleteItem": _R},
    "ecs": {"runTask": _RS | _RT},
    "eks": {
        "call": _R,
        "runJob": _RS,
        "createCluster": _RS,
        "deleteCluster": _RS,
        "createFargateProfile": _RS,
        "deleteFargateProfile": _RS,
        "createNodegroup": _RS,
        "deleteNodegroup": _RS,
    },
    "elasticmapreduce": {
        "createCluster": _RS,
        "setClusterTerminationProtection": _R,
        "terminateCluster": _RS,
        "addStep": _RS,
        "cancelStep": _R,
        "modifyInstanceFleetByName": _R,
        "modifyInstanceGroupByName": _R,
    },
    "emr-containers": {"createVirtualCluster": _R, "deleteVirtualCluster": _RS, "startJobRun": _RS},
    "emr-serverless": {
        "createApplication": _RS,
        "startApplication": _RS,
        "stopApplication": _RS,
        "deleteApplication": _RS,
        "startJobRun": _RS,
        "cancelJobRun": _RS,
    },
    "events": {"putEvents": _RT},
    "glue": {"startJobRun": _RS},
    "http": {"invoke": _R},
    "lambda": {"invoke": _RT},
    "mediaconvert": {"createJob": _RS},
    "sagemaker": {
        "createTrainingJob": _RS,
        "createTransformJob": _RS,
        "createProcessingJob": _RS,
        "createHyperParameterTuningJob": _RS,
        "createLabelingJob": _RS,
        "createModel": _R,
        "createEndpointConfig": _R,
        "createEndpoint": _R,
        "updateEndpoint": _R,
    },
    "sns": {"publish": _RT},
    "sqs": {"sendMessage": _RT},
    "states": {"startExecution": _RS | _RT | {".sync:2"}},
}

READERS = ("listObjectsV2", "getObject")
"""The s3 actions of an ItemReader."""

_SERVICE = re.compile(
    r"arn:[\w-]+:states:[\w-]*:\d*:(?P<sdk>aws-sdk:)?(?P<service>[\w-]+):(?P<action>\w+)(?P<suffix>\..+)?"
)
_LAMBDA = re.compile(r"arn:[\w-]+:lambda:[\w-]+:\d{12}:function:[\w-]+(:[\w$-]+)?")
_ACTIVITY = re.compile(r"arn:[\w-]+:states:[\w-]+:\d{12}:activity:.+")


@dataclass(frozen=True, slots=True)
class Resource:
    """A Resource ARN, read. `service` has the prefix `aws-sdk:` for SDK integrations; `suffix` is `.sync` and so on."""

    kind: Literal["service", "lambda", "activity"]
    arn: str
    service: str
    action: str
    suffix: str = ""

    @property
    def pattern(self) -> Pattern:
        """How the call ends."""
        if self.suffix.startswith(".sync"):
            return "sync"
        return "token" if self.suffix == ".waitForTaskToken" else "request"

    @property
    def known(self) -> bool:
        """Is this a Lambda function, an activity, or an integration that AWS has? SDK actions are taken on trust."""
        if self.kind != "service":
            return True
        if self.service.startswith("aws-sdk:"):
            return self.suffix in ("", ".waitForTaskToken") and self.action[:1].islower()
        return self.suffix in INTEGRATIONS.get(self.service, {}).get(self.action, ())


def read(arn: str) -> Resource | None:
    """The parts of a Task's Resource; None when it is no ARN that a Task may have."""
    if _LAMBDA.fullmatch(arn):
        return Resource("lambda", arn, "lambda", "invoke")
    if _ACTIVITY.fullmatch(arn):
        return Resource("activity", arn, "activity", "")
    found = _SERVICE.fullmatch(arn)
    if not found:
        return None
    return Resource("service", arn, (found["sdk"] or "") + found["service"], found["action"], found["suffix"] or "")
