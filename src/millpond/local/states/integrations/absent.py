"""Integrations of AWS that no service here carries: their arguments are checked, then the state fails.

What is one call of an API (batch, ecs, codebuild, ...) is checked against botocore's model by the caller. Here are
those with forms of their own: EMR's actions by cluster, EKS's Kubernetes calls, Bedrock's model invocation. Each row:
the fields that an action takes, those that it must have first. Source: AWS Step Functions Developer Guide, the pages
"Create and manage Amazon EMR clusters", "Create and manage Amazon EKS clusters", "Invoke and customize Amazon Bedrock
models".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from millpond.local.states.integrations.calls import BadArguments


class Form(NamedTuple):
    """The fields of an action."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


_KUBERNETES = ("ClusterName", "CertificateAuthority", "Endpoint")

FORMS: Mapping[str, Form] = {
    "elasticmapreduce:setClusterTerminationProtection": Form(("ClusterId", "TerminationProtected")),
    "elasticmapreduce:terminateCluster": Form(("ClusterId",)),
    "elasticmapreduce:addStep": Form(("ClusterId", "Step"), ("ExecutionRoleArn",)),
    "elasticmapreduce:cancelStep": Form(("ClusterId", "StepId")),
    "elasticmapreduce:modifyInstanceFleetByName": Form(("ClusterId", "InstanceFleetName", "InstanceFleet")),
    "elasticmapreduce:modifyInstanceGroupByName": Form(("ClusterId", "InstanceGroupName", "InstanceGroup")),
    "eks:call": Form((*_KUBERNETES, "Method", "Path"), ("QueryParameters", "RequestBody")),
    "eks:runJob": Form((*_KUBERNETES, "Job"), ("Namespace", "LogOptions")),
    "bedrock:invokeModel": Form(
        ("ModelId",),
        ("Accept", "Body", "ContentType", "GuardrailIdentifier", "GuardrailVersion", "Input", "Output", "Trace"),
    ),
}


def check(action: str, arguments: Any) -> None:
    """Raises BadArguments."""
    form = FORMS[action]
    if not isinstance(arguments, dict):
        raise BadArguments("The value for the Parameters must be a JSON object")
    taken = form.required + form.optional
    wrong = [f'The field "{key}" is not supported by Step Functions' for key in arguments if key not in taken]
    wrong += [f'The field "{key}" is required but was missing' for key in form.required if key not in arguments]
    if wrong:
        raise BadArguments(", ".join(wrong))
