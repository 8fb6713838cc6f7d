"""The role of a state machine: what its states call, every nested one too, and nothing else.

A static name gives that one ARN; a name that the flow computes, the narrowest wildcard of its type in this account.
`.sync` adds looking and stopping, and the rule that EventBridge tells Step Functions by; a role that is handed on is
passed to exactly that service. A task with Credentials needs no more than that role. A call without a rule is an error,
never a wildcard. Sources: "IAM policies for integrated services" (Step Functions), one page an integration; "Actions,
resources, and condition keys" (Service Authorization Reference).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from millpond.asl import Machine, Map, Parallel, State, Task
from millpond.asl.model import ItemReader, ResultWriter
from millpond.errors import ProjectError
from millpond.resources.resource import TOKEN, Resource
from millpond.resources.secrets import Secret
from millpond.resources.sns import Topic
from millpond.resources.states import StateMachine
from millpond.stack.iam import Statement, allow, arn, catalog, data, pass_role

_FIELD = re.compile(r"\{(\w+)\}")
PARTITION = "arn:${AWS::Partition}"
_BY_ARN = (Secret, StateMachine, Topic)  # CloudFormation's Ref of them is their ARN


@dataclass(frozen=True)
class Call:
    """One thing that a flow does: a task's call, or what a distributed Map reads, writes and starts."""

    resource: str
    arguments: Mapping[str, Any]
    project: tuple[Resource, ...]
    machine: str
    """The machine's own name."""

    @property
    def name(self) -> str:
        """`glue:startJobRun.sync`: without what changes nothing for the machine's role."""
        return self.resource.split(":states:::", 1)[-1].removesuffix(".waitForTaskToken")

    @property
    def waits(self) -> bool:
        return ".sync" in self.name

    def static(self, name: str) -> str | None:
        """A field's value where it stands in the definition; None where the flow computes it."""
        value = self.arguments.get(name)
        return value if isinstance(value, str) and "{%" not in value else None

    def place(self, service: str, pattern: str) -> str:
        """An ARN of `service`: `job/{JobName}` with the fields' values, `*` for a computed one. A value that is an
        ARN already stays what it is."""
        for name in _FIELD.findall(pattern):
            value = self.static(name)
            if value is not None and self._is_arn(value):
                return value
            pattern = pattern.replace(f"{{{name}}}", "*" if value is None else value)
        return arn(service, pattern.replace("**", "*"))

    def _is_arn(self, value: str) -> bool:
        if TOKEN.fullmatch(value):
            return value.endswith(".Arn}") or any(one.ref == value for one in self.project if isinstance(one, _BY_ARN))
        return value.startswith("arn:")

    def role(self, name: str) -> str:
        """The role that a field names, by ARN or by name."""
        given = self.static(name) or "*"
        is_arn = given.startswith("arn:") or TOKEN.fullmatch(given) is not None
        return given if is_arn else f"{PARTITION}:iam::${{AWS::AccountId}}:role/{given.rpartition('/')[2]}"


Rule = Callable[[Call], list[Statement]]


def permissions(machine: Machine, project: tuple[Resource, ...], *, name: str) -> list[Statement]:
    """What the state machine `name` may do. Raises ProjectError for an integration without a rule."""
    found: dict[str, Statement] = {}
    for statement in _machine(machine, project, name):
        found[repr(statement)] = statement
    return [found[key] for key in sorted(found)]


def _machine(machine: Machine, project: tuple[Resource, ...], name: str) -> Iterator[Statement]:
    for state in machine.states.values():
        yield from _state(state, project, name)


def _state(state: State, project: tuple[Resource, ...], name: str) -> Iterator[Statement]:
    match state:
        case Task():
            given = state.arguments if isinstance(state.arguments, dict) else state.parameters
            call = Call(state.resource, given if isinstance(given, dict) else {}, project, name)
            yield from _assume(state.credentials) if isinstance(state.credentials, dict) else _allowed(call)
        case Parallel():
            for branch in state.branches:
                yield from _machine(branch, project, name)
        case Map():
            yield from _machine(state.processor, project, name)
            if state.mode == "DISTRIBUTED":
                yield from _distributed(state, name)
        case _:
            pass


