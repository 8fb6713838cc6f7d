"""Project -> template: one CloudFormation resource for each declared one, made with troposphere.

Tokens (`${JoinJob}`, `${AlertsTopic.Arn}`, `${asset:jobs/join.py}`) become Ref, GetAtt and Sub here. The template takes
the name of the bucket that holds the assets as its parameter `AssetsBucket`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import troposphere as t
from troposphere import athena as t_athena
from troposphere import awslambda as t_lambda
from troposphere import glue as t_glue
from troposphere import iam as t_iam
from troposphere import s3 as t_s3
from troposphere import secretsmanager as t_secrets
from troposphere import sns as t_sns
from troposphere import stepfunctions as t_states

from millpond.asl import codec
from millpond.errors import ProjectError
from millpond.project import Project
from millpond.resources import Parameter, Resource, athena, glue, lambda_, s3, sagemaker, secrets, sns, states
from millpond.resources.resource import TOKEN
from millpond.stack import assets, flows, iam

ASSETS_BUCKET = "AssetsBucket"


@dataclass(frozen=True)
class Bundle:
    """What is deployed: the template, and the assets that it points at."""

    name: str
    template: dict[str, Any]
    assets: tuple[assets.Asset, ...]
    definitions: Mapping[str, dict[str, Any]]  # flow name -> ASL, for reading and review

    @property
    def body(self) -> str:
        """The template as JSON text."""
        return json.dumps(self.template, indent=1)


@dataclass
class _Making:
    """A template in the making."""

    project: Project
    template: t.Template = field(default_factory=t.Template)
    assets: dict[str, assets.Asset] = field(default_factory=dict)
    definitions: dict[str, dict[str, Any]] = field(default_factory=dict)

    @cached_property
    def known(self) -> frozenset[str]:
        """What a token may point at."""
        return frozenset({resource.logical_id for resource in self.project.resources} | {ASSETS_BUCKET})

    def add(self, resource: Any) -> None:
        self.template.add_resource(resource)

    def script(self, path: str) -> str:
        """The s3:// address of a file of the project, as a token text; remembers to upload it."""
        if path not in self.assets:
            self.assets[path] = assets.file(self.project.root, path)
        return f"s3://${{{ASSETS_BUCKET}}}/{self.assets[path].key}"

    def text(self, value: str) -> Any:
        """A string with tokens as Ref or Sub; one without stays as it is."""
        value = TOKEN.sub(lambda match: self._asset(match), value)
        tokens = TOKEN.findall(value)
        if not tokens:
            return value
        for token in tokens:
            self._check(token)
        if len(tokens) == 1 and value == f"${{{tokens[0]}}}":
            name, _, attribute = tokens[0].partition(".")
            return t.GetAtt(name, attribute) if attribute else t.Ref(name)
        return t.Sub(value)

    def _asset(self, match: re.Match[str]) -> str:
        token = match.group(1)
        return self.script(token.removeprefix("asset:")) if token.startswith("asset:") else match.group(0)

    def _check(self, token: str) -> None:
        name = token.partition(".")[0]
        if not name.startswith("AWS::") and name not in self.known:
            raise ProjectError(
                f"${{{token}}} points at no declared resource", help=f"declared: {', '.join(sorted(self.known))}"
            )

    def value(self, value: Any) -> Any:
        """A JSON value with tokens in its strings."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {key: self.value(item) for key, item in value.items()}
            case list() | tuple():
                return [self.value(item) for item in value]
            case _:
                return value

    def role(self, logical_id: str, service: str, statements: list[iam.Statement]) -> t_iam.Role:
        policy = self.value({"Version": "2012-10-17", "Statement": statements})
        policies = [t_iam.Policy(PolicyName="millpond", PolicyDocument=policy)]
        more = {"Policies": policies} if statements else {}  # IAM takes no policy without a statement
        role = t_iam.Role(logical_id, AssumeRolePolicyDocument=self.value(iam.trust(service)), **more)
        self.add(role)
        return role


def build(project: Project) -> Bundle:
    """The project's template and assets. Reads files, reaches nothing (but for functions with requirements: pip)."""
    making = _Making(project)
    making.template.set_version("2010-09-09")
    making.template.set_description(f"{project.name}, built by Millpond")
    making.template.add_parameter(
        t.Parameter(ASSETS_BUCKET, Type="String", Description="The bucket that holds scripts and packages")
    )
    for resource in project.resources:
        _declare(making, resource)
    template = json.loads(making.template.to_json())
    return Bundle(project.name, template, tuple(making.assets.values()), making.definitions)


