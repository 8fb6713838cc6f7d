"""Any AWS API as a Task: names, parameters and answers between ASL's forms and botocore's.

ASL names services as the Java SDK does (`sfn`, `cloudwatchlogs`), actions in camelCase, members in PascalCase. SDK
integrations (`Style.SDK`) spell members as the Java SDK v2 derives them from the model: `DBInstanceIdentifier` is
`DbInstanceIdentifier`, DynamoDB's `BOOL` is `Bool` (aws-sdk-js issue 4294 shows a recorded answer). Optimised ones keep
the model's spelling with a capital first letter. Both spellings are taken, so a flow is not refused over one of them.
Answers come back in JSON forms: timestamps as text (SDK integrations) or epoch milliseconds (optimised ones), blobs and
streams as text. Errors: `integrations/errors.py`.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import re
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from millpond.local import models
from millpond.local.states import payloads

if TYPE_CHECKING:
    from botocore.model import OperationModel

Style = Literal["sdk", "optimised"]

# Members that the Java SDK v2 names by hand.
RENAMED: Mapping[str, str] = {
    "NULL": "Nul",
    "ChecksumCRC32": "ChecksumCRC32",
    "ChecksumCRC32C": "ChecksumCRC32C",
    "ChecksumCRC64NVME": "ChecksumCRC64NVME",
    "ChecksumSHA1": "ChecksumSHA1",
    "ChecksumSHA256": "ChecksumSHA256",
}

# Actions that Step Functions does not take, by botocore's service name. Source: AWS Step Functions Developer Guide,
# "Supported AWS SDK integrations", unsupported API actions; event streams cannot be called by any flow.
UNSUPPORTED: Mapping[str, frozenset[str]] = {
    "comprehendmedical": frozenset({"DetectEntities"}),
    "efs": frozenset({"CreateTags", "DeleteTags", "DescribeTags"}),
    "elastictranscoder": frozenset({"TestRole"}),
    "emr": frozenset({"DescribeJobFlows"}),
    "iotdeviceadvisor": frozenset({"ListTestCases"}),
    "lambda": frozenset({"InvokeAsync", "InvokeWithResponseStream"}),
    "mediapackage": frozenset({"RotateChannelCredentials"}),
    "rds-data": frozenset({"ExecuteSql"}),
    "s3": frozenset({"SelectObjectContent"}),
    "shield": frozenset({"DeleteSubscription"}),
    "sts": frozenset({"AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"}),
}


class ParameterError(Exception):
    """Arguments that an API cannot take; the text is what AWS puts in brackets."""


@functools.cache
def service_named(name: str) -> str | None:
    """botocore's name of a service that ASL calls `name`, or None: `sfn` -> `stepfunctions`."""
    return _by_service_id().get(name)


@functools.cache
def _by_service_id() -> Mapping[str, str]:
    """ASL's names of services (the Java SDK's packages) and botocore's, read from the head of each model.

    The names that botocore has for itself (`logs`, `stepfunctions`) are none of ASL's: AWS refuses them.
    """
    import botocore

    found: dict[str, str] = {}
    pattern = re.compile(rb'"serviceId"\s*:\s*"([^"]+)"')
    for model in sorted((Path(botocore.__file__).parent / "data").glob("*/*/service-2.json.gz")):
        service = model.parts[-3]
        with gzip.open(model) as file:
            named = pattern.search(file.read(4096))
        identity = named[1].decode() if named else service
        found[re.sub(r"[\s-]", "", short_id(identity)).lower()] = service
    return found


def short_id(service_id: str) -> str:
    """A service id as the Java SDK uses it: `Database Migration Service` -> `Database Migration`."""
    return re.sub(r"\s+Service$", "", service_id)


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
    operation = operation_named(named, action) if named is not None else None
    if operation is None or operation.name in UNSUPPORTED.get(named or "", ()):
        return False
    return not (operation.has_event_stream_input or operation.has_event_stream_output)


# ----------------------------------------------------------------------------------------------------------- parameters


def parameters(operation: OperationModel, arguments: Any, *, style: Style = "optimised") -> dict[str, Any]:
    """ASL arguments as botocore takes them. Raises ParameterError naming every field that does not fit."""
    shape = operation.input_shape
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise ParameterError("The value for the Parameters must be a JSON object")
    reader = _Reader(style)
    if shape is None:
        reader.wrong = [_not_supported(key) for key in arguments]
        converted: dict[str, Any] = {}
    else:
        converted = reader.structure(shape, arguments)
    if reader.wrong:
        raise ParameterError(", ".join(reader.wrong))
    return converted


def pascal(member: str) -> str:
    """A member as optimised integrations write it."""
    return member[:1].upper() + member[1:]


