"""The roles of a stack: what a flow, a job, a crawler, a function may do, from what the project declares.

A flow's role is derived from its states (every nested one too): a static name gives that one ARN, a name computed at
run time the narrowest wildcard of its type in this account. Workers reach the project's own buckets, catalog, secrets
and logs, nothing else. Sources: "IAM policies for integrated services" (Step Functions), "Actions, resources, and
condition keys" (Service Authorization Reference).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from millpond.asl import Machine, Map, Parallel, State, Task
from millpond.errors import ProjectError
from millpond.resources import glue, lambda_, s3, secrets
from millpond.resources.resource import TOKEN, Resource

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


# ------------------------------------------------------------------------------------------------------------- flows


@dataclass(frozen=True)
class Calls:
    """Everything that a flow calls, and what it is called with."""

    resource: str
    arguments: Mapping[str, Any]


def calls(machine: Machine) -> Iterator[Calls]:
    """The tasks of a machine, of its branches and of its Maps."""
    for state in machine.states.values():
        yield from _calls(state)


def _calls(state: State) -> Iterator[Calls]:
    match state:
        case Task():
            given = state.arguments if isinstance(state.arguments, dict) else state.parameters
            yield Calls(state.resource, given if isinstance(given, dict) else {})
        case Parallel():
            for branch in state.branches:
                yield from calls(branch)
        case Map():
            yield from calls(state.processor)
        case _:
            pass


def flow(machine: Machine, resources: tuple[Resource, ...]) -> list[Statement]:
    """What a state machine's role may do. An integration without a rule here is an error, never a wildcard."""
    found: dict[str, Statement] = {}
    for call in calls(machine):
        for statement in _permissions(call, resources):
            found[repr(statement)] = statement
    return [found[key] for key in sorted(found)]


def _name(call: Calls, field: str, pattern: str) -> str:
    """The ARN of what `field` names: exact when it is static, a wildcard when JSONata computes it."""
    value = call.arguments.get(field) or call.arguments.get(f"{field}.$")
    static = isinstance(value, str) and "{%" not in value and not value.startswith("$.")
    return pattern.format(value if static else "*")


def _permissions(call: Calls, resources: tuple[Resource, ...]) -> list[Statement]:
    name = call.resource.split(":states:::", 1)[-1]
    service, _, action = name.removeprefix("aws-sdk:").partition(":")
    rule = RULES.get(name) or (SDK.get(service) if name.startswith("aws-sdk:") else None)
    if name.startswith("arn:") or TOKEN.fullmatch(name):  # a bare function
        return [allow("lambda:InvokeFunction", name)]
    if rule is None:
        raise ProjectError(
            f"no IAM rule for {call.resource}", help="add one to millpond.stack.iam, or declare the role yourself"
        )
    return rule(call, action, resources)


Rule = Callable[[Calls, str, tuple[Resource, ...]], list[Statement]]


def _glue_job(call: Calls, action: str, resources: tuple[Resource, ...]) -> list[Statement]:
    actions = ["glue:StartJobRun"]
    if action.endswith(".sync"):
        actions += ["glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"]
    return [allow(actions, arn("glue", _name(call, "JobName", "job/{}")))]


def _query(call: Calls, action: str, resources: tuple[Resource, ...]) -> list[Statement]:
    """Athena works with its caller's rights: the catalog, the tables' data and the result location."""
    where = [arn("athena", _name(call, "WorkGroup", "workgroup/{}")), arn("athena", "datacatalog/*")]
    actions = ["athena:StartQueryExecution", "athena:GetDataCatalog"]
    if action.endswith(".sync"):
        actions += ["athena:GetQueryExecution", "athena:StopQueryExecution"]
    return [allow(actions, where), *data(resources, write=True)[1:], *catalog(resources, write=False)]


def _processing(call: Calls, action: str, resources: tuple[Resource, ...]) -> list[Statement]:
    actions = ["sagemaker:CreateProcessingJob", "sagemaker:AddTags", "sagemaker:ListTags"]
    statements = [pass_role(str(call.arguments["RoleArn"]), "sagemaker")]
    if action.endswith(".sync"):
        actions += ["sagemaker:DescribeProcessingJob", "sagemaker:StopProcessingJob"]
        rule = arn("events", "rule/StepFunctionsGetEventsForSageMakerProcessingJobsRule")
        statements.append(allow(("events:PutTargets", "events:PutRule", "events:DescribeRule"), rule))
    return [allow(actions, arn("sagemaker", "processing-job/*")), *statements]


def _invoke(call: Calls, action: str, resources: tuple[Resource, ...]) -> list[Statement]:
    return [allow("lambda:InvokeFunction", arn("lambda", _name(call, "FunctionName", "function:{}")))]


def _publish(call: Calls, action: str, resources: tuple[Resource, ...]) -> list[Statement]:
    return [allow("sns:Publish", _name(call, "TopicArn", "{}"))]


RULES: dict[str, Rule] = {
    "lambda:invoke": _invoke,
    "glue:startJobRun": _glue_job,
    "glue:startJobRun.sync": _glue_job,
    "athena:startQueryExecution": _query,
    "athena:startQueryExecution.sync": _query,
    "sagemaker:createProcessingJob": _processing,
    "sagemaker:createProcessingJob.sync": _processing,
    "sns:publish": _publish,
}


def _sdk_glue(call: Calls, action: str, resources: tuple[Resource, ...]) -> list[Statement]:
    kind = next((word for word in ("workflow", "trigger") if word in action.lower()), "crawler")
    return [allow(f"glue:{action[:1].upper()}{action[1:]}", arn("glue", _name(call, "Name", kind + "/{}")))]


def _sdk_s3(call: Calls, action: str, resources: tuple[Resource, ...]) -> list[Statement]:
    verbs = {
        "getObject": "GetObject",
        "putObject": "PutObject",
        "deleteObject": "DeleteObject",
        "headObject": "GetObject",
    }
    if action not in verbs:
        raise ProjectError(f"no IAM rule for aws-sdk:s3:{action}", help="add one to millpond.stack.iam")
    bucket = _name(call, "Bucket", "{}")
    return [allow(f"s3:{verbs[action]}", f"arn:${{AWS::Partition}}:s3:::{bucket}/{_name(call, 'Key', '{}')}")]


SDK: dict[str, Rule] = {"glue": _sdk_glue, "s3": _sdk_s3}