def _declare(making: _Making, resource: Resource) -> None:  # noqa: C901 - a dispatch, one line a type
    match resource:
        case Parameter():
            _parameter(making, resource)
        case s3.Bucket():
            making.add(t_s3.Bucket(resource.logical_id, BucketName=making.text(resource.physical_name)))
        case secrets.Secret():
            _secret(making, resource)
        case sns.Topic():
            _topic(making, resource)
        case athena.WorkGroup():
            _workgroup(making, resource)
        case glue.Database():
            _database(making, resource)
        case glue.Connection():
            _connection(making, resource)
        case glue.Crawler():
            _crawler(making, resource)
        case glue.Job():
            _job(making, resource)
        case glue.Workflow():
            _workflow(making, resource)
        case glue.Trigger():
            _trigger(making, resource)
        case lambda_.Function():
            _function(making, resource)
        case sagemaker.ProcessingRole():
            making.role(resource.logical_id, "sagemaker", iam.processing(making.project.resources))
        case states.StateMachine():
            _flow(making, resource)
        case _:
            raise ProjectError(f"{type(resource).__name__} {resource.name!r} has no CloudFormation type")


def _parameter(making: _Making, parameter: Parameter) -> None:
    properties: dict[str, Any] = {"Type": "String"}
    if parameter.description:
        properties["Description"] = parameter.description
    if parameter.default is not None:
        properties["Default"] = parameter.default
    if parameter.secret:
        properties["NoEcho"] = True
    making.template.add_parameter(t.Parameter(parameter.logical_id, **properties))


def _secret(making: _Making, secret: secrets.Secret) -> None:
    making.add(
        t_secrets.Secret(
            secret.logical_id, Name=making.text(secret.physical_name), SecretString=making.text(secret.value)
        )
    )


def _topic(making: _Making, topic: sns.Topic) -> None:
    subscriptions = [t_sns.Subscription(Protocol="email", Endpoint=email) for email in topic.emails]
    more = {"Subscription": subscriptions} if subscriptions else {}
    making.add(t_sns.Topic(topic.logical_id, TopicName=making.text(topic.physical_name), **more))


def _workgroup(making: _Making, workgroup: athena.WorkGroup) -> None:
    results = t_athena.ResultConfiguration(OutputLocation=making.text(workgroup.results))
    making.add(
        t_athena.WorkGroup(
            workgroup.logical_id,
            Name=making.text(workgroup.physical_name),
            RecursiveDeleteOption=True,
            WorkGroupConfiguration=t_athena.WorkGroupConfiguration(
                EnforceWorkGroupConfiguration=True, ResultConfiguration=results
            ),
        )
    )


def _database(making: _Making, database: glue.Database) -> None:
    description = {"Description": database.description} if database.description else {}
    making.add(
        t_glue.Database(
            database.logical_id,
            CatalogId=t.Ref("AWS::AccountId"),
            DatabaseInput=t_glue.DatabaseInput(Name=database.name, **description),
        )
    )