def _assume(credentials: Mapping[str, Any]) -> list[Statement]:
    return [allow("sts:AssumeRole", Call("", credentials, (), "").role("RoleArn"))]


def _allowed(call: Call) -> list[Statement]:
    if ":activity:" in call.resource:  # its workers need permissions, the machine none
        return []
    if call.name.startswith("arn:") or TOKEN.fullmatch(call.name):  # a bare function
        return [allow("lambda:InvokeFunction", call.name)]
    rule = RULES.get(call.name.replace(".sync:2", ".sync").removesuffix(".sync"))
    if call.name.startswith("aws-sdk:"):
        rule = _sdk
    if rule is None:
        raise _unknown(call)
    return rule(call)


def _unknown(call: Call) -> ProjectError:
    return ProjectError(
        f"no IAM rule for {call.resource}", help="add one to millpond.stack.flows, or declare the role yourself"
    )


# ----------------------------------------------------------------------------------------------------- distributed Maps


def _distributed(state: Map, name: str) -> Iterator[Statement]:
    """A Map Run starts its own machine, in children that are told by `machine/label`."""
    yield allow("states:StartExecution", arn("states", f"stateMachine:{name}"))
    children = [arn("states", f"execution:{name}:*"), arn("states", f"execution:{name}/*:*")]
    yield allow(("states:DescribeExecution", "states:StopExecution"), children)
    yield allow("states:RedriveExecution", children[1])
    if state.item_reader is not None:
        yield from _reader(state.item_reader)
    if state.result_writer is not None and state.result_writer.resource is not None:
        bucket, prefix = _bucket(state.result_writer, "Prefix")
        actions = ("GetObject", "PutObject", "AbortMultipartUpload", "ListMultipartUploadParts")
        where = f"{bucket}/*" if prefix is None else f"{bucket}/{prefix.strip('/')}/*"
        yield allow([f"s3:{action}" for action in actions], where.replace("//", "/"))


def _reader(reader: ItemReader) -> Iterator[Statement]:
    """Listing needs the bucket, reading the object; a manifest's data lie beside it, who knows where."""
    listing = reader.resource.endswith(":listObjectsV2")
    bucket, key = _bucket(reader, "Prefix" if listing else "Key")
    config = reader.config
    if listing:
        condition = {} if key is None else {"StringLike": {"s3:prefix": f"{key}*"}}
        yield allow("s3:ListBucket", bucket, **condition)
        if config is not None and config.transformation == "LOAD_AND_FLATTEN":
            yield allow("s3:GetObject", f"{bucket}/{key or ''}*")
        return
    whole = key is None or (config is not None and config.input_type == "MANIFEST")
    yield allow("s3:GetObject", f"{bucket}/*" if whole else f"{bucket}/{key}")


def _bucket(part: ItemReader | ResultWriter, field_name: str) -> tuple[str, str | None]:
    """(The bucket's ARN, the key or prefix where it is static)."""
    given = part.arguments if isinstance(part.arguments, dict) else part.parameters
    call = Call("", given if isinstance(given, dict) else {}, (), "")
    return f"{PARTITION}:s3:::{call.static('Bucket') or '*'}", call.static(field_name)


# --------------------------------------------------------------------------------------------------------- integrations


@dataclass(frozen=True)
class Row:
    """An integration whose permissions are API actions on one kind of resource.

    `waiting` and `over`: what `.sync` adds, and on what where that differs. `event`: the end of the name of the
    EventBridge rule that `.sync` needs. `roles`: fields that hold a role -> the service that it is passed to; `only`:
    fields whose values are conditions, where they are static.
    """

    service: str
    actions: tuple[str, ...]
    where: tuple[str, ...]
    waiting: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    event: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    only: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, call: Call) -> list[Statement]:
        waiting = self.waiting if call.waits else ()
        actions = self.actions if self.over else self.actions + waiting
        equal = {key: value for name, key in self.only.items() if (value := call.static(name)) is not None}
        made = [self._allow(call, actions, self.where, **({"StringEquals": equal} if equal else {}))]
        if waiting and self.over:
            made.append(self._allow(call, waiting, self.over))
        if call.waits and self.event:
            made.append(_told(self.event))
        return made + _passed(call, self.roles)

    def _allow(self, call: Call, actions: tuple[str, ...], where: tuple[str, ...], **condition: Any) -> Statement:
        places = ["*" if pattern == "*" else call.place(self.service, pattern) for pattern in where]
        return allow([f"{self.service}:{action}" for action in actions], places, **condition)


