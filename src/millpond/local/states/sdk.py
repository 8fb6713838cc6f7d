"""Any AWS API as a Task: names, parameters and answers between ASL's forms and botocore's.

ASL names services as the Java SDK does (`sfn`, `cloudwatchlogs`), actions in camelCase, members in PascalCase. Answers
come back in JSON forms: timestamps as text (SDK integrations) or epoch milliseconds (optimised ones), blobs as text.
Errors are called `Glue.EntityNotFoundException`: the service's Java name and the modelled error.
"""

from __future__ import annotations

import base64
import functools
import gzip
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millpond.local import models

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from botocore.model import OperationModel, Shape

# ASL's service -> botocore's, where dropping the hyphens of botocore's name does not give it.
SERVICES: Mapping[str, str] = {
    "cloudwatchlogs": "logs",
    "eventbridge": "events",
    "sfn": "stepfunctions",
    "elasticloadbalancing": "elb",
    "elasticloadbalancingv2": "elbv2",
    "databasemigration": "dms",
    "costexplorer": "ce",
    "costandusagereport": "cur",
    "elasticsearch": "es",
    "cognitoidentityprovider": "cognito-idp",
    "redshiftdata": "redshift-data",
    "rdsdata": "rds-data",
    "iotdataplane": "iot-data",
    "applicationautoscaling": "application-autoscaling",
    "systemsmanager": "ssm",
}
# The Java name of a service in error names where the rule does not give it.
OPTIMISED_NAMES: Mapping[str, str] = {
    "dynamodb": "DynamoDB",
    "states": "StepFunctions",
    "sns": "SNS",
    "sqs": "SQS",
    "lambda": "Lambda",
    "glue": "Glue",
    "athena": "Athena",
    "events": "EventBridge",
    "sagemaker": "SageMaker",
}


class ParameterError(Exception):
    """Arguments that an API cannot take; the text is what AWS puts in brackets."""


@functools.cache
def service_named(name: str) -> str | None:
    """botocore's name of a service that ASL calls `name`, or None: `sfn` -> `stepfunctions`."""
    if name in SERVICES:
        return SERVICES[name]
    return _by_service_id().get(name)


@functools.cache
def _by_service_id() -> Mapping[str, str]:
    """Service ids (spaces and hyphens removed, lower case) and botocore names, read from the head of each model."""
    import botocore

    found: dict[str, str] = {}
    pattern = re.compile(rb'"serviceId"\s*:\s*"([^"]+)"')
    for model in sorted((Path(botocore.__file__).parent / "data").glob("*/*/service-2.json.gz")):
        service = model.parts[-3]
        with gzip.open(model) as file:
            named = pattern.search(file.read(4096))
        found[service.replace("-", "")] = service
        if named:
            found[re.sub(r"[\s-]", "", named[1].decode()).lower()] = service
    return found


def operation_named(service: str, action: str) -> OperationModel | None:
    """The operation of a botocore service that ASL calls `action`: `startCrawler`, `getQueryResults`."""
    described = models.model(service)
    if described is None:
        return None
    name = _operations(service).get(action.lower())
    return described.operation_model(name) if name else None


@functools.cache
def _operations(service: str) -> Mapping[str, str]:
    described = models.model(service)
    return {name.lower(): name for name in described.operation_names} if described else {}


def knows(service: str, action: str) -> bool:
    """Does the AWS SDK have this service (by ASL's name) and action? For `asl.check`."""
    named = service_named(service)
    return named is not None and operation_named(named, action) is not None


# ----------------------------------------------------------------------------------------------------------- parameters


def parameters(operation: OperationModel, arguments: Any) -> dict[str, Any]:
    """ASL arguments as botocore takes them. Raises ParameterError naming every field that does not fit."""
    shape = operation.input_shape
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise ParameterError("The value for the Parameters must be a JSON object")
    if shape is None:
        return {}
    wrong: list[str] = []
    converted = _structure(shape, arguments, wrong)
    if wrong:
        raise ParameterError(", ".join(wrong))
    return converted