def _connection(making: _Making, connection: glue.Connection) -> None:
    properties = {
        "JDBC_CONNECTION_URL": making.text(connection.url),
        "JDBC_ENFORCE_SSL": "false",
        "SECRET_ID": making.text(connection.secret.ref),
    }
    making.add(
        t_glue.Connection(
            connection.logical_id,
            CatalogId=t.Ref("AWS::AccountId"),
            ConnectionInput=t_glue.ConnectionInput(
                Name=making.text(connection.physical_name), ConnectionType="JDBC", ConnectionProperties=properties
            ),
        )
    )


def _crawler(making: _Making, crawler: glue.Crawler) -> None:
    role = f"{crawler.logical_id}Role"
    making.role(role, "glue", iam.crawler(making.project.resources))
    targets: dict[str, Any] = {}
    if crawler.s3:
        targets["S3Targets"] = [t_glue.S3Target(Path=making.text(path)) for path in crawler.s3]
    if crawler.jdbc:
        targets["JdbcTargets"] = [
            t_glue.JdbcTarget(ConnectionName=making.text(connection.ref), Path=path)
            for connection, path in crawler.jdbc
        ]
    more: dict[str, Any] = {"TablePrefix": crawler.prefix} if crawler.prefix else {}
    if crawler.configuration:
        more["Configuration"] = json.dumps(dict(crawler.configuration))
    making.add(
        t_glue.Crawler(
            crawler.logical_id,
            Name=making.text(crawler.physical_name),
            Role=t.GetAtt(role, "Arn"),
            DatabaseName=making.text(crawler.database.ref),
            Targets=t_glue.Targets(**targets),
            **more,
        )
    )


def _job(making: _Making, job: glue.Job) -> None:
    role = f"{job.logical_id}Role"
    making.role(role, "glue", iam.job(making.project.resources))
    bookmark = "job-bookmark-enable" if job.bookmark else "job-bookmark-disable"
    arguments = {"--job-bookmark-option": bookmark, "--enable-glue-datacatalog": "true", **job.arguments}
    # A Python shell job has a capacity instead of workers (AWS docs, "Job structure").
    size = {"WorkerType": job.worker_type, "NumberOfWorkers": job.workers}
    more: dict[str, Any] = {"MaxCapacity": 0.0625} if job.kind == "pythonshell" else size
    if job.connections:
        names = [making.text(connection.ref) for connection in job.connections]
        more["Connections"] = t_glue.ConnectionsList(Connections=names)
    making.add(
        t_glue.Job(
            job.logical_id,
            Name=making.text(job.physical_name),
            Role=t.GetAtt(role, "Arn"),
            Command=t_glue.JobCommand(
                Name=job.kind, ScriptLocation=making.text(making.script(job.script)), PythonVersion="3"
            ),
            DefaultArguments=making.value(arguments),
            GlueVersion=job.version,
            Timeout=job.timeout,
            MaxRetries=job.retries,
            ExecutionProperty=t_glue.ExecutionProperty(MaxConcurrentRuns=job.concurrency),
            **more,
        )
    )


def _workflow(making: _Making, workflow: glue.Workflow) -> None:
    more: dict[str, Any] = {"Description": workflow.description} if workflow.description else {}
    if workflow.properties:
        more["DefaultRunProperties"] = making.value(workflow.properties)
    if workflow.concurrency:
        more["MaxConcurrentRuns"] = workflow.concurrency
    making.add(t_glue.Workflow(workflow.logical_id, Name=making.text(workflow.physical_name), **more))
    making.template.add_output(t.Output(workflow.logical_id, Value=t.Ref(workflow.logical_id)))


