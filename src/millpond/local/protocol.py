"""AWS's wire forms, from botocore's models: a request becomes validated parameters, a result becomes an answer.

`parse` reads the json, query and rest-json protocols, converts each member to its Python type (datetime, bytes, int)
and holds it against the model's constraints: required members, lengths and ranges. Enumerations and patterns are the
service's own matter. `answer` and `refusal` write results and errors as the protocol wants them. rest-xml is S3's own
door; what belongs to moto never comes here.

Not carried: event streams, smithy-rpc-v2-cbor, ec2.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import email.utils
import functools
import json
import math
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from millpond.local import flat, models
from millpond.local.service import AwsError, stays

if TYPE_CHECKING:
    from botocore.model import OperationModel, ServiceModel

Headers = list[tuple[str, str]]
Shape = Any  # botocore.model.Shape: which members it has depends on its `type_name`

# The error that a service answers when a parameter breaks a constraint of the model (each service's API reference,
# "Errors" and "Common Errors"); ValidationException is the usual one.
CONSTRAINT_ERRORS = {
    "athena": "InvalidRequestException",
    "logs": "InvalidParameterException",
    "sns": "InvalidParameter",
    "cloudformation": "ValidationError",
}


@dataclass(slots=True)
class Request:
    """An HTTP request, read: `path` and `query` are raw (still percent-encoded), header names lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""
    raw_headers: list[tuple[str, str]] = field(default_factory=list)  # in order, with repetitions and original case
    gone: Callable[[], bool] = stays  # see `Call`

    def query_members(self) -> dict[str, str]:
        """The query string, decoded; of a repeated name the first value."""
        found: dict[str, str] = {}
        for name, value in parse_qsl(self.query, keep_blank_values=True):
            found.setdefault(name, value)
        return found

    def form(self) -> dict[str, str]:
        """The query protocol's parameters: those of the body over those of the query string.

        Raises AwsError(MalformedQueryString) when the body is not UTF-8 or has more than 10,000 members.
        """
        try:
            pairs = parse_qsl(self.body.decode("utf-8"), keep_blank_values=True, max_num_fields=10_000)
        except ValueError as error:
            raise AwsError("MalformedQueryString", f"The body cannot be read: {error}") from None
        return self.query_members() | dict(pairs)


