"""Transforms: what happens to a template before it is evaluated.

`AWS::LanguageExtensions` (Fn::ForEach; Fn::Length and Fn::ToJsonString are functions like the others, intrinsics.py)
runs first, then SAM (`AWS::Serverless-2016-10-31`) by aws-sam-translator, imported when it is first needed.
`AWS::Include` and macros are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from millpond.local.cloudformation.intrinsics import text
from millpond.local.service import AwsError

SAM = "AWS::Serverless-2016-10-31"
LANGUAGE = "AWS::LanguageExtensions"
ACCOUNT_POLICIES = (
    "AWSLambda_FullAccess", "AWSLambda_ReadOnlyAccess", "AWSStepFunctionsFullAccess", "AWSXrayWriteOnlyAccess",
    "AmazonAthenaFullAccess", "AmazonDynamoDBFullAccess", "AmazonDynamoDBReadOnlyAccess", "AmazonS3FullAccess",
    "AmazonS3ReadOnlyAccess", "AmazonSNSFullAccess", "AmazonSQSFullAccess", "AdministratorAccess",
    "CloudWatchLogsFullAccess", "SecretsManagerReadWrite",
)  # fmt: skip
SERVICE_POLICIES = (
    "AWSGlueServiceRole", "AWSLambdaBasicExecutionRole", "AWSLambdaDynamoDBExecutionRole",
    "AWSLambdaKinesisExecutionRole", "AWSLambdaMSKExecutionRole", "AWSLambdaRole", "AWSLambdaSQSQueueExecutionRole",
    "AWSLambdaVPCAccessExecutionRole", "AmazonAPIGatewayPushToCloudWatchLogs",
)  # fmt: skip


def declared(template: Mapping[str, Any]) -> list[str]:
    """The names of the transforms of a template."""
    given = template.get("Transform", [])
    names = given if isinstance(given, list) else [given]
    return [name if isinstance(name, str) else str(name.get("Name", "")) for name in names]


def apply(template: dict[str, Any], parameters: Mapping[str, Any], region: str) -> dict[str, Any]:
    """The template after its transforms. `parameters`: the values by name. Raises ValidationError."""
    names = declared(template)
    unknown = [name for name in names if name not in (SAM, LANGUAGE)]
    if unknown:
        carried = f"Millpond carries {SAM} and {LANGUAGE}, no macros and no AWS::Include."
        raise AwsError("ValidationError", f"No transform named {unknown[0]} found: {carried}")
    if "Globals" in template and SAM not in names:
        raise AwsError("ValidationError", "Invalid template property or properties [Globals]")
    if LANGUAGE in names:
        template = expand_loops(template, parameters)
    if SAM in names:
        template = _sam(template, parameters, region)
    return {key: value for key, value in template.items() if key != "Transform"}


def _sam(template: dict[str, Any], parameters: Mapping[str, Any], region: str) -> dict[str, Any]:
    import copy

    import boto3
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    policies = {name: f"arn:aws:iam::aws:policy/{name}" for name in ACCOUNT_POLICIES}
    policies |= {name: f"arn:aws:iam::aws:policy/service-role/{name}" for name in SERVICE_POLICIES}
    session = boto3.session.Session("local", "local", region_name=region)  # only its region is read
    source = copy.deepcopy(template)
    source.pop("Transform", None)
    try:
        translator = Translator(policies, Parser(), boto_session=session)
        made: dict[str, Any] = translator.translate(source, dict(parameters))
    except InvalidDocumentException as error:
        causes = "; ".join(str(cause.message) for cause in error.causes)
        raise AwsError("ValidationError", f"Transform {SAM} failed with: {causes or error.message}") from None
    return made


# --- Fn::ForEach ------------------------------------------------------------------------------------------------------

_LOOP = re.compile(r"^Fn::ForEach::([A-Za-z0-9]+)$")
MAX_LOOPS = 5  # nesting, AWS docs


def expand_loops(value: Any, parameters: Mapping[str, Any], depth: int = 0) -> Any:
    """A template with every `Fn::ForEach::Name` written out."""
    if isinstance(value, list):
        return [expand_loops(item, parameters, depth) for item in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for key, item in value.items():
        loop = _LOOP.match(str(key))
        parts = _loop(loop.group(1), item, parameters, depth) if loop else {key: expand_loops(item, parameters, depth)}
        twice = made.keys() & parts.keys()
        if twice:
            raise _wrong(f"{key} makes {sorted(twice)[0]} a second time")
        made |= parts
    return made


def _wrong(message: str) -> AwsError:
    return AwsError("ValidationError", f"Transform {LANGUAGE} failed with: {message}")


def _loop(name: str, argument: Any, parameters: Mapping[str, Any], depth: int) -> dict[str, Any]:
    match argument:
        case [str(variable), collection, dict(body)]:
            pass
        case _:
            raise _wrong(f"Fn::ForEach::{name} needs an identifier, a collection and an output map")
    if depth >= MAX_LOOPS:
        raise _wrong(f"Fn::ForEach is nested deeper than {MAX_LOOPS} levels")
    made: dict[str, Any] = {}
    for item in _collection(name, collection, parameters):
        filled = _fill(body, variable, text(item))
        parts = expand_loops(filled, parameters, depth + 1)
        twice = made.keys() & parts.keys()
        if twice:
            raise _wrong(f"Fn::ForEach::{name} makes {sorted(twice)[0]} a second time")
        made |= parts
    return made


def _collection(name: str, collection: Any, parameters: Mapping[str, Any]) -> list[Any]:
    if isinstance(collection, dict) and set(collection) == {"Ref"} and collection["Ref"] in parameters:
        collection = parameters[collection["Ref"]]
    if isinstance(collection, list):
        found: list[Any] = []
        for item in collection:
            value = parameters.get(item["Ref"], item) if isinstance(item, dict) and set(item) == {"Ref"} else item
            found.extend(value if isinstance(value, list) else [value])
        if all(isinstance(item, (str, int, float)) for item in found):
            return found
    raise _wrong(f"the collection of Fn::ForEach::{name} must be a list of strings, or a Ref of a list parameter")


def _fill(value: Any, variable: str, item: str) -> Any:
    """Replace `${Variable}` and `&{Variable}` (only letters and digits of it) in keys and strings, and its Ref."""
    if isinstance(value, dict):
        if set(value) == {"Ref"} and value["Ref"] == variable:
            return item
        return {_fill(key, variable, item): _fill(part, variable, item) for key, part in value.items()}
    if isinstance(value, list):
        return [_fill(part, variable, item) for part in value]
    if isinstance(value, str):
        bare = re.sub(r"[^A-Za-z0-9]", "", item)
        return value.replace(f"${{{variable}}}", item).replace(f"&{{{variable}}}", bare)
    return value