def _told(rule: str) -> Statement:
    """Step Functions hears of the end of a job through a rule that it makes itself."""
    where = arn("events", f"rule/StepFunctionsGetEvent{rule}Rule")
    return allow(("events:PutTargets", "events:PutRule", "events:DescribeRule"), where)


def _passed(call: Call, roles: Mapping[str, str]) -> list[Statement]:
    """No arguments at all: one expression computes them."""
    given = {key.removesuffix(".$") for key in call.arguments} or roles.keys()
    return [pass_role(call.role(name), service) for name, service in roles.items() if name in given]


def _query(call: Call) -> list[Statement]:
    """Athena works with its caller's rights: the catalog, the tables' data and the result location."""
    where = [call.place("athena", "workgroup/{WorkGroup}"), arn("athena", "datacatalog/*")]
    actions = ["athena:StartQueryExecution", "athena:GetDataCatalog"]
    if call.waits:
        actions += ["athena:GetQueryExecution", "athena:StopQueryExecution"]
    return [allow(actions, where), *data(call.project, write=True)[1:], *catalog(call.project, write=False)]


def _results(call: Call) -> list[Statement]:
    return [allow("athena:GetQueryResults", arn("athena", "workgroup/*")), *data(call.project, write=False)[1:]]


def _invoke(call: Call) -> list[Statement]:
    qualifier = call.static("Qualifier")
    pattern = "function:{FunctionName}" + (":{Qualifier}" if "Qualifier" in call.arguments else "")
    place = call.place("lambda", pattern)
    is_arn = qualifier is not None and (call.static("FunctionName") or "").startswith("arn:")
    return [allow("lambda:InvokeFunction", f"{place}:{qualifier}" if is_arn else place)]


def _publish(call: Call) -> list[Statement]:
    """A phone has no ARN."""
    if "PhoneNumber" in call.arguments or "PhoneNumber.$" in call.arguments:
        return [allow("sns:Publish", "*")]
    topic = call.static("TopicArn") or call.static("TargetArn")
    return [allow("sns:Publish", topic or arn("sns", "*"))]


def _send(call: Call) -> list[Statement]:
    """A queue's URL ends with its name."""
    url = call.static("QueueUrl")
    return [allow("sqs:SendMessage", arn("sqs", "*" if url is None else url.rpartition("/")[2]))]


def _events(call: Call) -> list[Statement]:
    entries = call.arguments.get("Entries")
    if not isinstance(entries, list):
        return [allow("events:PutEvents", arn("events", "event-bus/*"))]
    buses = []
    for entry in entries:
        given = entry if isinstance(entry, dict) else {"EventBusName.$": ""}
        default = {} if "EventBusName.$" in given else {"EventBusName": "default"}
        buses.append(Call("", default | given, call.project, "").place("events", "event-bus/{EventBusName}"))
    return [allow("events:PutEvents", buses)]


def _nested(call: Call) -> list[Statement]:
    """A child's executions are `execution:<its name>:<theirs>`."""
    machine = call.static("StateMachineArn")
    made = [allow("states:StartExecution", machine or arn("states", "stateMachine:*"))]
    if call.waits:
        ours = [one.physical_name for one in call.project if isinstance(one, StateMachine) and one.ref == machine]
        runs = arn("states", f"execution:{ours[0] if ours else '*'}:*")
        if machine is not None and machine.startswith("arn:"):
            runs = machine.replace(":stateMachine:", ":execution:", 1) + ":*"
        made.append(allow(("states:DescribeExecution", "states:StopExecution"), runs))
        made.append(_told("sForStepFunctionsExecution"))
    return made


def _gateway(call: Call) -> list[Statement]:
    """Only a call that is signed (AuthType IAM_ROLE or RESOURCE_POLICY) needs a permission."""
    said = {"AuthType", "AuthType.$"} & call.arguments.keys()
    if call.static("AuthType") == "NO_AUTH" or (call.arguments and not said):
        return []
    api = (call.static("ApiEndpoint") or "*").partition(".")[0]
    stage, path = call.static("Stage") or "*", (call.static("Path") or "/*").lstrip("/")
    return [allow("execute-api:Invoke", arn("execute-api", f"{api}/{stage}/{call.static('Method') or '*'}/{path}"))]