def _trigger(making: _Making, trigger: glue.Trigger) -> None:
    more: dict[str, Any] = {"Description": trigger.description} if trigger.description else {}
    if trigger.workflow:
        more["WorkflowName"] = making.text(trigger.workflow.ref)
    if trigger.schedule:
        more["Schedule"] = trigger.schedule
    if trigger.events:
        more["EventBatchingCondition"] = t_glue.EventBatchingCondition(BatchSize=trigger.events)
    if trigger.after:
        conditions = [_condition(making, one) for one in trigger.after]
        logical = {"Logical": "ANY" if trigger.any_end else "AND"} if len(conditions) > 1 else {}
        more["Predicate"] = t_glue.Predicate(Conditions=conditions, **logical)
    if trigger.kind in ("SCHEDULED", "CONDITIONAL"):
        more["StartOnCreation"] = trigger.active
    making.add(
        t_glue.Trigger(
            trigger.logical_id,
            Name=making.text(trigger.physical_name),
            Type=trigger.kind,
            Actions=[_action(making, one) for one in trigger.starts],
            **more,
        )
    )


def _condition(making: _Making, watched: glue.Job | glue.Crawler | tuple[glue.Job | glue.Crawler, str]) -> Any:
    worker, state = watched if isinstance(watched, tuple) else (watched, "SUCCEEDED")
    name = making.text(worker.ref)
    if isinstance(worker, glue.Job):
        return t_glue.Condition(LogicalOperator="EQUALS", JobName=name, State=state)
    return t_glue.Condition(LogicalOperator="EQUALS", CrawlerName=name, CrawlState=state)


def _action(making: _Making, started: glue.Job | glue.Crawler | glue.Start) -> Any:
    if isinstance(started, glue.Crawler):
        return t_glue.Action(CrawlerName=making.text(started.ref))
    start = started if isinstance(started, glue.Start) else glue.Start(started)
    more: dict[str, Any] = {"Arguments": making.value(start.arguments)} if start.arguments else {}
    if start.timeout:
        more["Timeout"] = start.timeout
    return t_glue.Action(JobName=making.text(start.job.ref), **more)


def _function(making: _Making, function: lambda_.Function) -> None:
    role = f"{function.logical_id}Role"
    making.role(role, "lambda", iam.function(function, making.project.resources))
    cache = making.project.root / ".millpond" / "build"
    package = assets.folder(making.project.root, function.code, python=function.runtime, cache=cache)
    making.assets[function.code] = package
    more: dict[str, Any] = {}
    if function.environment:
        more["Environment"] = t_lambda.Environment(Variables=making.value(function.environment))
    making.add(
        t_lambda.Function(
            function.logical_id,
            FunctionName=making.text(function.physical_name),
            Role=t.GetAtt(role, "Arn"),
            Code=t_lambda.Code(S3Bucket=t.Ref(ASSETS_BUCKET), S3Key=package.key),
            Handler=function.handler,
            Runtime=function.runtime,
            Timeout=function.timeout,
            MemorySize=function.memory,
            **more,
        )
    )


def _flow(making: _Making, flow: states.StateMachine) -> None:
    role = f"{flow.logical_id}Role"
    statements = flows.permissions(flow.definition, making.project.resources, name=flow.physical_name)
    making.role(role, "states", statements)
    text = json.dumps(codec.to_json(flow.definition), indent=1, ensure_ascii=False)
    text = TOKEN.sub(lambda match: making._asset(match), text)
    substitutions: dict[str, Any] = {}

    def substitution(match: re.Match[str]) -> str:
        """DefinitionSubstitutions takes plain names only: `${AlertsTopic.Arn}` becomes `${AlertsTopicArn}`."""
        key = re.sub(r"[^A-Za-z0-9]", "", match.group(1))
        substitutions[key] = making.text(match.group(0))
        return f"${{{key}}}"

    text = TOKEN.sub(substitution, text)
    making.definitions[flow.name] = json.loads(text)
    more = {"DefinitionSubstitutions": substitutions} if substitutions else {}  # an empty one is not valid
    making.add(
        t_states.StateMachine(
            flow.logical_id,
            StateMachineName=making.text(flow.physical_name),
            RoleArn=t.GetAtt(role, "Arn"),
            DefinitionString=text,
            **more,
        )
    )
    making.template.add_output(t.Output(flow.logical_id, Value=t.Ref(flow.logical_id)))
