"""Check a template before anything runs. All findings about types are told at once, each with its place.

Order as on AWS: the shape of the sections, then types, then references, then cycles, then the properties against the
public schemas. Patterns, lengths and ranges of values are judged when the resource's turn comes (`late` findings), as
CloudFormation does: they end in a rollback, not in a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from millpond.local.cloudformation import graph
from millpond.local.cloudformation.desired import PSEUDO, Desired, Evaluated
from millpond.local.cloudformation.intrinsics import sub_names, template_error
from millpond.local.cloudformation.providers import provider_of
from millpond.local.cloudformation.schemas import findings, schema_of
from millpond.local.cloudformation.template import at_line, malformed, walk
from millpond.local.service import AwsError

RESOURCE_MEMBERS = frozenset(
    {"Type", "Properties", "DependsOn", "Condition", "Metadata", "DeletionPolicy", "UpdateReplacePolicy",
     "CreationPolicy", "UpdatePolicy", "Description"}
)  # fmt: skip
LOGICAL_ID = re.compile(r"^[A-Za-z0-9]+$")
Carries = Callable[[str, str], bool]  # (service, operation): whether the endpoint carries it
MAX_RESOURCES, MAX_OUTPUTS, MAX_PARAMETERS = 500, 200, 200  # AWS docs: CloudFormation quotas


def shape(template: Mapping[str, Any], body: str, carries: Carries) -> None:
    """The sections are what they must be, and every type is known, and carried by the service behind it."""
    resources = template.get("Resources")
    if not resources:
        raise malformed("At least one Resources member must be defined.")
    _limit("resources", resources, MAX_RESOURCES)
    _limit("outputs", template.get("Outputs", {}), MAX_OUTPUTS)
    _limit("parameters", template.get("Parameters", {}), MAX_PARAMETERS)
    for name, item in resources.items():
        _resource_shape(name, item, body)
    for name, item in template.get("Outputs", {}).items():
        if not isinstance(item, dict) or "Value" not in item:
            raise malformed(f"Output {name} is malformed. Every Outputs member must contain a Value object")
    if "Rules" in template:
        raise AwsError("ValidationError", "Millpond does not carry the Rules section of a template yet.")
    _known_types(resources, body, carries)


def _limit(what: str, section: Mapping[str, Any], limit: int) -> None:
    if len(section) > limit:
        raise malformed(f"Number of {what}, {len(section)}, is greater than maximum allowed, {limit}")


def _resource_shape(name: str, item: Any, body: str) -> None:
    if not LOGICAL_ID.match(name):
        raise malformed(f"Resource name {name} is non alphanumeric.")
    if not isinstance(item, dict):
        raise malformed(f"Every Resources member must be an object. [{name}]")
    if not isinstance(item.get("Type"), str):
        raise malformed(f"[/Resources/{name}] Every Resources object must contain a Type member.")
    unknown = sorted(str(key) for key in item.keys() - RESOURCE_MEMBERS)
    if unknown:
        place = at_line(body, ("Resources", name, unknown[0]))
        raise AwsError("ValidationError", f"Invalid template resource property '{unknown[0]}' of {name}{place}")
    if not isinstance(item.get("Properties", {}), dict):
        raise malformed(f"Properties of resource {name} must be an object")
    for member in ("CreationPolicy", "UpdatePolicy"):
        if member in item:
            raise AwsError("ValidationError", f"Millpond does not carry {member} (resource {name}) yet.")


def _known_types(resources: Mapping[str, Any], body: str, carries: Carries) -> None:
    unknown = [(name, item["Type"]) for name, item in resources.items() if not _known(item["Type"], carries)]
    if not unknown:
        return
    kinds = ", ".join(sorted({kind for _, kind in unknown}))
    places = "; ".join(f"{name}: {kind}{at_line(body, ('Resources', name, 'Type'))}" for name, kind in unknown)
    raise malformed(f"Unrecognized resource types: [{kinds}]. Millpond does not carry: {places}. See docs/parity.md")


def _known(kind: str, carries: Carries) -> bool:
    provider = provider_of(kind)
    return provider is not None and (not provider.creates or carries(provider.service, provider.creates))


def references(desired: Desired) -> None:
    """Every name that the template uses is declared, and every attribute exists."""
    template = desired.template
    resources = template["Resources"]
    known = resources.keys() | desired.parameters.keys() | template.get("Parameters", {}).keys() | PSEUDO.keys()
    missing: set[str] = set()

    def visit(name: str, argument: Any) -> None:
        for target in _names(name, argument):
            logical_id, dot, attribute = target.partition(".")
            if not dot and target not in known:
                missing.add(target)
            elif dot and logical_id not in resources:
                raise template_error(f"instance of {name} references undefined resource {logical_id}")
            elif dot:
                _attribute(logical_id, resources[logical_id]["Type"], attribute)
        if name == "Fn::If" and isinstance(argument, list) and argument and isinstance(argument[0], str):
            desired.condition(argument[0])

    for name, item in resources.items():
        walk({key: item[key] for key in ("Properties", "Metadata") if key in item}, visit)
        listed = item.get("DependsOn", [])
        missing |= {other for other in ([listed] if isinstance(listed, str) else listed) if other not in resources}
        if missing:
            raise _unresolved(missing, f"in the Resources block of the template (resource {name})")
    walk(template.get("Outputs", {}), visit)
    if missing:
        raise _unresolved(missing, "in the Outputs block of the template")


def _unresolved(missing: set[str], where: str) -> AwsError:
    return malformed(f"Unresolved resource dependencies [{', '.join(sorted(missing))}] {where}")


def _names(function: str, argument: Any) -> Iterable[str]:
    """What a call names: `Name` of a Ref, `Name.Attribute` of a GetAtt."""
    match function, argument:
        case "Ref", str():
            return [argument]
        case "Fn::GetAtt", [str(logical_id), str(attribute), *_]:
            return [f"{logical_id}.{attribute}"]
        case "Fn::GetAtt", str() if "." in argument:
            return [argument]
        case "Fn::Sub", _:
            return sub_names(argument)
        case _:
            return []


def _attribute(logical_id: str, kind: str, attribute: str) -> None:
    provider, schema = provider_of(kind), schema_of(kind)
    if provider is None or provider.any_attribute:
        return
    known = schema.attributes | provider.attributes
    if attribute not in known and attribute.split(".")[0] not in {name.split(".")[0] for name in known}:
        raise template_error(f"resource {logical_id} does not support attribute type {attribute} in Fn::GetAtt")


def properties(evaluated: Mapping[str, Evaluated], body: str) -> None:
    """Every evaluated resource fits its schema, as far as its values are known."""
    for name, item in evaluated.items():
        refused = provider_of(item.type)
        wrong = [finding for finding in findings(item.type, item.properties) if not finding.late]
        if wrong:
            raise _invalid(name, wrong, body)
        for key, why in (refused.refuse if refused else {}).items():
            if key in item.properties:
                raise AwsError("ValidationError", f"Millpond does not carry {key} of {item.type} ({name}): {why}")
    graph.levels({name: item.depends for name, item in evaluated.items()})


def _invalid(name: str, wrong: list[Any], body: str) -> AwsError:
    place = at_line(body, ("Resources", name, "Properties", *wrong[0].path))
    lines = "\n".join(f"{finding.pointer}: {finding.message}" for finding in wrong)
    return AwsError(
        "ValidationError", f"Properties validation failed for resource {name}{place} with message:\n{lines}"
    )