def _http(call: Call) -> list[Statement]:
    """The endpoint and the method are conditions; EventBridge keeps the connection's secret."""
    condition: dict[str, Any] = {}
    if (method := call.static("Method")) is not None:
        condition["StringEquals"] = {"states:HTTPMethod": method}
    if (url := call.static("ApiEndpoint")) is not None:
        condition["StringLike"] = {"states:HTTPEndpoint": url}
    made = [allow("states:InvokeHTTPEndpoint", arn("states", f"stateMachine:{call.machine}"), **condition)]
    given = call.arguments.get("Authentication") or call.arguments.get("InvocationConfig")
    connection = Call("", given if isinstance(given, dict) else {}, (), "").static("ConnectionArn")
    named = re.fullmatch(r"arn:[^:]+:events:[^:]*:[^:]*:connection/([^/]+)(/.*)?", connection or "")
    secret = arn("secretsmanager", f"secret:events!connection/{named[1] if named else '*'}/*")
    made.append(allow("events:RetrieveConnectionCredentials", connection or arn("events", "connection/*")))
    made.append(allow(("secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"), secret))
    return made


def _model(call: Call) -> list[Statement]:
    """A foundation model has no account in its ARN."""
    model = call.static("ModelId")
    if model is not None and model.startswith("arn:"):
        return [allow("bedrock:InvokeModel", model)]
    return [allow("bedrock:InvokeModel", f"{PARTITION}:bedrock:${{AWS::Region}}::foundation-model/{model or '*'}")]


def _task(call: Call) -> list[Statement]:
    """The roles of an ECS task stand in its definition, which the flow does not show."""
    definition = call.static("TaskDefinition")
    every = ":*" if definition is not None and ":" not in definition else ""
    made = [allow("ecs:RunTask", call.place("ecs", "task-definition/{TaskDefinition}") + every)]
    if call.waits:
        made += [allow(("ecs:StopTask", "ecs:DescribeTasks"), arn("ecs", "task/*")), _told("sForECSTask")]
    return [*made, pass_role(call.role(""), "ecs-tasks")]


def _sagemaker(kind: str, where: str, *, event: str) -> Row:
    return Row(
        "sagemaker",
        (f"Create{kind}", "AddTags", "ListTags"),
        (where,),
        (f"Describe{kind}", f"Stop{kind}"),
        event=f"sForSageMaker{event}",
        roles={"RoleArn": "sagemaker"},
    )


_EMR, _APPLICATION = "cluster/{ClusterId}", "/applications/{ApplicationId}"
_ENDPOINT = ("endpoint/{EndpointName}", "endpoint-config/{EndpointConfigName}")
_EMR_EVENT, _SERVERLESS_EVENT = "ForEMR", "sForEMRServerlessApplication"
_EMR_ROLES = {"ServiceRole": "elasticmapreduce", "JobFlowRole": "ec2", "AutoScalingRole": "application-autoscaling"}