def pascal(member: str) -> str:
    """A member as ASL writes it."""
    return member[:1].upper() + member[1:]


def _structure(shape: Shape, value: dict[str, Any], wrong: list[str]) -> dict[str, Any]:
    members: Mapping[str, Shape] = shape.members  # type: ignore[attr-defined]
    by_name = {pascal(name): name for name in members} | {name: name for name in members}
    converted: dict[str, Any] = {}
    for key, item in value.items():
        name = by_name.get(key)
        if name is None:
            wrong.append(f'The field "{key}" is not supported by Step Functions')
        elif item is not None:
            converted[name] = _incoming(members[name], item, key, wrong)
    required: list[str] = getattr(shape, "required_members", [])
    wrong += [f'The field "{pascal(name)}" is required but was missing' for name in required if name not in converted]
    return converted


def _incoming(shape: Shape, value: Any, field: str, wrong: list[str]) -> Any:
    convert = _INCOMING.get(shape.type_name)
    if convert is None:
        return value
    return convert(shape, value, field, wrong)


def _into_structure(shape: Shape, value: Any, field: str, wrong: list[str]) -> Any:
    if getattr(shape, "is_document_type", False):
        return value
    if not isinstance(value, dict):
        wrong.append(f"The value for the field '{field}' must be a JSON object")
        return {}
    return _structure(shape, value, wrong)


def _into_list(shape: Shape, value: Any, field: str, wrong: list[str]) -> Any:
    if not isinstance(value, list):
        wrong.append(f"The value for the field '{field}' must be an ARRAY")
        return []
    member: Shape = shape.member  # type: ignore[attr-defined]
    return [_incoming(member, item, field, wrong) for item in value]


def _into_map(shape: Shape, value: Any, field: str, wrong: list[str]) -> Any:
    if not isinstance(value, dict):
        wrong.append(f"The value for the field '{field}' must be a JSON object")
        return {}
    member: Shape = shape.value  # type: ignore[attr-defined]
    return {key: _incoming(member, item, key, wrong) for key, item in value.items()}


def _into_text(shape: Shape, value: Any, field: str, wrong: list[str]) -> Any:
    if isinstance(value, str):
        return value
    wrong.append(f"The value for the field '{field}' must be a STRING")
    return ""


def _into_blob(shape: Shape, value: Any, field: str, wrong: list[str]) -> Any:
    from millpond.asl.paths import compact

    return (value if isinstance(value, str) else compact(value)).encode()


def _into_number(shape: Shape, value: Any, field: str, wrong: list[str]) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        wrong.append(f"The value for the field '{field}' must be a NUMBER")
        return 0
    return int(value) if shape.type_name in ("integer", "long") else value


def _into_boolean(shape: Shape, value: Any, field: str, wrong: list[str]) -> Any:
    if not isinstance(value, bool):
        wrong.append(f"The value for the field '{field}' must be a BOOLEAN")
    return value is True


def _into_timestamp(shape: Shape, value: Any, field: str, wrong: list[str]) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        wrong.append(f"The value for the field '{field}' must be a timestamp")
        return datetime.fromtimestamp(0, UTC)


_INCOMING: Mapping[str, Callable[[Any, Any, str, list[str]], Any]] = {
    "structure": _into_structure,
    "list": _into_list,
    "map": _into_map,
    "string": _into_text,
    "character": _into_text,
    "blob": _into_blob,
    "integer": _into_number,
    "long": _into_number,
    "float": _into_number,
    "double": _into_number,
    "boolean": _into_boolean,
    "timestamp": _into_timestamp,
}

# -------------------------------------------------------------------------------------------------------------- answers


def answer(operation: OperationModel, response: Mapping[str, Any], *, millis: bool = False) -> dict[str, Any]:
    """A botocore answer in ASL's form: PascalCase members; timestamps as ISO text or (optimised) epoch milliseconds."""
    shape = operation.output_shape
    if shape is None:
        return {}
    return _outgoing_dict(shape, {key: value for key, value in response.items() if key != "ResponseMetadata"}, millis)


