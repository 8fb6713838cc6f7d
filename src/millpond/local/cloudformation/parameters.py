"""Parameters of a stack: declared by a template, given by a call, checked, turned into values.

A value is kept as the string that was given. `Ref` of a list type is a list. An SSM type
(`AWS::SSM::Parameter::Value<T>`) is read when the operation begins, and the resolved value is kept beside the name. A
NoEcho value is never part of the stack's record: `Ref` gives a marker that is replaced by the value just before a
provider is called (dynamic.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from millpond.local.cloudformation.intrinsics import text
from millpond.local.cloudformation.template import malformed
from millpond.local.service import AwsError

SSM = re.compile(r"^AWS::SSM::Parameter::Value<(.+)>$")
LIST = re.compile(r"^List<(.+)>$")
# The AWS-specific types are checked for existence on AWS; here their values are taken as they are.
AWS_TYPES = (
    "AWS::EC2::AvailabilityZone::Name", "AWS::EC2::Image::Id", "AWS::EC2::Instance::Id", "AWS::EC2::KeyPair::KeyName",
    "AWS::EC2::SecurityGroup::GroupName", "AWS::EC2::SecurityGroup::Id", "AWS::EC2::Subnet::Id",
    "AWS::EC2::Volume::Id", "AWS::EC2::VPC::Id", "AWS::Route53::HostedZone::Id", "AWS::SSM::Parameter::Name",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a stack: the string as given (masked when `secret`), and the resolved one of an SSM type."""

    name: str
    type: str
    value: str
    resolved: str | None = None
    secret: bool = False

    @property
    def used(self) -> str:
        return self.value if self.resolved is None else self.resolved

    @property
    def listed(self) -> bool:
        inner = SSM.match(self.type)
        kind = inner.group(1) if inner else self.type
        return kind == "CommaDelimitedList" or bool(LIST.match(kind))

    def split(self, value: str) -> str | list[str]:
        """What `Ref` gives for a value of this type."""
        if not self.listed:
            return value
        return [item.strip() for item in value.split(",")] if value else []


def bad(message: str) -> AwsError:
    return AwsError("ValidationError", message)


def check_type(name: str, kind: Any) -> str:
    inner = SSM.match(kind) if isinstance(kind, str) else None
    plain = inner.group(1) if inner else kind
    listed = LIST.match(plain) if isinstance(plain, str) else None
    item = listed.group(1) if listed else plain
    if plain == "CommaDelimitedList" or item in ("String", "Number", *AWS_TYPES):
        return str(kind)
    raise malformed(f"Unrecognized parameter type: {kind} (parameter '{name}')")


def resolve(
    declared: Mapping[str, Any],
    given: Mapping[str, str | None],
    previous: Mapping[str, str],
    ssm: Callable[[str], str],
) -> dict[str, Parameter]:
    """The stack's parameters. `given`: name -> value, or None for UsePreviousValue; `ssm` reads an SSM parameter."""
    extra = sorted(given.keys() - declared.keys())
    if extra:
        raise bad(f"Parameters: [{', '.join(extra)}] do not exist in the template")
    found: dict[str, Parameter] = {}
    missing: list[str] = []
    for name, declaration in declared.items():
        if not isinstance(declaration, dict) or "Type" not in declaration:
            raise malformed(f"Every Parameters object must contain a Type member. (parameter '{name}')")
        kind = check_type(name, declaration["Type"])
        value = _value(name, declaration, given, previous)
        if value is None:
            missing.append(name)
            continue
        secret = text(declaration.get("NoEcho", False)).lower() == "true"
        found[name] = Parameter(name, kind, value, secret=secret)
    if missing:
        raise bad(f"Parameters: [{', '.join(missing)}] must have values")
    for name, parameter in found.items():
        _check(declared[name], parameter)
        if SSM.match(parameter.type):
            found[name] = replace(parameter, resolved=ssm(parameter.value))
    return found


def _value(
    name: str, declaration: Mapping[str, Any], given: Mapping[str, str | None], previous: Mapping[str, str]
) -> str | None:
    if name in given:
        value = given[name]
        if value is not None:
            return value
        if name not in previous:
            raise bad(f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true for a "
                      "parameter key not in the previous template")  # fmt: skip
        return previous[name]
    if "Default" not in declaration:
        return None
    default = declaration["Default"]
    return ",".join(text(item) for item in default) if isinstance(default, list) else text(default)


def _check(declaration: Mapping[str, Any], parameter: Parameter) -> None:
    finding = next((found for value in _checked(parameter) if (found := _finding(declaration, parameter, value))), None)
    if finding is None:
        return
    described = declaration.get("ConstraintDescription")
    if described:
        raise bad(f"Parameter {parameter.name} failed to satisfy constraint: {described}")
    raise bad(finding)


def _checked(parameter: Parameter) -> list[str]:
    value = parameter.split(parameter.value)
    return value if isinstance(value, list) else [value]


def _finding(rule: Mapping[str, Any], parameter: Parameter, value: str) -> str | None:
    """The first constraint that a value breaks, in AWS's words."""
    name = parameter.name
    if parameter.type in ("Number", "List<Number>"):
        try:
            number = float(value)
        except ValueError:
            return f"Parameter '{name}' must be a number."
        if "MinValue" in rule and number < float(rule["MinValue"]):
            return f"Parameter '{name}' must be a number not less than {text(rule['MinValue'])}"
        if "MaxValue" in rule and number > float(rule["MaxValue"]):
            return f"Parameter '{name}' must be a number not greater than {text(rule['MaxValue'])}"
    if "AllowedValues" in rule and value not in [text(item) for item in rule["AllowedValues"]]:
        return f"Parameter '{name}' must be one of AllowedValues"
    return _finding_in_text(rule, name, value)


def _finding_in_text(rule: Mapping[str, Any], name: str, value: str) -> str | None:
    if "MinLength" in rule and len(value) < int(rule["MinLength"]):
        return f"Parameter '{name}' must contain at least {text(rule['MinLength'])} characters"
    if "MaxLength" in rule and len(value) > int(rule["MaxLength"]):
        return f"Parameter '{name}' must contain at most {text(rule['MaxLength'])} characters"
    if "AllowedPattern" in rule:
        try:
            fits = re.fullmatch(text(rule["AllowedPattern"]), value)
        except re.error as error:
            raise malformed(f"AllowedPattern of parameter '{name}' is not a regular expression: {error}") from None
        if not fits:
            return f"Parameter '{name}' must match pattern {rule['AllowedPattern']}"
    return None