RULES: Mapping[str, Rule] = {
    "apigateway:invoke": _gateway,
    "athena:startQueryExecution": _query,
    "athena:stopQueryExecution": Row("athena", ("StopQueryExecution",), ("workgroup/*",)),
    "athena:getQueryExecution": Row("athena", ("GetQueryExecution",), ("workgroup/*",)),
    "athena:getQueryResults": _results,
    "batch:submitJob": Row(
        "batch",
        ("SubmitJob",),
        ("job-queue/{JobQueue}", "job-definition/{JobDefinition}", "job-definition/{JobDefinition}:*"),
        ("DescribeJobs", "TerminateJob"),
        ("*",),  # DescribeJobs knows no resources
        event="sForBatchJobs",
    ),
    "bedrock:invokeModel": _model,
    "codebuild:startBuild": Row(
        "codebuild",
        ("StartBuild",),
        ("project/{ProjectName}",),
        ("StopBuild", "BatchGetBuilds", "BatchGetReports"),
        event="ForCodeBuildStartBuild",
    ),
    "codebuild:startBuildBatch": Row(
        "codebuild",
        ("StartBuildBatch",),
        ("project/{ProjectName}",),
        ("StopBuildBatch", "BatchGetBuildBatches"),
        event="ForCodeBuildStartBuildBatch",
    ),
    "databrew:startJobRun": Row("databrew", ("StartJobRun",), ("job/{Name}",), ("StopJobRun", "ListJobRuns")),
    "dynamodb:getItem": Row("dynamodb", ("GetItem",), ("table/{TableName}",)),
    "dynamodb:putItem": Row("dynamodb", ("PutItem",), ("table/{TableName}",)),
    "dynamodb:updateItem": Row("dynamodb", ("UpdateItem",), ("table/{TableName}",)),
    "dynamodb:deleteItem": Row("dynamodb", ("DeleteItem",), ("table/{TableName}",)),
    "ecs:runTask": _task,
    "eks:call": Row("eks", ("DescribeCluster",), ("cluster/{ClusterName}",)),
    "eks:runJob": Row("eks", ("DescribeCluster",), ("cluster/{ClusterName}",)),
    "elasticmapreduce:createCluster": Row(
        "elasticmapreduce",
        ("RunJobFlow", "AddTags"),
        ("*",),  # RunJobFlow knows no resources
        ("DescribeCluster", "TerminateJobFlows"),
        ("cluster/*",),
        event=f"{_EMR_EVENT}RunJobFlow",
        roles=_EMR_ROLES,
    ),
    "elasticmapreduce:addStep": Row(
        "elasticmapreduce",
        ("AddJobFlowSteps",),
        (_EMR,),
        ("DescribeStep", "CancelSteps"),
        event=f"{_EMR_EVENT}AddJobFlowSteps",
    ),
    "elasticmapreduce:cancelStep": Row("elasticmapreduce", ("CancelSteps",), (_EMR,)),
    "elasticmapreduce:setClusterTerminationProtection": Row("elasticmapreduce", ("SetTerminationProtection",), (_EMR,)),
    "elasticmapreduce:modifyInstanceFleetByName": Row(
        "elasticmapreduce", ("ModifyInstanceFleet", "ListInstanceFleets"), (_EMR,)
    ),
    "elasticmapreduce:modifyInstanceGroupByName": Row(
        "elasticmapreduce", ("ModifyInstanceGroups", "ListInstanceGroups"), (_EMR,)
    ),
    "elasticmapreduce:terminateCluster": Row(
        "elasticmapreduce",
        ("TerminateJobFlows",),
        (_EMR,),
        ("DescribeCluster",),
        event=f"{_EMR_EVENT}TerminateJobFlows",
    ),
    "emr-containers:startJobRun": Row(
        "emr-containers",
        ("StartJobRun",),
        ("/virtualclusters/{VirtualClusterId}",),
        ("DescribeJobRun", "CancelJobRun"),
        ("/virtualclusters/{VirtualClusterId}/jobruns/*",),
        only={"ExecutionRoleArn": "emr-containers:ExecutionRoleArn"},
    ),
    "emr-serverless:createApplication": Row(
        "emr-serverless",
        ("CreateApplication",),
        ("/*",),
        ("GetApplication", "DeleteApplication"),
        ("/applications/*",),
        event=_SERVERLESS_EVENT,
    ),
    "emr-serverless:startApplication": Row(
        "emr-serverless",
        ("StartApplication",),
        (_APPLICATION,),
        ("GetApplication", "StopApplication"),
        event=_SERVERLESS_EVENT,
    ),
    "emr-serverless:stopApplication": Row(
        "emr-serverless", ("StopApplication",), (_APPLICATION,), ("GetApplication",), event=_SERVERLESS_EVENT
    ),
    "emr-serverless:deleteApplication": Row(
        "emr-serverless", ("DeleteApplication",), (_APPLICATION,), ("GetApplication",), event=_SERVERLESS_EVENT
    ),
    "emr-serverless:startJobRun": Row(
        "emr-serverless",
        ("StartJobRun",),
        (_APPLICATION,),
        ("GetJobRun", "CancelJobRun"),
        (f"{_APPLICATION}/jobruns/*",),
        event="sForEMRServerlessJob",
        roles={"ExecutionRoleArn": "emr-serverless"},
    ),
    "emr-serverless:cancelJobRun": Row(
        "emr-serverless",
        ("CancelJobRun",),
        (f"{_APPLICATION}/jobruns/{{JobRunId}}",),
        ("GetJobRun",),
        event="sForEMRServerlessJob",
    ),
    "events:putEvents": _events,
    "glue:startJobRun": Row(
        "glue", ("StartJobRun",), ("job/{JobName}",), ("GetJobRun", "GetJobRuns", "BatchStopJobRun")
    ),
    "http:invoke": _http,
    "lambda:invoke": _invoke,
    "mediaconvert:createJob": Row(
        "mediaconvert",
        ("CreateJob",),
        ("queues/*", "jobTemplates/*", "presets/*"),
        ("GetJob", "CancelJob"),
        ("jobs/*",),
        event="sForMediaConvertJob",
        roles={"Role": "mediaconvert"},
    ),
    "sagemaker:createProcessingJob": _sagemaker("ProcessingJob", "processing-job/*", event="ProcessingJobs"),
    "sagemaker:createTrainingJob": _sagemaker("TrainingJob", "training-job/{TrainingJobName}*", event="TrainingJobs"),
    "sagemaker:createTransformJob": _sagemaker(
        "TransformJob", "transform-job/{TransformJobName}*", event="TransformJobs"
    ),
    "sagemaker:createHyperParameterTuningJob": _sagemaker(
        "HyperParameterTuningJob", "hyper-parameter-tuning-job/*", event="TuningJobs"
    ),
    "sagemaker:createLabelingJob": _sagemaker("LabelingJob", "labeling-job/{LabelingJobName}*", event="LabelingJobs"),
    "sagemaker:createModel": Row(
        "sagemaker", ("CreateModel", "ListTags"), ("model/{ModelName}",), roles={"ExecutionRoleArn": "sagemaker"}
    ),
    "sagemaker:createEndpointConfig": Row(
        "sagemaker", ("CreateEndpointConfig", "ListTags"), ("endpoint-config/{EndpointConfigName}",)
    ),
    "sagemaker:createEndpoint": Row("sagemaker", ("CreateEndpoint", "ListTags"), _ENDPOINT),
    "sagemaker:updateEndpoint": Row("sagemaker", ("UpdateEndpoint", "ListTags"), _ENDPOINT),
    "sns:publish": _publish,
    "sqs:sendMessage": _send,
    "states:startExecution": _nested,
}