def _outgoing(shape: Shape | None, value: Any, millis: bool) -> Any:
    match value:
        case datetime():
            return _stamp(value, millis)
        case bytes() | bytearray():
            return _text(bytes(value))
        case dict():
            return _outgoing_dict(shape, value, millis)
        case list():
            member = getattr(shape, "member", None)
            return [_outgoing(member, item, millis) for item in value]
        case _ if hasattr(value, "read"):  # a streaming body
            return _text(value.read())
        case _:
            return value


def _outgoing_dict(shape: Shape | None, value: dict[str, Any], millis: bool) -> dict[str, Any]:
    if shape is not None and shape.type_name == "structure":
        members: Mapping[str, Shape] = shape.members  # type: ignore[attr-defined]
        return {
            pascal(key): _outgoing(members.get(key), item, millis) for key, item in value.items() if item is not None
        }
    member = getattr(shape, "value", None)
    return {key: _outgoing(member, item, millis) for key, item in value.items()}


def _stamp(value: datetime, millis: bool) -> Any:
    value = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if millis:
        return int(value.timestamp() * 1000)
    text = value.isoformat(timespec="milliseconds" if value.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def with_metadata(output: dict[str, Any], response: Mapping[str, Any]) -> dict[str, Any]:
    """What optimised integrations add to a call's answer; keys sorted as AWS writes them."""
    metadata = response.get("ResponseMetadata", {})
    headers = {str(name): str(value) for name, value in metadata.get("HTTPHeaders", {}).items()}
    request_id = metadata.get("RequestId") or str(uuid.uuid4())
    added = {
        "SdkHttpMetadata": {
            "AllHttpHeaders": {name: [value] for name, value in headers.items()},
            "HttpHeaders": headers,
            "HttpStatusCode": metadata.get("HTTPStatusCode", 200),
        },
        "SdkResponseMetadata": {"RequestId": request_id},
    }
    return dict(sorted((output | added).items()))


# --------------------------------------------------------------------------------------------------------------- errors


@functools.cache
def java_name(service: str) -> str:
    """A botocore service's name in SDK errors: `DynamoDb`, `Sfn`, `CloudWatchLogs`."""
    described = models.model(service)
    identity = described.metadata.get("serviceId", service) if described else service
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", identity)
    return "".join(word[:1].upper() + word[1:].lower() for word in words)


def failure(service: str, operation: OperationModel, error: ClientError, *, optimised: bool) -> tuple[str, str]:
    """The ASL error name and cause of an API error. `service` is ASL's (optimised) or botocore's name."""
    details = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    # A service that once spoke the query protocol (SQS) sends its old code too; the modelled one stands beside it.
    code = str(details.get("QueryErrorCode") or details.get("Code", ""))
    text = str(details.get("Message", "")) or str(error)
    status, request_id = metadata.get("HTTPStatusCode", 400), metadata.get("RequestId") or str(uuid.uuid4())
    own = _shape_name(operation, code)
    if optimised:
        name = OPTIMISED_NAMES.get(service, java_name(operation.service_model.service_name))
        exception = _exception(own or code.rpartition(".")[2])
        where = (
            f"Service: {name}; Status Code: {status}; Error Code: {own or code}; Request ID: {request_id}; Proxy: null"
        )
        return f"{name}.{exception}", f"{text} ({where})"
    name = java_name(operation.service_model.service_name)
    shown = _exception(own) if own or code.endswith("Exception") else f"{name}Exception"
    return f"{name}.{shown}", f"{text} (Service: {name}, Status Code: {status}, Request ID: {request_id})"


def _shape_name(operation: OperationModel, code: str) -> str:
    """The modelled error that a code means, "" when the model does not know it."""
    code = code.rpartition("#")[2]
    for shape in operation.service_model.error_shapes:
        if code in (shape.name, getattr(shape, "error_code", None)):
            return str(shape.name)
    return code if code.endswith("Exception") else ""


def _exception(code: str) -> str:
    """The Java SDK's class name for an error code."""
    return re.sub(r"[^A-Za-z0-9]", "", re.sub(r"(Fault|Exception)$", "", code)) + "Exception"
