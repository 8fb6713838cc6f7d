"""The roles of a stack's workers: what a job, a crawler, a function may do, from what the project declares.

Workers reach the project's own buckets, catalog, secrets and logs, nothing else; `flows` has the roles of state
machines. Source: "Actions, resources, and condition keys" (Service Authorization Reference).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from millpond.errors import ProjectError
from millpond.resources import glue, lambda_, s3, secrets
from millpond.resources.resource import Resource

Statement = dict[str, Any]
HERE = "${AWS::Region}:${AWS::AccountId}"


def arn(service: str, resource: str) -> str:
    """An ARN in this partition, region and account, as a token text."""
    return f"arn:${{AWS::Partition}}:{service}:{HERE}:{resource}"


def allow(actions: Iterable[str] | str, resources: Iterable[str] | str, **condition: Any) -> Statement:
    """One Allow statement; sorted, so that a template is stable."""
    statement: Statement = {"Effect": "Allow", "Action": _list(actions), "Resource": _list(resources)}
    return statement | ({"Condition": condition} if condition else {})


def _list(values: Iterable[str] | str) -> list[str]:
    return [values] if isinstance(values, str) else sorted(set(values))


def trust(service: str) -> dict[str, Any]:
    """Who may take the role: the service, on behalf of this account only."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": "${AWS::AccountId}"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def pass_role(role_arn: str, service: str) -> Statement:
    """Handing exactly that role to exactly that service."""
    return allow("iam:PassRole", role_arn, StringEquals={"iam:PassedToService": f"{service}.amazonaws.com"})


def data(resources: Iterable[Resource], *, write: bool) -> list[Statement]:
    """The project's buckets and its assets."""
    buckets = [resource for resource in resources if isinstance(resource, s3.Bucket)]
    statements = [allow("s3:GetObject", "arn:${AWS::Partition}:s3:::${AssetsBucket}/assets/*")]
    if not buckets:
        return statements
    objects = ["s3:GetObject"]
    if write:
        objects += ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    listing = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
    return [
        *statements,
        allow(objects, [f"{bucket.arn}/*" for bucket in buckets]),
        allow(listing, [bucket.arn for bucket in buckets]),
    ]


def catalog(resources: Iterable[Resource], *, write: bool) -> list[Statement]:
    """The project's databases in the Data Catalog, and its connections."""
    resources = list(resources)
    databases = [resource.name for resource in resources if isinstance(resource, glue.Database)]
    actions = ["GetDatabase", "GetDatabases", "GetTable", "GetTables", "GetPartition", "GetPartitions"]
    actions += ["BatchGetPartition"]
    if write:
        actions += ["CreateTable", "UpdateTable", "DeleteTable", "BatchDeleteTable"]
        actions += ["CreatePartition", "BatchCreatePartition", "UpdatePartition", "BatchUpdatePartition"]
        actions += ["DeletePartition", "BatchDeletePartition"]
    places = [arn("glue", "catalog")]
    for name in databases:
        places += [arn("glue", f"database/{name}"), arn("glue", f"table/{name}/*")]
    statements = [allow([f"glue:{action}" for action in actions], places)]
    if any(isinstance(resource, glue.Connection) for resource in resources):
        names = [resource.ref for resource in resources if isinstance(resource, glue.Connection)]
        where = [arn("glue", "catalog"), *(arn("glue", f"connection/{name}") for name in names)]
        statements.append(allow("glue:GetConnection", where))
    return statements


def logs(group: str) -> Statement:
    """Writing to the log groups that begin with `group`."""
    actions = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
    return allow(actions, [arn("logs", f"log-group:{group}*"), arn("logs", f"log-group:{group}*:*")])


def reading_secrets(resources: Iterable[Resource]) -> list[Statement]:
    """The project's own secrets."""
    named = [resource.ref for resource in resources if isinstance(resource, secrets.Secret)]
    return [allow("secretsmanager:GetSecretValue", named)] if named else []


def job(resources: tuple[Resource, ...]) -> list[Statement]:
    """What a Glue job's role may do. Network interfaces are for connections in a VPC."""
    statements = [*data(resources, write=True), *catalog(resources, write=True), *reading_secrets(resources)]
    statements += [logs("/aws-glue/"), allow(("glue:GetJobBookmark", "glue:ResetJobBookmark"), "*")]
    if workflows := [arn("glue", f"workflow/{one.ref}") for one in resources if isinstance(one, glue.Workflow)]:
        actions = ("GetWorkflow", "GetWorkflowRun", "GetWorkflowRunProperties", "PutWorkflowRunProperties")
        statements.append(allow([f"glue:{action}" for action in actions], workflows))
    return statements


def crawler(resources: tuple[Resource, ...]) -> list[Statement]:
    """What a crawler's role may do."""
    return [
        *data(resources, write=False),
        *catalog(resources, write=True),
        *reading_secrets(resources),
        logs("/aws-glue/crawlers"),
        allow(("glue:GetClassifier", "glue:GetCrawler"), "*"),
    ]


def processing(resources: tuple[Resource, ...]) -> list[Statement]:
    """What a SageMaker processing job's role may do."""
    return [*data(resources, write=True), logs("/aws/sagemaker/")]


USES: dict[str, Callable[[tuple[Resource, ...]], list[Statement]]] = {
    "logs": lambda _: [
        allow(
            ("logs:GetLogEvents", "logs:FilterLogEvents"),
            [arn("logs", "log-group:/aws*"), arn("logs", "log-group:/aws*:*")],
        )
    ],
    "glue": lambda resources: catalog(resources, write=False),
    "athena": lambda _: [allow(_athena(("Start", "Get", "Stop")), arn("athena", "workgroup/*"))],
    "s3": lambda resources: data(resources, write=True),
    "secrets": reading_secrets,
}


def _athena(verbs: Iterable[str]) -> list[str]:
    return [f"athena:{verb}QueryExecution" for verb in verbs] + ["athena:GetQueryResults"]


def function(declared: lambda_.Function, resources: tuple[Resource, ...]) -> list[Statement]:
    """What a function's role may do: its own log, and what it `uses`."""
    statements = [logs(f"/aws/lambda/{declared.physical_name}")]
    for use in declared.uses:
        if use not in USES:
            raise ProjectError(f"{declared.name}: uses={use!r} is not one of {', '.join(sorted(USES))}")
        statements += USES[use](resources)
    return statements