@functools.cache
def java(name: str) -> str:
    """A name as the Java SDK v2 derives it: `DBInstanceIdentifier` -> `DbInstanceIdentifier`, `SFN` -> `Sfn`.

    The rules are those of the SDK's generator: word boundaries are found in this order, then each word is capitalised.
    """
    if name in RENAMED:
        return RENAMED[name]
    text = re.sub(r"[^A-Za-z0-9]+", " ", name)
    text = re.sub(r"([^a-z]{2,})v([0-9]+)", r"\1 v\2 ", text)
    text = re.sub(r"([^A-Z]{2,})V([0-9]+)", r"\1 V\2 ", text)
    text = re.sub(r"(?<=[a-z])(?=[A-Z][a-zA-Z0-9])", " ", text)
    text = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", text)
    text = re.sub(r"([0-9])([a-zA-Z])", r"\1 \2", text)
    return "".join(word[:1].upper() + word[1:].lower() for word in text.split())


def member(name: str, style: Style) -> str:
    """A member of botocore's model as ASL writes it."""
    return java(name) if style == "sdk" else pascal(name)


def _not_supported(field: str) -> str:
    return f'The field "{field}" is not supported by Step Functions'


class _Reader:
    """Turns ASL's values into botocore's; `wrong` collects what does not fit, in AWS's words."""

    def __init__(self, style: Style) -> None:
        self.style: Style = style
        self.wrong: list[str] = []

    def structure(self, shape: Any, value: dict[str, Any]) -> dict[str, Any]:
        by_name = spellings(shape)
        converted: dict[str, Any] = {}
        for key, item in value.items():
            name = by_name.get(key)
            if name is None:
                self.wrong.append(_not_supported(key))
            elif item is not None:
                converted[name] = self.value(shape.members[name], item, key)
        self.wrong += [
            f'The field "{member(name, self.style)}" is required but was missing'
            for name in shape.required_members
            if name not in converted and not shape.members[name].metadata.get("idempotencyToken")
        ]
        return converted

    def value(self, shape: Any, value: Any, field: str) -> Any:
        match shape.type_name:
            case "structure":
                return self._object(shape, value, field)
            case "list":
                return self._list(shape, value, field)
            case "map":
                return self._map(shape, value, field)
            case _:
                return self._scalar(shape, value, field)

    def _bad(self, field: str, kind: str) -> None:
        self.wrong.append(f"The value for the field '{field}' must be {kind}")

    def _object(self, shape: Any, value: Any, field: str) -> Any:
        if shape.is_document_type:
            return value
        if not isinstance(value, dict):
            self._bad(field, "a JSON object")
            return {}
        return self.structure(shape, value)

    def _list(self, shape: Any, value: Any, field: str) -> Any:
        if not isinstance(value, list):
            self._bad(field, "an ARRAY")
            return []
        return [self.value(shape.member, item, field) for item in value]

    def _map(self, shape: Any, value: Any, field: str) -> Any:
        if not isinstance(value, dict):
            self._bad(field, "a JSON object")
            return {}
        return {key: self.value(shape.value, item, key) for key, item in value.items()}

    def _scalar(self, shape: Any, value: Any, field: str) -> Any:
        convert, kind = _SCALARS[shape.type_name]
        try:
            return convert(shape, value)
        except (TypeError, ValueError, OverflowError):
            self._bad(field, kind)
            return None


@functools.lru_cache(maxsize=4096)
def spellings(shape: Any) -> Mapping[str, str]:
    """Every spelling that is taken -> the model's. A member that another's spelling would hide keeps its own."""
    names = tuple(shape.members)
    return (
        {name: name for name in names} | {java(name): name for name in names} | {pascal(name): name for name in names}
    )


def _text_in(shape: Any, value: Any) -> str:
    """Half a surrogate pair goes out as Java sends it: `?`."""
    if not isinstance(value, str):
        raise TypeError
    return value if value.isascii() else value.encode(errors="replace").decode()


def _blob_in(shape: Any, value: Any) -> bytes:
    from millpond.asl.paths import compact

    return (value if isinstance(value, str) else compact(value)).encode(errors="replace")


