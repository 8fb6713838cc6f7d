"""Evaluate intrinsic functions: a template's value and a scope -> a plain value.

The scope answers what names mean (`Scope.ref`, `Scope.attribute`, ...); this file knows what the functions do. A value
that will be known only when a resource has been made is `UNKNOWN`, and whatever is computed from it is `UNKNOWN` too:
that is how a change set is computed before anything runs. `NO_VALUE` (`AWS::NoValue`) removes what it is the value of.

Wrong use raises ValidationError in AWS's words, at once; nothing is guessed.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from millpond.local.cloudformation.template import function
from millpond.local.service import AwsError


class _Marker:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


UNKNOWN: Final = _Marker("<known after deploy>")
NO_VALUE: Final = _Marker("<no value>")


class Scope(Protocol):
    """What names mean. `ref` and `attribute` may answer UNKNOWN; `ref` may answer NO_VALUE."""

    @property
    def mappings(self) -> Mapping[str, Any]: ...

    def ref(self, name: str) -> Any: ...

    def attribute(self, logical_id: str, name: str) -> Any: ...

    def condition(self, name: str) -> bool: ...

    def imported(self, name: str) -> Any: ...

    def zones(self, region: str) -> list[str]: ...

    def reveal(self, value: Any) -> Any:
        """The value with NoEcho markers replaced: for functions that look inside a string."""
        ...


def template_error(message: str) -> AwsError:
    return AwsError("ValidationError", f"Template error: {message}")


def evaluate(value: Any, scope: Scope) -> Any:
    """The value with every function computed. A dict or list drops members that are NO_VALUE."""
    called = function(value)
    if called:
        name, argument = called
        known = FUNCTIONS.get(name)
        if known is None:
            raise template_error(f"{name} is not a function that can be used here")
        return known(argument, scope)
    if isinstance(value, dict):
        pairs = ((key, evaluate(item, scope)) for key, item in value.items())
        return {key: item for key, item in pairs if item is not NO_VALUE}
    if isinstance(value, list):
        return [item for item in (evaluate(item, scope) for item in value) if item is not NO_VALUE]
    return value


def has_unknown(value: Any) -> bool:
    if value is UNKNOWN:
        return True
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    return isinstance(value, list) and any(has_unknown(item) for item in value)


def text(value: Any) -> str:
    """A scalar as CloudFormation writes it into a string."""
    match value:
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value)) if abs(value) < 1e15 else repr(value)
        case str():
            return value
        case _:
            return str(value)


def truth(value: Any, scope: Scope) -> bool:
    """A condition: {"Condition": name}, Fn::And, Fn::Or, Fn::Not, Fn::Equals, or "true" / "false"."""
    if isinstance(value, dict) and set(value) == {"Condition"}:
        return scope.condition(value["Condition"])
    result = evaluate(value, scope)
    if isinstance(result, bool):
        return result
    if result in ("true", "false"):
        return bool(result == "true")
    raise template_error("a condition must be true or false")


# --- the functions, each: (argument, scope) -> value -----------------------------------------------------------------


def _ref(argument: Any, scope: Scope) -> Any:
    if not isinstance(argument, str):
        raise template_error("every Ref object must have a single String value.")
    return scope.ref(argument)


def _get_att(argument: Any, scope: Scope) -> Any:
    if isinstance(argument, str):
        argument = argument.split(".", 1)
    if not (isinstance(argument, list) and len(argument) >= 2 and isinstance(argument[0], str)):
        raise template_error("every Fn::GetAtt object requires two non-empty parameters, the resource name and "
                             "the resource attribute")  # fmt: skip
    names = [evaluate(part, scope) for part in argument[1:]]
    if any(not isinstance(name, str) for name in names):
        raise template_error("every Fn::GetAtt attribute must be a string")
    return scope.attribute(argument[0], ".".join(names))


_HOLE = re.compile(r"\$\{(!?)([^}]*)\}")


def _sub(argument: Any, scope: Scope) -> Any:
    pattern, values = argument, {}
    if isinstance(argument, list):
        if len(argument) != 2 or not isinstance(argument[1], dict):
            raise template_error("One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a "
                                 "string as first argument, and an optional second argument to specify a mapping "
                                 "of values to replace in the string")  # fmt: skip
        pattern, values = argument
    if not isinstance(pattern, str):
        raise template_error("One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a "
                             "string as first argument")  # fmt: skip
    values = {name: evaluate(item, scope) for name, item in values.items()}
    unknown = False

    def fill(hole: re.Match[str]) -> str:
        nonlocal unknown
        literal, name = hole.group(1), hole.group(2).strip()
        if literal:
            return "${" + hole.group(2) + "}"
        value = values[name] if name in values else _named(name, scope)
        if has_unknown(value):
            unknown = True
            return ""
        return _joined_part(value, "Fn::Sub")

    filled = _HOLE.sub(fill, pattern)
    return UNKNOWN if unknown else filled


def _named(name: str, scope: Scope) -> Any:
    logical_id, dot, attribute = name.partition(".")
    return scope.attribute(logical_id, attribute) if dot else scope.ref(name)


def sub_names(argument: Any) -> list[str]:
    """The names that a Fn::Sub takes from the template (not those of its own map)."""
    pattern, own = (argument[0], argument[1]) if isinstance(argument, list) and len(argument) == 2 else (argument, {})
    if not isinstance(pattern, str):
        return []
    found = (hole.group(2).strip() for hole in _HOLE.finditer(pattern) if not hole.group(1))
    return [name for name in found if not (isinstance(own, dict) and name in own)]


def _joined_part(value: Any, name: str) -> str:
    if value is NO_VALUE:
        return ""
    if isinstance(value, dict):
        raise template_error(f"{name} needs strings, not an object")
    if isinstance(value, list):  # a CommaDelimitedList in Fn::Sub is its text
        return ",".join(text(item) for item in value)
    return text(value)


def _join(argument: Any, scope: Scope) -> Any:
    match argument:
        case [str(delimiter), parts]:
            values = evaluate(parts, scope)
        case _:
            raise template_error("every Fn::Join object requires two parameters, (1) a string delimiter and (2) a "
                                 "list of strings to be joined or a function that returns a list of strings (such as "
                                 "Fn::GetAZs) to be joined.")  # fmt: skip
    if has_unknown(values):
        return UNKNOWN
    if not isinstance(values, list):
        raise template_error("every Fn::Join object requires a list of strings as its second parameter")
    return delimiter.join(_joined_part(item, "Fn::Join") for item in values)


def _select(argument: Any, scope: Scope) -> Any:
    if not (isinstance(argument, list) and len(argument) == 2):
        raise template_error("Fn::Select requires a list argument with two elements: an integer index and a list")
    index, items = evaluate(argument[0], scope), evaluate(argument[1], scope)
    if index is UNKNOWN or items is UNKNOWN:
        return UNKNOWN
    try:
        place = int(index)
    except (TypeError, ValueError):
        raise template_error("Fn::Select requires a list argument with a valid index value") from None
    if not isinstance(items, list):
        raise template_error("Fn::Select requires a list argument with two elements: an integer index and a list")
    if not 0 <= place < len(items):
        raise template_error(f"Fn::Select cannot select nonexistent value at index {place}")
    return items[place]


def _split(argument: Any, scope: Scope) -> Any:
    match argument:
        case [str(delimiter), source] if delimiter:
            value = scope.reveal(evaluate(source, scope))
        case _:
            raise template_error("every Fn::Split object requires two parameters, (1) a string delimiter and (2) a "
                                 "string to be split or a function that returns a string to be split.")  # fmt: skip
    if value is UNKNOWN:
        return UNKNOWN
    if not isinstance(value, str):
        raise template_error("Fn::Split requires a string to be split")
    return value.split(delimiter)


def _if(argument: Any, scope: Scope) -> Any:
    match argument:
        case [str(name), yes, no]:
            return evaluate(yes if scope.condition(name) else no, scope)
    raise template_error("Fn::If requires a list argument with three elements")


def _equals(argument: Any, scope: Scope) -> Any:
    if not (isinstance(argument, list) and len(argument) == 2):
        raise template_error("Fn::Equals requires a list argument with two elements")
    left, right = (scope.reveal(evaluate(side, scope)) for side in argument)
    if has_unknown(left) or has_unknown(right):
        raise template_error("a condition cannot depend on a resource")
    return same(left, right)


def same(left: Any, right: Any) -> bool:
    """Equal, where scalars compare as CloudFormation writes them: 1 and "1", true and "true"."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, (dict, list)) or isinstance(right, (dict, list)) or left is None or right is None:
        return bool(left == right)
    return text(left) == text(right)