# -------------------------------------------------------------------------------------------------------------- aws-sdk

SDK: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "athena": ("athena", ("workgroup/{WorkGroup}",)),
    "cloudwatchlogs": ("logs", ("log-group:{LogGroupName}", "log-group:{LogGroupName}:*")),
    "dynamodb": ("dynamodb", ("table/{TableName}",)),
    "eventbridge": ("events", ("event-bus/{EventBusName}", "rule/{Name}")),
    "kinesis": ("kinesis", ("stream/{StreamName}",)),
    "lambda": ("lambda", ("function:{FunctionName}",)),
    "secretsmanager": ("secretsmanager", ("secret:{SecretId}*",)),
    "sfn": ("states", ("stateMachine:{StateMachineArn}", "execution:{ExecutionArn}")),
    "sns": ("sns", ("{TopicArn}",)),
    "ssm": ("ssm", ("parameter/{Name}",)),
}
"""Services whose actions are called as their operations are: their prefix in IAM and the places they work on."""

VERBS: Mapping[str, str] = {
    "lambda:invoke": "lambda:InvokeFunction",
    "sns:publishBatch": "sns:Publish",
    "sqs:sendMessageBatch": "sqs:SendMessage",
    "sqs:deleteMessageBatch": "sqs:DeleteMessage",
    "s3:copyObject": "s3:PutObject",
    "s3:headObject": "s3:GetObject",
    "s3:createMultipartUpload": "s3:PutObject",
    "s3:uploadPart": "s3:PutObject",
    "s3:completeMultipartUpload": "s3:PutObject",
    "s3:listParts": "s3:ListMultipartUploadParts",
}
"""Operations whose action has another name. One that IAM knows under several names has no rule here."""

