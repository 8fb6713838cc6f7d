"""The shape of a template's sections, before anything reads them: what the rest of the engine takes for granted.

Runs on the template as given, before transforms, and again on what they made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from millpond.local.cloudformation.intrinsics import text
from millpond.local.cloudformation.template import malformed

Fits = Callable[[Any], bool]
NAME = re.compile(r"^[A-Za-z0-9]+$")
LOOP = "Fn::ForEach::"


def _scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool))


def _string(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


def _count(value: Any) -> bool:
    return _number(value) and float(value).is_integer() and float(value) >= 0


def _scalars(value: Any) -> bool:
    return isinstance(value, list) and all(map(_scalar, value))


def _names(value: Any) -> bool:
    return _string(value) or (isinstance(value, list) and all(map(_string, value)))


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _word(value: Any) -> bool:
    return _string(value) or _object(value)  # a function may give it, with AWS::LanguageExtensions


PARAMETER: dict[str, tuple[Fits, str]] = {
    "Type": (_string, "a string"),
    "Default": (lambda value: _scalar(value) or _scalars(value), "a string"),
    "AllowedValues": (_scalars, "a list of strings"),
    "AllowedPattern": (_string, "a string"),
    "ConstraintDescription": (_string, "a string"),
    "Description": (_scalar, "a string"),
    "NoEcho": (_scalar, "true or false"),
    "MinLength": (_count, "a number"),
    "MaxLength": (_count, "a number"),
    "MinValue": (_number, "a number"),
    "MaxValue": (_number, "a number"),
}
RESOURCE: dict[str, tuple[Fits, str]] = {
    "Type": (_string, "a string"),
    "Properties": (_object, "an object"),
    "DependsOn": (_names, "a string or a list of strings"),
    "Condition": (_string, "a string"),
    "Metadata": (_object, "an object"),
    "DeletionPolicy": (_word, "a string"),
    "UpdateReplacePolicy": (_word, "a string"),
}
OUTPUT: dict[str, tuple[Fits, str]] = {
    "Description": (_scalar, "a string"),
    "Condition": (_string, "a string"),
    "Export": (lambda value: _object(value) and "Name" in value, "an object with a Name"),
}


def check(source: Mapping[str, Any]) -> None:
    """Raise ValidationError for the first section that is not what it must be."""
    version = source.get("AWSTemplateFormatVersion", "2010-09-09")
    if version != "2010-09-09":
        raise malformed(f"[AWSTemplateFormatVersion] value is not supported: {text(version)}")
    if not _scalar(source.get("Description", "")):
        raise malformed("Description must be a string.")
    _transforms(source.get("Transform", []))
    _members("Parameters", source.get("Parameters", {}), PARAMETER)
    for name, item in source.get("Parameters", {}).items():
        if "Type" not in item:
            raise malformed(f"Every Parameters object must contain a Type member. [{name}]")
    _mappings(source.get("Mappings", {}))
    for section in ("Resources", "Outputs", "Conditions"):
        loops = [name for name in source.get(section, {}) if name.startswith(LOOP)]
        plain = {name: item for name, item in source.get(section, {}).items() if name not in loops}
        _members(section, plain, {"Resources": RESOURCE, "Outputs": OUTPUT}.get(section))


def _members(section: str, items: Mapping[str, Any], rules: Mapping[str, tuple[Fits, str]] | None) -> None:
    for name, item in items.items():
        if not isinstance(item, dict):
            raise malformed(f"Every {section} member must be an object. [{name}]")
        for member, (fits, wanted) in (rules or {}).items():
            if member in item and not fits(item[member]):
                raise malformed(f"[/{section}/{name}/{member}] must be {wanted}.")


def _mappings(section: Mapping[str, Any]) -> None:
    for name, item in section.items():
        if not (_object(item) and all(_object(part) for part in item.values())):
            raise malformed(f"Every Mappings attribute must be an object of objects. [{name}]")


def _transforms(given: Any) -> None:
    for item in given if isinstance(given, list) else [given]:
        if not (_string(item) or (_object(item) and _string(item.get("Name")))):
            raise malformed("Transform must be a name, or a list of names.")