def _logic(name: str, decide: Callable[[list[bool]], bool]) -> Callable[[Any, Scope], bool]:
    def call(argument: Any, scope: Scope) -> bool:
        if not (isinstance(argument, list) and 2 <= len(argument) <= 10):
            raise template_error(f"every {name} object requires a list of at least 2 and at most 10 boolean parameters")
        return decide([truth(item, scope) for item in argument])

    return call


def _not(argument: Any, scope: Scope) -> bool:
    if not (isinstance(argument, list) and len(argument) == 1):
        raise template_error("Fn::Not requires a list argument with one element")
    return not truth(argument[0], scope)


def _find_in_map(argument: Any, scope: Scope) -> Any:
    if not (isinstance(argument, list) and len(argument) in (3, 4)):
        raise template_error("every Fn::FindInMap object requires three parameters, the map name, map key and the "
                             "attribute for return value")  # fmt: skip
    keys = [scope.reveal(evaluate(part, scope)) for part in argument[:3]]
    if has_unknown(keys):
        raise template_error("Fn::FindInMap cannot depend on a resource")
    found: Any = scope.mappings
    for key in keys:
        if isinstance(found, Mapping) and text(key) in found:
            found = found[text(key)]
        elif len(argument) == 4 and isinstance(argument[3], dict) and "DefaultValue" in argument[3]:
            return evaluate(argument[3]["DefaultValue"], scope)
        else:
            name, top, second = (text(part) for part in keys)
            raise template_error(f"Unable to get mapping for {name}::{top}::{second}")
    return found


