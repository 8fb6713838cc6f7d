"""What a resource type is to the engine: four functions over boto3 operations, and what they are handed.

    create(task) -> physical id      update(task)       delete(task)       read(task) -> attributes

They call the endpoint as anybody would, so a resource of a stack passes the same validation as one made by hand.
`task.name` is the name that the resource will have: the template's own, or `<stack>-<logical id>-<random>`, decided and
written to the journal before the first call. `predict` tells the physical id from it, so that a step that a kill
interrupted finds what it had already made instead of making it twice.

An update may set `task.physical_id` to another one (a custom resource does): the engine then retires the old resource.

Nothing is dropped silently: what a template gives and no converter takes reaches the API call and is refused there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from millpond.local.cloudformation.intrinsics import text

Json = Any
Properties = dict[str, Any]


@dataclass(slots=True)
class Task:
    """One step on one resource. Values in `properties` and `old` are final: dynamic references are resolved."""

    stack_id: str
    stack_name: str
    logical_id: str
    type: str
    properties: Properties
    name: str = ""
    physical_id: str = ""
    old: Properties = field(default_factory=dict)
    token: str = ""
    region: str = "us-east-1"
    account: str = "000000000000"
    client: Callable[[str], Any] = field(repr=False, default=lambda service: None)
    # Tell the journal the physical id as soon as it is known, when the create takes further calls after that.
    report: Callable[[str], None] = field(repr=False, default=lambda physical_id: None)
    sleep: Callable[[float], None] = field(repr=False, default=lambda seconds: None)
    # What create or update learn for GetAtt and read could not ask for (the Data of a custom resource).
    attributes: dict[str, Any] = field(default_factory=dict)

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def take(self, *names: str) -> Properties:
        """The properties with these names, those that are there."""
        return {name: self.properties[name] for name in names if name in self.properties}

    def rest(self, *names: str) -> Properties:
        """The properties without these names."""
        return {name: value for name, value in self.properties.items() if name not in names}


class ProviderError(Exception):
    """A step failed: `code` is one of CloudFormation's HandlerErrorCodes."""

    def __init__(self, message: str, code: str = "InvalidRequest") -> None:
        super().__init__(message)
        self.message, self.code = message, code


Create = Callable[[Task], str]
Act = Callable[[Task], None]
Read = Callable[[Task], dict[str, Any]]


def _nothing(task: Task) -> None:
    return None


def _no_attributes(task: Task) -> dict[str, Any]:
    return {}


def _name_is_id(task: Task) -> str | None:
    return task.name or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One resource type. `update` None: every change of a property replaces the resource."""

    type: str
    service: str = ""
    create: Create
    update: Act | None = None
    delete: Act = _nothing
    read: Read = _no_attributes
    predict: Callable[[Task], str | None] = _name_is_id
    name: str = ""  # path of the property that carries the name, "TableInput.Name"; "" when the type has no name
    name_limit: int = 255
    lower: bool = False  # generated names in lower case
    suffix: Callable[[Properties], str] = lambda properties: ""  # what generated names end with (".fifo")
    attributes: frozenset[str] = frozenset()  # beyond the schema's read-only properties
    any_attribute: bool = False
    tag: Callable[[Task], str] | None = None  # the ARN that tags of an update are written to
    exclusive: bool = True  # the name must be free before create
    inert: bool = False
    creates: str = ""  # the API operation behind create: a type is carried only where its service carries this
    within: str = ""  # the property that names what a physical id is unique in: a table's DatabaseName
    refuse: Mapping[str, str] = field(default_factory=dict)  # property -> why it is not carried


# --- building calls ---------------------------------------------------------------------------------------------------


def call(task: Task, service: str, operation: str, params: Properties) -> dict[str, Any]:
    """Call an operation, with values fitted to the operation's input shape (see `fit`)."""
    client = task.client(service)
    shape = _input_shape(client, operation)
    result: dict[str, Any] = getattr(client, operation)(**(fit(shape, params) if shape is not None else params))
    return result