def _number_in(shape: Any, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return int(value) if shape.type_name in ("integer", "long") else value


def _boolean_in(shape: Any, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _timestamp_in(shape: Any, value: Any) -> datetime:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    return datetime.fromisoformat(value)


_SCALARS: Mapping[str, tuple[Callable[[Any, Any], Any], str]] = {
    "string": (_text_in, "a STRING"),
    "character": (_text_in, "a STRING"),
    "blob": (_blob_in, "a STRING"),
    "integer": (_number_in, "a NUMBER"),
    "long": (_number_in, "a NUMBER"),
    "float": (_number_in, "a NUMBER"),
    "double": (_number_in, "a NUMBER"),
    "boolean": (_boolean_in, "a BOOLEAN"),
    "timestamp": (_timestamp_in, "a timestamp"),
}

# -------------------------------------------------------------------------------------------------------------- answers


def answer(operation: OperationModel, response: Mapping[str, Any], *, style: Style) -> dict[str, Any]:
    """A botocore answer in ASL's form: members as `style` spells them; timestamps as ISO text (SDK) or epoch
    milliseconds (optimised)."""
    shape = operation.output_shape
    if shape is None:
        return {}
    kept = {key: value for key, value in response.items() if key != "ResponseMetadata"}
    return _outgoing_dict(shape, kept, style)


def _outgoing(shape: Any, value: Any, style: Style) -> Any:
    match value:
        case datetime():
            return _stamp(value, style)
        case bytes() | bytearray():
            return _text(bytes(value))
        case dict():
            return _outgoing_dict(shape, value, style)
        case list():
            inner = getattr(shape, "member", None)
            return [_outgoing(inner, item, style) for item in value]
        case _ if hasattr(value, "read"):
            return _text(_begin(value))
        case _:
            return value


def _outgoing_dict(shape: Any, value: dict[str, Any], style: Style) -> dict[str, Any]:
    if shape is not None and shape.type_name == "structure" and not shape.is_document_type:
        return {
            member(key, style): _outgoing(shape.members.get(key), item, style)
            for key, item in value.items()
            if item is not None
        }
    inner = getattr(shape, "value", None)
    return {key: _outgoing(inner, item, style) for key, item in value.items()}


def _stamp(value: datetime, style: Style) -> Any:
    value = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if style == "optimised":
        return int(value.timestamp() * 1000)
    text = value.isoformat(timespec="milliseconds" if value.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def _begin(body: Any) -> bytes:
    """A streaming body, as much of it as a task's output may be, and a byte more: then the output is too large."""
    try:
        found: bytes = body.read(payloads.MOST_BYTES + 1)
    finally:
        body.close()
    return found


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def with_metadata(output: dict[str, Any], response: Mapping[str, Any], service: str) -> dict[str, Any]:
    """What optimised integrations add to a call's answer; keys sorted as AWS writes them. `service` is botocore's."""
    metadata = response.get("ResponseMetadata", {})
    known = request_id(service, metadata)
    given = {HEADERS.get(name.lower(), name): str(value) for name, value in metadata.get("HTTPHeaders", {}).items()}
    headers = given | {"x-amzn-RequestId": known, "Connection": "keep-alive", "Content-Type": _content_type(service)}
    if service == "lambda":
        headers |= {"x-amzn-Remapped-Content-Length": "0", "X-Amzn-Trace-Id": _trace(known)}
    elif service == "dynamodb":
        headers["Server"] = "Server"
    added = {
        "SdkHttpMetadata": {
            "AllHttpHeaders": {name: [value] for name, value in headers.items()},
            "HttpHeaders": headers,
            "HttpStatusCode": metadata.get("HTTPStatusCode", 200),
        },
        "SdkResponseMetadata": {"RequestId": known},
    }
    return dict(sorted((output | added).items()))


HEADERS: Mapping[str, str] = {
    "connection": "Connection",
    "content-length": "Content-Length",
    "content-type": "Content-Type",
    "date": "Date",
    "server": "Server",
    "x-amz-executed-version": "X-Amz-Executed-Version",
    "x-amz-log-result": "X-Amz-Log-Result",
    "x-amzn-requestid": "x-amzn-RequestId",
    "x-amzn-trace-id": "X-Amzn-Trace-Id",
}
"""Headers as AWS's services spell them: AWS Step Functions Developer Guide, outputs of lambda:invoke and DynamoDB."""


def _content_type(service: str) -> str:
    """The type of a service's answers by its protocol, whoever answers here."""
    described = models.model(service)
    metadata = described.metadata if described is not None else {}
    match metadata.get("protocol"):
        case "json":
            return f"application/x-amz-json-{metadata.get('jsonVersion', '1.1')}"
        case "query" | "ec2" | "rest-xml":
            return "text/xml"
    return "application/json"


def _trace(request: str) -> str:
    """A trace header in X-Ray's form. No trace is kept, so it says `sampled=0`."""
    digits = hashlib.sha256(request.encode()).hexdigest()
    return f"root=1-{int(time.time()):08x}-{digits[:24]};parent={digits[24:40]};sampled=0"


_MOTO_ID = 52
"""Characters of an id that moto makes up, whatever the service: AWS's DynamoDB and S3 have such ids, others UUIDs."""


def request_id(service: str, metadata: Mapping[str, Any]) -> str:
    """The request id of an answer, in the form that the service's ids have on AWS."""
    given = str(metadata.get("RequestId") or uuid.uuid4())
    if len(given) != _MOTO_ID or service == "s3":
        return given
    return given.upper() if service == "dynamodb" else str(uuid.uuid5(uuid.NAMESPACE_OID, given))