def _import_value(argument: Any, scope: Scope) -> Any:
    name = evaluate(argument, scope)
    if has_unknown(name):
        raise template_error("the name of Fn::ImportValue cannot depend on a resource")
    return scope.imported(text(name))


def _base64(argument: Any, scope: Scope) -> Any:
    value = scope.reveal(evaluate(argument, scope))
    if value is UNKNOWN:
        return UNKNOWN
    if not isinstance(value, str):
        raise template_error("every Fn::Base64 object must have a String-typed value.")
    return base64.b64encode(value.encode()).decode()


def _get_azs(argument: Any, scope: Scope) -> Any:
    region = evaluate(argument, scope)
    return UNKNOWN if region is UNKNOWN else scope.zones(text(region))


def _cidr(argument: Any, scope: Scope) -> Any:
    if not (isinstance(argument, list) and len(argument) in (2, 3)):
        raise template_error("Fn::Cidr requires a list argument with two or three elements")
    block, count, *rest = (evaluate(part, scope) for part in argument)
    if has_unknown([block, count, *rest]):
        return UNKNOWN
    try:
        network = ipaddress.ip_network(text(block), strict=False)
        bits = int(rest[0]) if rest else 8
        wanted = int(count)
        if not 1 <= wanted <= 256:
            raise ValueError("count must be from 1 to 256")
        blocks = network.subnets(new_prefix=network.max_prefixlen - bits)
        found = [str(subnet) for subnet, _ in zip(blocks, range(wanted), strict=False)]
        if len(found) < wanted:
            raise ValueError(f"{block} has room for {len(found)} blocks")
    except ValueError as error:
        raise template_error(f"Fn::Cidr: {error}") from None
    return found


def _length(argument: Any, scope: Scope) -> Any:
    value = evaluate(argument, scope)
    if value is UNKNOWN:
        return UNKNOWN
    if not isinstance(value, list):
        raise template_error("Fn::Length requires a list")
    return len(value)


def _to_json_string(argument: Any, scope: Scope) -> Any:
    value = evaluate(argument, scope)
    return UNKNOWN if has_unknown(value) else json.dumps(value, separators=(",", ":"))


FUNCTIONS: dict[str, Callable[[Any, Scope], Any]] = {
    "Ref": _ref,
    "Fn::GetAtt": _get_att,
    "Fn::Sub": _sub,
    "Fn::Join": _join,
    "Fn::Select": _select,
    "Fn::Split": _split,
    "Fn::If": _if,
    "Fn::Equals": _equals,
    "Fn::And": _logic("Fn::And", all),
    "Fn::Or": _logic("Fn::Or", any),
    "Fn::Not": _not,
    "Fn::FindInMap": _find_in_map,
    "Fn::ImportValue": _import_value,
    "Fn::Base64": _base64,
    "Fn::GetAZs": _get_azs,
    "Fn::Cidr": _cidr,
    "Fn::Length": _length,  # AWS::LanguageExtensions, as is the next
    "Fn::ToJsonString": _to_json_string,
}