def _input_shape(client: Any, operation: str) -> Any:
    meta = getattr(client, "meta", None)
    if meta is None:
        return None
    return meta.service_model.operation_model(meta.method_to_api_mapping[operation]).input_shape


def fit(shape: Any, value: Any) -> Any:
    """A CloudFormation value in the API's form: "60" -> 60, "true" -> True, PascalCase -> the member's own case.

    Strings stand for numbers and booleans in templates, and numbers for strings. A JSON document where the API wants
    text is written as text. What does not fit is left as it is, for the operation to refuse.
    """
    if value is None:
        return None
    fitter = _FIT.get(shape.type_name)
    return fitter(shape, value) if fitter else value


def _fit_structure(shape: Any, value: Any) -> Any:
    if not isinstance(value, dict) or getattr(shape, "is_document_type", False):
        return value
    members = {name.lower(): name for name in shape.members}
    fitted = {}
    for key, item in value.items():
        name = key if key in shape.members else members.get(key.lower(), key)
        fitted[name] = fit(shape.members[name], item) if name in shape.members else item
    return fitted


def _fit_list(shape: Any, value: Any) -> Any:
    return [fit(shape.member, item) for item in value] if isinstance(value, list) else value


def _fit_map(shape: Any, value: Any) -> Any:
    return {text(key): fit(shape.value, item) for key, item in value.items()} if isinstance(value, dict) else value


def _fit_string(shape: Any, value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (dict, list)) else text(value)