@dataclass(slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: Headers
    body: bytes = b""


def new_request_id() -> str:
    """An id in AWS's form. It tells requests apart, and guards nothing: chance of the cheap kind."""
    chance = f"{random.getrandbits(128):032x}"
    return f"{chance[:8]}-{chance[8:12]}-{chance[12:16]}-{chance[16:20]}-{chance[20:]}"


# -- which operation -------------------------------------------------------------------------------------------------


def protocol_of(request: Request) -> str:
    """`json`, `query`, `cbor` or `rest`, by what the request carries: also when its service has no model."""
    if "x-amz-target" in request.headers:
        return "json"
    if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
        return "cbor"
    content = request.headers.get("content-type", "")
    if content.startswith("application/x-www-form-urlencoded") or "Action=" in request.query:
        return "query"
    return "rest"


def operation_of(service: str, request: Request) -> tuple[str, dict[str, str]]:
    """The operation's name and the labels of its path. Raises AWS's error when the request names none."""
    match protocol_of(request):
        case "json":
            name = request.headers["x-amz-target"].rpartition(".")[2]
            if name:
                return name, {}
        case "query":
            if name := request.form().get("Action", ""):
                return name, {}
            raise AwsError("MissingAction", "The request must contain the parameter Action.")
        case "cbor":
            if found := re.fullmatch(r"/service/[^/]+/operation/(\w+)", request.path):
                return found[1], {}
        case _:
            query = request.query_members()
            if routed := models.rest_operation(service, request.method, request.path, query, request.headers):
                return routed
    raise AwsError("UnknownOperationException", f"{service} has no operation for this request.", status=404)


# -- reading ---------------------------------------------------------------------------------------------------------


def parse(described: ServiceModel, operation: OperationModel, request: Request, labels: dict[str, str]) -> Any:
    """The operation's parameters, converted and validated. Raises AwsError as the service would."""
    shape = operation.input_shape
    protocol = described.metadata["protocol"]
    if shape is None:
        return {}
    if protocol == "query":
        params = _read_form(shape, _form_tree(request.form()))
    elif protocol == "rest-json":
        params = _read_rest(shape, request, labels)
    elif protocol == "json":
        read = _flat_reader(operation)
        if read is not None and (found := read(request.body)) is not None:
            return found
        params = _read_json(shape, _document(request.body), "")
    else:
        raise AwsError("NotImplemented", f"Millpond does not read the protocol {protocol}.", status=501)
    if refused := misfit(operation, params):
        raise refused
    return params


@functools.cache
def _flat_reader(operation: OperationModel) -> flat.Reader | None:
    assert operation.input_shape is not None
    return flat.reader(operation.input_shape, _DECODER.decode)


def misfit(operation: OperationModel, params: Mapping[str, Any]) -> AwsError | None:
    """How a service refuses parameters that break constraints of its model; None where they keep them."""
    broken = list(_violations(operation.input_shape, params, "")) if operation.input_shape is not None else []
    if not broken:
        return None
    code = CONSTRAINT_ERRORS.get(operation.service_model.service_name, "ValidationException")
    count = "1 validation error" if len(broken) == 1 else f"{len(broken)} validation errors"
    return AwsError(code, f"{count} detected: " + "; ".join(broken))


def _document(body: bytes) -> Any:
    if not body:
        return {}
    try:
        found = _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except (ValueError, RecursionError):
        raise AwsError("SerializationException", "The request body is not a JSON document in UTF-8.") from None
    if not isinstance(found, dict):
        raise AwsError("SerializationException", "Start of structure or map found where not expected.")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# json.loads and json.dumps make such an object at each call that has arguments.
_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _misfit(value: Any, wanted: str, at: str) -> AwsError:
    kinds = {bool: "BOOLEAN", int: "NUMBER", float: "NUMBER", str: "STRING", list: "ARRAY", dict: "OBJECT"}
    kind = kinds.get(type(value), "VALUE")
    return AwsError("SerializationException", f"{kind}_VALUE can not be converted to {wanted} at '{_aws_path(at)}'")


def _aws_path(at: str) -> str:
    """`.Command.Name` -> `command.name`, as AWS's messages write places."""
    return ".".join(part[:1].lower() + part[1:] for part in at.split(".") if part)


def _read_json(shape: Shape, value: Any, at: str) -> Any:
    kind = shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return _any_document(value, at)
        if not isinstance(value, dict):
            raise _misfit(value, "an Object", at)
        return {
            name: _read_json(member, value[wire], f"{at}.{name}")
            for name, member in shape.members.items()
            if value.get(wire := member.serialization.get("name", name)) is not None
        }
    if kind == "list":
        if not isinstance(value, list):
            raise _misfit(value, "a List", at)
        return [_read_json(shape.member, item, f"{at}.{i + 1}.member") for i, item in enumerate(value)]
    if kind == "map":
        if not isinstance(value, dict):
            raise _misfit(value, "a Map", at)
        return {_text(key, at): _read_json(shape.value, item, f"{at}.{key}.member") for key, item in value.items()}
    return SCALARS[kind](shape, value, at)


def _any_document(value: Any, at: str) -> Any:
    """A document type: any JSON, a text alone too."""
    _text(_ENCODER.encode(value), at)
    return value


def _text(value: Any, at: str) -> str:
    if not isinstance(value, str):
        raise _misfit(value, "a String", at)
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:  # a lone surrogate, which JSON's \ud800 can spell but no store can keep
            raise AwsError("SerializationException", f"The text at '{_aws_path(at)}' is not valid Unicode.") from None
    return value


def _whole(shape: Shape, value: Any, at: str) -> int:
    if isinstance(value, float) and value.is_integer() and math.isfinite(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _misfit(value, "an Integer" if shape.type_name == "integer" else "a Long", at)
    bits = 31 if shape.type_name == "integer" else 63
    if not -(2**bits) <= value < 2**bits:
        raise _misfit(value, "an Integer" if bits == 31 else "a Long", at)
    return value


def _number(shape: Shape, value: Any, at: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _misfit(value, "a Double", at)
    return value


def _boolean(shape: Shape, value: Any, at: str) -> bool:
    if not isinstance(value, bool):
        raise _misfit(value, "a Boolean", at)
    return value


def _blob(shape: Shape, value: Any, at: str) -> bytes:
    if not isinstance(value, str):
        raise _misfit(value, "a Blob", at)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise AwsError("SerializationException", f"The blob at '{_aws_path(at)}' is not base64.") from None


def _moment(shape: Shape, value: Any, at: str) -> dt.datetime:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return dt.datetime.fromtimestamp(value, dt.UTC)
        if isinstance(value, str):
            try:
                return dt.datetime.fromtimestamp(float(value), dt.UTC)
            except ValueError:
                pass
            found = (
                dt.datetime.fromisoformat(value) if value[:4].isdigit() else email.utils.parsedate_to_datetime(value)
            )
            return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError, OSError, TypeError):
        pass
    raise _misfit(value, "a Timestamp", at)


SCALARS: dict[str, Callable[[Shape, Any, str], Any]] = {
    "string": lambda shape, value, at: _text(value, at),
    "character": lambda shape, value, at: _text(value, at),
    "integer": _whole,
    "long": _whole,
    "double": _number,
    "float": _number,
    "boolean": _boolean,
    "blob": _blob,
    "timestamp": _moment,
}


def _from_text(shape: Shape, value: str, at: str) -> Any:
    """A scalar that travels as text: in a query, a header, a path or a form."""
    try:
        match shape.type_name:
            case "integer" | "long":
                return _whole(shape, int(value), at)
            case "double" | "float":
                return _number(shape, float(value), at)
            case "boolean":
                return {"true": True, "false": False}[value.lower()]
    except (ValueError, KeyError):
        raise _misfit(value, shape.type_name.capitalize(), at) from None
    return SCALARS[shape.type_name](shape, value, at)


def _form_tree(form: Mapping[str, str]) -> dict[str, Any]:
    """`{"Tags.member.1.Key": "a"}` -> `{"Tags": {"member": {"1": {"Key": "a"}}}}`; a node's own value is under ""."""
    tree: dict[str, Any] = {}
    for name, value in form.items():
        node = tree
        parts = name.split(".")
        if len(parts) > 64:
            raise AwsError("MalformedQueryString", f"The parameter name {name[:40]}... is nested too deeply.")
        for part in parts:
            node = node.setdefault(part, {})
        node[""] = value
    return tree


def _read_form(shape: Shape, node: dict[str, Any], at: str = "") -> Any:
    match shape.type_name:
        case "structure":
            return {
                name: _read_form(member, node[wire], f"{at}.{name}")
                for name, member in shape.members.items()
                if (wire := _form_name(member, name)) in node
            }
        case "list":
            flat = shape.serialization.get("flattened")
            items = node if flat else node.get(shape.member.serialization.get("name", "member"), {})
            return [_read_form(shape.member, items[key], f"{at}.{key}.member") for key in _ordered(items, at)]
        case "map":
            entries = node if shape.serialization.get("flattened") else node.get("entry", {})
            key_name = shape.key.serialization.get("name", "key")
            value_name = shape.value.serialization.get("name", "value")
            pairs = [entries[key] for key in _ordered(entries, at)]
            return {
                _text(pair.get(key_name, {}).get("", ""), at): _read_form(
                    shape.value, pair.get(value_name, {"": ""}), at
                )
                for pair in pairs
            }
    if "" not in node:
        raise AwsError("MalformedInput", f"The parameter {at[1:]} is not a {shape.type_name}.")
    return _from_text(shape, node[""], at)


def _form_name(member: Shape, name: str) -> str:
    outer = member.serialization.get("name", name)
    if member.type_name == "list" and member.serialization.get("flattened"):
        return str(member.member.serialization.get("name", outer))
    return str(outer)


def _ordered(items: Mapping[str, Any], at: str) -> list[str]:
    keys = [key for key in items if key]
    if not all(key.isdigit() and len(key) < 9 for key in keys):
        raise AwsError("MalformedInput", f"Key must be a number in {at[1:]}")
    return sorted(keys, key=int)


def _read_rest(shape: Shape, request: Request, labels: Mapping[str, str]) -> dict[str, Any]:  # noqa: C901 (dispatch by location)
    params: dict[str, Any] = {}
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        query.setdefault(name, []).append(value)
    payload = shape.serialization.get("payload")
    document: dict[str, Any] | None = {} if payload else None
    for name, member in shape.members.items():
        where = member.serialization.get("location")
        wire = member.serialization.get("name", name)
        if where == "uri":
            params[name] = _from_text(member, labels[models.label(wire)], f".{name}")
        elif where == "querystring":
            if wire in query:
                params[name] = _read_query(member, query[wire], f".{name}")
        elif where == "header":
            if wire.lower() in request.headers:
                params[name] = _read_header(member, request.headers[wire.lower()], f".{name}")
        elif where == "headers":
            prefix = wire.lower()
            params[name] = {k[len(prefix) :]: v for k, v in request.headers.items() if k.startswith(prefix)}
        elif name == payload:
            params |= _read_payload(name, member, request.body)
        else:
            document = _document(request.body) if document is None else document
            if document.get(wire) is not None:
                params[name] = _read_json(member, document[wire], f".{name}")
    return params


def _read_query(shape: Shape, values: list[str], at: str) -> Any:
    if shape.type_name == "list":
        return [_from_text(shape.member, value, at) for value in values]
    return _from_text(shape, values[0], at)


def _read_header(shape: Shape, value: str, at: str) -> Any:
    if shape.type_name == "list":
        return [part.strip() for part in value.split(",")]
    if shape.serialization.get("jsonvalue"):
        return value
    return _from_text(shape, value, at)


def _read_payload(name: str, shape: Shape, body: bytes) -> dict[str, Any]:
    if shape.type_name == "blob":
        return {name: body}
    if shape.type_name == "string":
        return {name: body.decode("utf-8", "replace")}
    return {name: _read_json(shape, _document(body), f".{name}")} if body else {}


# -- constraints -----------------------------------------------------------------------------------------------------


def _violations(shape: Shape, value: Any, at: str) -> Iterator[str]:  # noqa: C901 (dispatch by type)
    """One sentence for each broken constraint, in AWS's words."""
    match shape.type_name:
        case "structure":
            if getattr(shape, "is_document_type", False):
                return
            for name in shape.metadata.get("required", ()):
                if name not in value:
                    yield _sentence(None, f"{at}.{name}", "Member must not be null")
            for name, item in value.items():
                yield from _violations(shape.members[name], item, f"{at}.{name}")
        case "list":
            yield from _within(shape, len(value), value, at, "length")
            for i, item in enumerate(value):
                yield from _violations(shape.member, item, f"{at}.{i + 1}.member")
        case "map":
            yield from _within(shape, len(value), value, at, "length")
            for key, item in value.items():
                yield from _violations(shape.key, key, at)
                yield from _violations(shape.value, item, f"{at}.{key}.member")
        case "string" | "blob":
            yield from _within(shape, len(value), value, at, "length")
        case "integer" | "long" | "double" | "float":
            yield from _within(shape, value, value, at, "value")


def _within(shape: Shape, size: float, value: Any, at: str, what: str) -> Iterator[str]:
    limits = shape.metadata
    if "min" in limits and size < limits["min"]:
        yield _sentence(value, at, f"Member must have {what} greater than or equal to {limits['min']}", shape)
    if "max" in limits and size > limits["max"]:
        yield _sentence(value, at, f"Member must have {what} less than or equal to {limits['max']}", shape)


def _sentence(value: Any, at: str, wanted: str, shape: Shape | None = None) -> str:
    # What is sensitive is not shown: `Value at 'input' failed to satisfy constraint: ...`.
    hidden = shape is not None and shape.metadata.get("sensitive")
    shown = " null" if value is None else "" if hidden else f" '{str(value)[:200]}'"
    return f"Value{shown} at '{_aws_path(at)}' failed to satisfy constraint: {wanted}"


# -- writing ---------------------------------------------------------------------------------------------------------


def answer(
    described: ServiceModel, operation: OperationModel, result: Mapping[str, Any] | None, request_id: str
) -> Reply:
    """The HTTP answer for an operation's result: only members of the model leave, None means absent."""
    result = result or {}
    match described.metadata["protocol"]:
        case "query":
            return _query_answer(described, operation, result, request_id)
        case "rest-json":
            return _rest_answer(operation, result, request_id)
    body = _writer(operation)(result).encode("utf-8", "replace") if operation.output_shape is not None else b"{}"
    return Reply(200, _json_headers(described, request_id), body)


@functools.cache
def _writer(operation: OperationModel) -> flat.Writer:
    assert operation.output_shape is not None
    return flat.writer(operation.output_shape, lambda shape, value: _ENCODER.encode(_write_json(shape, value)))


def _dump(value: Any) -> bytes:
    return _ENCODER.encode(value).encode("utf-8", "replace")


def _json_headers(described: ServiceModel, request_id: str) -> Headers:
    version = described.metadata.get("jsonVersion", "1.1")
    return [("content-type", f"application/x-amz-json-{version}"), ("x-amzn-requestid", request_id)]


def _write_json(shape: Shape, value: Any) -> Any:
    match shape.type_name:
        case "structure":
            if getattr(shape, "is_document_type", False):
                return value
            return {
                member.serialization.get("name", name): _write_json(member, value[name])
                for name, member in shape.members.items()
                if value.get(name) is not None
            }
        case "list":
            return [_write_json(shape.member, item) for item in value]
        case "map":
            return {str(key): _write_json(shape.value, item) for key, item in value.items() if item is not None}
        case "blob":
            return base64.b64encode(value.encode() if isinstance(value, str) else bytes(value)).decode()
        case "timestamp":
            return timestamp(value, shape.serialization.get("timestampFormat", "unixtimestamp"))
    return value


def timestamp(value: dt.datetime | float | str, form: str) -> str | float:
    """A moment (aware or UTC datetime, or seconds since the epoch) in one of AWS's three forms."""
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value)
    if isinstance(value, int | float):
        if form == "unixtimestamp":
            return round(float(value), 3)
        value = dt.datetime.fromtimestamp(value, dt.UTC)
    if value.tzinfo is None:
        value = value.replace(tzinfo=dt.UTC)
    match form.lower():
        case "iso8601":
            return value.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case "rfc822":
            return email.utils.format_datetime(value.astimezone(dt.UTC), usegmt=True)
    return round(value.timestamp(), 3)


def _rest_answer(operation: OperationModel, result: Mapping[str, Any], request_id: str) -> Reply:
    status = int(operation.http.get("responseCode", 200))
    headers: Headers = [("x-amzn-requestid", request_id)]
    shape = operation.output_shape
    if shape is None:
        return Reply(status, headers)
    payload = shape.serialization.get("payload")
    body, document = b"", {}
    for name, member in shape.members.items():
        value = result.get(name)
        if value is None:
            continue
        where = member.serialization.get("location")
        if where == "statusCode":
            status = int(value)
        elif where == "header":
            headers.append((member.serialization["name"].lower(), _header_text(member, value)))
        elif where == "headers":
            prefix = member.serialization["name"].lower()
            headers += [(prefix + key.lower(), str(item)) for key, item in value.items()]
        elif name == payload:
            body = _payload(member, value)
        else:
            document[member.serialization.get("name", name)] = _write_json(member, value)
    if not payload and status != 204:
        headers.append(("content-type", "application/json"))
        body = _dump(document)
    return Reply(status, headers, body)


def _payload(shape: Shape, value: Any) -> bytes:
    if hasattr(value, "read"):
        value = value.read()
    if shape.type_name in ("blob", "string"):
        return value.encode() if isinstance(value, str) else bytes(value)
    return _dump(_write_json(shape, value))


def _header_text(shape: Shape, value: Any) -> str:
    match shape.type_name:
        case "timestamp":
            return str(timestamp(value, shape.serialization.get("timestampFormat", "rfc822")))
        case "boolean":
            return "true" if value else "false"
        case "list":
            return ",".join(str(item) for item in value)
    return str(value).replace("\r", " ").replace("\n", " ")


def _query_answer(
    described: ServiceModel, operation: OperationModel, result: Mapping[str, Any], request_id: str
) -> Reply:
    shape = operation.output_shape
    inner = ""
    if shape is not None:
        wrapper = shape.serialization.get("resultWrapper", f"{operation.name}Result")
        inner = _element(wrapper, _write_xml(shape, result))
    meta = _element("ResponseMetadata", _element("RequestId", request_id))
    name = f"{operation.name}Response"
    body = f'<{name} xmlns="{described.metadata.get("xmlNamespace", "")}">{inner}{meta}</{name}>'
    return Reply(200, _xml_headers(request_id), body.encode("utf-8", "replace"))


def _xml_headers(request_id: str) -> Headers:
    return [("content-type", "text/xml"), ("x-amzn-requestid", request_id)]


def _element(name: str, inner: str) -> str:
    return f"<{name}>{inner}</{name}>"


def xml_text(value: str) -> str:
    """Text as an XML document may hold it: escaped, control characters that XML 1.0 forbids replaced."""
    return "".join(c if c >= " " or c in "\t\n" else "&#13;" if c == "\r" else "�" for c in escape(value))


def _write_xml(shape: Shape, value: Any) -> str:
    match shape.type_name:
        case "structure":
            return "".join(
                _xml_member(member, member.serialization.get("name", name), value[name])
                for name, member in shape.members.items()
                if value.get(name) is not None
            )
        case "list":
            name = shape.member.serialization.get("name", "member")
            return "".join(_element(name, _write_xml(shape.member, item)) for item in value)
        case "map":
            key_name = shape.key.serialization.get("name", "key")
            value_name = shape.value.serialization.get("name", "value")
            return "".join(
                _element("entry", _element(key_name, xml_text(k)) + _element(value_name, _write_xml(shape.value, v)))
                for k, v in value.items()
            )
        case "boolean":
            return "true" if value else "false"
        case "blob":
            return base64.b64encode(value).decode()
        case "timestamp":
            return str(timestamp(value, shape.serialization.get("timestampFormat", "iso8601")))
    return xml_text(str(value))


def _xml_member(shape: Shape, name: str, value: Any) -> str:
    if shape.type_name == "list" and shape.serialization.get("flattened"):
        name = shape.member.serialization.get("name", name)
        return "".join(_element(name, _write_xml(shape.member, item)) for item in value)
    return _element(name, _write_xml(shape, value))


# -- errors ----------------------------------------------------------------------------------------------------------


def refusal(service: str, request: Request, error: AwsError, request_id: str) -> Reply:
    """An error in the form that the caller's SDK reads: also for requests whose service is unknown."""
    described = models.model(service) if service else None
    asked = protocol_of(request)
    protocol = asked
    if asked == "rest" and service:  # a service without a model is more likely to speak JSON than S3's XML
        protocol = described.metadata["protocol"] if described else "rest-json"
    shape = _error_shape(described, error.code) if described else None
    status, code = error.status, error.code
    if shape is not None and status == 400:
        status = shape.metadata.get("error", {}).get("httpStatusCode", status)
    match protocol:
        case "query":
            return _query_refusal(described, shape.error_code if shape else code, status, error, request_id)
        case "json" | "rest-json":
            name = shape.name if shape else code
            return _json_refusal(described, name, status, _error_members(shape, error), request_id)
        case "cbor" | "smithy-rpc-v2-cbor":
            headers = [("content-type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")]
            body = _cbor({"__type": shape.name if shape else code, "message": error.message})
            return Reply(status, [*headers, ("x-amzn-requestid", request_id)], body)
        case "ec2":
            inner = _element("Code", xml_text(code)) + _element("Message", xml_text(error.message))
            inner = _element("Errors", _element("Error", inner)) + _element("RequestID", request_id)
            return Reply(status, _xml_headers(request_id), _element("Response", inner).encode("utf-8", "replace"))
    return xml_refusal(error, request_id, status=status)


def _json_refusal(
    described: ServiceModel | None, name: str, status: int, members: dict[str, Any], request_id: str
) -> Reply:
    if described is None or described.metadata["protocol"] == "rest-json":
        kind, more = "application/json", [("x-amzn-errortype", name)]
    else:
        version = described.metadata.get("jsonVersion", "1.1")
        kind, more = f"application/x-amz-json-{version}", []
    headers = [("content-type", kind), ("x-amzn-requestid", request_id), *more]
    return Reply(status, headers, _dump({"__type": name} | members))


def _cbor(texts: dict[str, str]) -> bytes:
    """A map of texts in CBOR (RFC 8949), which is all that an error needs."""

    def head(kind: int, size: int) -> bytes:
        return bytes([kind << 5 | size]) if size < 24 else bytes([kind << 5 | 25]) + size.to_bytes(2, "big")

    parts = [text.encode("utf-8", "replace")[:65535] for pair in texts.items() for text in pair]
    return head(5, len(texts)) + b"".join(head(3, len(part)) + part for part in parts)


def _error_shape(described: ServiceModel, code: str) -> Any:
    shape: Any
    for shape in described.error_shapes:
        if code in (shape.name, shape.error_code):
            return shape
    return None


def _error_members(shape: Any, error: AwsError) -> dict[str, Any]:
    if shape is None:
        return {"message": error.message} | error.members
    values = {name: error.members[name] for name in shape.members if name in error.members}
    said = next((name for name in shape.members if name.lower() == "message"), "message")
    return {said: error.message, **_write_json(shape, values)}


def _query_refusal(described: ServiceModel | None, code: str, status: int, error: AwsError, request_id: str) -> Reply:
    fault = "Sender" if status < 500 else "Receiver"
    inner = _element("Type", fault) + _element("Code", xml_text(code)) + _element("Message", xml_text(error.message))
    space = described.metadata.get("xmlNamespace", "") if described else ""
    attribute = f' xmlns="{space}"' if space else ""
    body = f"<ErrorResponse{attribute}>{_element('Error', inner)}{_element('RequestId', request_id)}</ErrorResponse>"
    return Reply(status, _xml_headers(request_id), body.encode("utf-8", "replace"))


def xml_refusal(error: AwsError, request_id: str, *, status: int) -> Reply:
    """S3's error document."""
    inner = _element("Code", xml_text(error.code)) + _element("Message", xml_text(error.message))
    inner += "".join(_element(name, xml_text(str(value))) for name, value in error.members.items())
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}{_element("RequestId", request_id)}</Error>'
    headers = [("content-type", "application/xml"), ("x-amz-request-id", request_id)]
    return Reply(status, headers, body.encode("utf-8", "replace"))