OBJECTS = frozenset({"getObject", "putObject", "deleteObject", "headObject", "getObjectTagging", "putObjectTagging"})
OBJECTS |= {"copyObject", "createMultipartUpload", "uploadPart", "completeMultipartUpload", "abortMultipartUpload"}
OBJECTS |= {"listParts"}
BUCKETS: Mapping[str, str] = {
    "listObjects": "ListBucket",
    "listObjectsV2": "ListBucket",
    "headBucket": "ListBucket",
    "getBucketLocation": "GetBucketLocation",
}
SEVERAL = frozenset({"transactGetItems", "transactWriteItems", "executeStatement", "executeTransaction"})
SEVERAL |= {"batchExecuteStatement"}


def _sdk(call: Call) -> list[Statement]:
    """A call of any API: rules for the services that flows of data use."""
    service, _, action = call.name.removeprefix("aws-sdk:").partition(":")
    verb = VERBS.get(f"{service}:{action}")
    if service == "s3":
        return _sdk_s3(call, action, verb or f"s3:{action[:1].upper()}{action[1:]}")
    if service == "glue":
        return _sdk_glue(call, action)
    if service == "sqs":
        url = call.static("QueueUrl")
        place = arn("sqs", url.rpartition("/")[2] if url else call.static("QueueName") or "*")
        return [allow(verb or f"sqs:{action[:1].upper()}{action[1:]}", place)]
    if service not in SDK or action in SEVERAL:
        raise _unknown(call)
    prefix, patterns = SDK[service]
    if call.name in ("aws-sdk:dynamodb:query", "aws-sdk:dynamodb:scan"):
        patterns += ("table/{TableName}/index/*",)
    return [allow(verb or f"{prefix}:{action[:1].upper()}{action[1:]}", list(_places(call, prefix, patterns)))]


def _places(call: Call, service: str, patterns: tuple[str, ...]) -> Iterator[str]:
    """The patterns that the call has a field for; all of them, with wildcards, where it has none."""
    named = [one for one in patterns if any(name in call.arguments for name in _FIELD.findall(one))]
    for pattern in named or patterns:
        yield call.place(service, pattern)


def _sdk_s3(call: Call, action: str, verb: str) -> list[Statement]:
    bucket = f"{PARTITION}:s3:::{call.static('Bucket') or '*'}"
    if action in BUCKETS:
        return [allow(f"s3:{BUCKETS[action]}", bucket)]
    if action == "deleteObjects":
        return [allow("s3:DeleteObject", f"{bucket}/*")]
    if action not in OBJECTS:
        raise _unknown(call)
    made = [allow(verb, f"{bucket}/{call.static('Key') or '*'}")]
    if action == "copyObject":
        source = (call.static("CopySource") or "*/*").lstrip("/").partition("?")[0]
        made.append(allow("s3:GetObject", f"{PARTITION}:s3:::{source}"))
    return made


GLUE: Mapping[str, tuple[str, ...]] = {
    "Crawler": ("crawler/{Name}",),
    "Trigger": ("trigger/{Name}",),
    "Workflow": ("workflow/{Name}",),
    "JobRun": ("job/{JobName}",),
    "JobBookmark": ("job/{JobName}",),
    "Job": ("job/{JobName}",),
    "Partition": ("catalog", "database/{DatabaseName}", "table/{DatabaseName}/{TableName}"),
    "Table": ("catalog", "database/{DatabaseName}", "table/{DatabaseName}/{Name}"),
    "Database": ("catalog", "database/{Name}"),
    "Connection": ("catalog", "connection/{Name}"),
}
"""What the operations that have a word in their name work on; the first row that fits."""


def _sdk_glue(call: Call, action: str) -> list[Statement]:
    patterns = next((found for word, found in GLUE.items() if word in action), None)
    if patterns is None:
        raise _unknown(call)
    if patterns == GLUE["Workflow"] and "Name" not in call.arguments and "WorkflowName" in call.arguments:
        patterns = ("workflow/{WorkflowName}",)
    places = [call.place("glue", one) for one in patterns]
    return [allow(f"glue:{action[:1].upper()}{action[1:]}", places), *_passed(call, {"Role": "glue"})]