def _fit_boolean(shape: Any, value: Any) -> Any:
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def _number(kind: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def convert(shape: Any, value: Any) -> Any:
        if isinstance(value, (str, float, int)) and not isinstance(value, bool):
            try:
                return kind(value)
            except ValueError:
                return value
        return value

    return convert


_FIT: dict[str, Callable[[Any, Any], Any]] = {
    "structure": _fit_structure,
    "list": _fit_list,
    "map": _fit_map,
    "string": _fit_string,
    "boolean": _fit_boolean,
    "integer": _number(int),
    "long": _number(int),
    "float": _number(float),
    "double": _number(float),
}


def document(value: Any) -> str:
    """A JSON document that a template may give as an object or as text."""
    return value if isinstance(value, str) else json.dumps(value)


def without_none(values: Mapping[str, Any]) -> Properties:
    return {key: value for key, value in values.items() if value is not None}


# --- errors -----------------------------------------------------------------------------------------------------------

# API error code -> HandlerErrorCode (AWS docs: CloudFormation CLI, handler error codes). Names ending in one of
# `_MISSING` are NotFound wherever they come from.
HANDLER_CODES = {
    "AccessDenied": "AccessDenied",
    "AccessDeniedException": "AccessDenied",
    "AlreadyExistsException": "AlreadyExists",
    "BucketAlreadyExists": "AlreadyExists",
    "BucketAlreadyOwnedByYou": "AlreadyExists",
    "EntityAlreadyExists": "AlreadyExists",
    "ParameterAlreadyExists": "AlreadyExists",
    "QueueNameExists": "AlreadyExists",
    "ResourceAlreadyExistsException": "AlreadyExists",
    "ResourceConflictException": "AlreadyExists",
    "ResourceExistsException": "AlreadyExists",
    "StateMachineAlreadyExists": "AlreadyExists",
    "ConcurrentModificationException": "ResourceConflict",
    "ConcurrentRunsExceededException": "ResourceConflict",
    "CrawlerRunningException": "ResourceConflict",
    "LimitExceededException": "ServiceLimitExceeded",
    "ResourceNumberLimitExceededException": "ServiceLimitExceeded",
    "ThrottlingException": "Throttling",
    "InternalError": "ServiceInternalError",
    "InternalFailure": "ServiceInternalError",
    "InternalServiceException": "ServiceInternalError",
    "NotImplemented": "InvalidRequest",
}
_MISSING = ("NotFound", "NotFoundException", "DoesNotExist", "NonExistentQueue", "NotExist", "NoSuchBucketPolicy")


def error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def is_missing(error: BaseException) -> bool:
    """The resource is not there: all that a delete wants to hear."""
    if isinstance(error, ProviderError):
        return error.code == "NotFound"
    if not isinstance(error, ClientError):
        return False
    code = error_code(error)
    if code in ("InvalidRequestException", "ValidationException", "404"):
        return "not found" in str(error).lower() or code == "404"
    return code.endswith(_MISSING) or code.startswith("NoSuch")


def describe(error: BaseException, token: str) -> str:
    """A failure as CloudFormation writes it into ResourceStatusReason."""
    match error:
        case ProviderError():
            message, code = error.message, error.code
        case ClientError():
            fields = error.response.get("Error", {})
            meta = error.response.get("ResponseMetadata", {})
            name = error_code(error)
            code = "NotFound" if is_missing(error) else HANDLER_CODES.get(name, "InvalidRequest")
            origin = f"Service: {error.operation_name}, Status Code: {meta.get('HTTPStatusCode', 400)}"
            message = f"{fields.get('Message', name)} ({origin}, Error Code: {name})"
        case BotoCoreError():
            message, code = str(error), "InvalidRequest"
        case _:
            message, code = f"{type(error).__name__}: {error}", "InternalFailure"
    return f'Resource handler returned message: "{message}" (RequestToken: {token}, HandlerErrorCode: {code})'


# --- tags -------------------------------------------------------------------------------------------------------------


def tag_map(value: Any) -> dict[str, str]:
    """Tags of either form, list of {Key, Value} or map, as a map."""
    if isinstance(value, dict):
        return {text(key): text(item) for key, item in value.items()}
    return {text(item["Key"]): text(item["Value"]) for item in value or ()}


def tag_list(value: Any, key: str = "Key", item: str = "Value") -> list[dict[str, str]]:
    return [{key: name, item: content} for name, content in tag_map(value).items()]


@dataclass(frozen=True, slots=True)
class Tagging:
    """How a service writes and removes tags of an existing resource."""

    tag: str
    untag: str
    resource: str
    tags: str = "Tags"
    keys: str = "TagKeys"
    form: Callable[[Any], Any] = tag_list


TAGGING: dict[str, Tagging] = {
    "athena": Tagging("tag_resource", "untag_resource", "ResourceARN"),
    "events": Tagging("tag_resource", "untag_resource", "ResourceARN"),
    "glue": Tagging("tag_resource", "untag_resource", "ResourceArn", "TagsToAdd", "TagsToRemove", tag_map),
    "iam": Tagging("tag_role", "untag_role", "RoleName"),
    "lambda": Tagging("tag_resource", "untag_resource", "Resource", form=tag_map),
    "logs": Tagging("tag_resource", "untag_resource", "resourceArn", "tags", "tagKeys", tag_map),
    "scheduler": Tagging("tag_resource", "untag_resource", "ResourceArn"),
    "secretsmanager": Tagging("tag_resource", "untag_resource", "SecretId"),
    "sns": Tagging("tag_resource", "untag_resource", "ResourceArn"),
    "sqs": Tagging("tag_queue", "untag_queue", "QueueUrl", form=tag_map),
    "stepfunctions": Tagging(
        "tag_resource", "untag_resource", "resourceArn", "tags", "tagKeys", lambda tags: tag_list(tags, "key", "value")
    ),
}


def retag(task: Task, provider: Provider, property_name: str) -> None:
    """Bring the tags of an existing resource from `task.old` to `task.properties`."""
    before, after = tag_map(task.old.get(property_name)), tag_map(task.properties.get(property_name))
    if before == after or provider.tag is None:
        return
    how, resource = TAGGING[provider.service], provider.tag(task)
    gone = [key for key in before if key not in after]
    if gone:
        call(task, provider.service, how.untag, {how.resource: resource, how.keys: gone})
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    if changed:
        call(task, provider.service, how.tag, {how.resource: resource, how.tags: how.form(changed)})
