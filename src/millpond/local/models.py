"""AWS's own description of its services (botocore's data): which operation a request is for.

`service_of` names the service of a signature's scope, `operation_of` the operation of a request. Models are loaded at
the first request to a service: the endpoint starts without any. For REST services the matcher is built from the model
(method, path, sub-resource, required query members and headers), never by hand.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from botocore.model import OperationModel, ServiceModel

# Scope of a signature -> botocore's service name, where they differ (signingName in botocore's models).
SIGNED_AS = {
    "states": "stepfunctions",
    "monitoring": "cloudwatch",
    "elasticmapreduce": "emr",
    "email": "ses",
    "elasticloadbalancing": "elbv2",
    "tagging": "resourcegroupstaggingapi",
    "aps": "amp",
    "execute-api": "apigatewaymanagementapi",
}

# Services that share a scope are told apart by the prefix of X-Amz-Target.
TARGETS = {
    "DynamoDBStreams_20120810": "dynamodbstreams",
    "AWSStepFunctions": "stepfunctions",
    "AWSGlue": "glue",
    "AmazonAthena": "athena",
    "Logs_20140328": "logs",
    "SageMaker": "sagemaker",
    "secretsmanager": "secretsmanager",
    "AmazonSQS": "sqs",
    "AmazonSSM": "ssm",
    "AWSEvents": "events",
    "DynamoDB_20120810": "dynamodb",
}


@functools.cache
def _loader() -> Any:
    from botocore.loaders import create_loader

    return create_loader()


@functools.cache
def model(service: str) -> ServiceModel | None:
    """botocore's model of a service, or None when AWS has no such service."""
    from botocore.exceptions import DataNotFoundError, UnknownServiceError
    from botocore.model import ServiceModel

    try:
        return ServiceModel(_loader().load_service_model(service, "service-2"), service)
    except (UnknownServiceError, DataNotFoundError):
        return None


def service_of(scope: str, target: str = "") -> str:
    """The service that a signature's scope (`states`) and X-Amz-Target (`AWSStepFunctions.StartExecution`) name."""
    named = TARGETS.get(target.partition(".")[0])
    if named and (not scope or scope in ("dynamodb",)):
        return named
    return SIGNED_AS.get(scope, scope)


def target_prefix(service: str) -> str:
    """What X-Amz-Target begins with for a service: `AWSStepFunctions`; "" when it is not known without the model."""
    return next((prefix for prefix, named in TARGETS.items() if named == service), "")


@dataclass(frozen=True, slots=True)
class Route:
    """One REST operation: a pattern of the raw path, and what else the request must carry."""

    operation: str
    method: str
    pattern: re.Pattern[str]
    query: frozenset[tuple[str, str]]  # ("list-type", "2"); an empty value matches any
    members: frozenset[str]  # required query members
    headers: frozenset[str]  # required headers, lower case
    weight: tuple[int, int, int, int]

    def fits(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> re.Match[str] | None:
        if method != self.method or not self._query_fits(query) or not all(name in headers for name in self.headers):
            return None
        return self.pattern.fullmatch(path)

    def _query_fits(self, query: Mapping[str, str]) -> bool:
        return all(name in query and value in ("", query[name]) for name, value in self.query) and all(
            name in query for name in self.members
        )


def _route(operation: OperationModel) -> Route:
    path, _, static = operation.http["requestUri"].partition("?")
    pattern, literals = "", 0
    for part in re.split(r"(\{[^}]+\})", path.rstrip("/") or "/"):
        if not part.startswith("{"):
            pattern, literals = pattern + re.escape(part), literals + len(part)
        elif part.endswith("+}"):
            pattern += f"(?P<{_group(part[1:-2])}>.+)"
        else:
            pattern += f"(?P<{_group(part[1:-1])}>[^/]+)"
    members, headers = set(), set()
    shape: Any = operation.input_shape
    for name in shape.required_members if shape is not None else ():
        where = shape.members[name].serialization
        if where.get("location") == "querystring":
            members.add(where["name"])
        elif where.get("location") == "header":
            headers.add(where["name"].lower())
    query = frozenset(pair for pair in parse_qsl(static, keep_blank_values=True) if pair[0] != "x-id")
    return Route(
        operation=operation.name,
        method=operation.http["method"],
        pattern=re.compile(pattern + "/?" if path != "/" else "/?", re.DOTALL),
        query=query,
        members=frozenset(members),
        headers=frozenset(headers),
        weight=(len(query), literals, len(members) + len(headers), -int(operation.deprecated)),
    )


def _group(name: str) -> str:
    return re.sub(r"\W", "_", name)


@functools.cache
def routes(service: str) -> tuple[Route, ...]:
    """The routes of a REST service, the most telling first."""
    described = model(service)
    if described is None:
        return ()
    found = [_route(described.operation_model(name)) for name in described.operation_names]
    return tuple(sorted(found, key=lambda route: route.weight, reverse=True))


def rest_operation(
    service: str, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> tuple[str, dict[str, str]] | None:
    """The operation of a REST request and its labels, percent-decoded; None when no operation fits."""
    for route in routes(service):
        if found := route.fits(method, path, query, headers):
            return route.operation, {name: unquote(value) for name, value in found.groupdict().items()}
    return None


def label(name: str) -> str:
    """The key of a label in what `rest_operation` returns."""
    return _group(name)


def signing_name(service: str) -> str:
    """The service name that a signature's scope carries: `states` for `stepfunctions`."""
    described = model(service)
    return str(described.signing_name) if described else service
