"""What a stack is to become: a processed template with its parameters, evaluated against what exists.

`Desired.evaluate(name, resources)` gives a resource's properties, with what they depend on, as of the resources that
exist at that moment. The executor asks when the dependencies are there, so every value is known; a plan asks before,
and gets UNKNOWN for what will be known after deploy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from millpond.local.cloudformation.intrinsics import NO_VALUE, UNKNOWN, evaluate, template_error, text, truth
from millpond.local.cloudformation.parameters import Parameter
from millpond.local.cloudformation.providers import provider_of
from millpond.local.cloudformation.providers.provider import tag_list, tag_map
from millpond.local.cloudformation.records import Resource, unmasked
from millpond.local.cloudformation.schemas import schema_of
from millpond.local.cloudformation.template import malformed
from millpond.local.service import AwsError

POLICIES = ("Delete", "Retain", "RetainExceptOnCreate", "Snapshot")
Lookup = Callable[[str], Resource | None]  # the resource as it stands; None: known after deploy


@dataclass(slots=True)
class World:
    """What evaluation may ask of the outside."""

    region: str
    account: str
    exported: Callable[[str], str | None] = lambda name: None
    secret: Callable[[str, int], str] = lambda name, version: ""  # a NoEcho parameter's value


@dataclass(slots=True)
class Evaluated:
    """A resource as the template wants it."""

    type: str
    properties: dict[str, Any]
    depends: set[str]
    imports: set[str]
    deletion: str
    replacing: str
    metadata: dict[str, Any]


@dataclass(slots=True)
class Desired:
    """See the module's docstring."""

    stack_id: str
    stack_name: str
    template: Mapping[str, Any]
    parameters: Mapping[str, Parameter]
    tags: Mapping[str, str]
    notification_arns: list[str]
    world: World
    _conditions: dict[str, bool] = field(default_factory=dict)
    _judging: list[str] = field(default_factory=list)
    _active: dict[str, Any] | None = None

    @property
    def resources(self) -> dict[str, Any]:
        """The resources whose condition holds."""
        if self._active is None:
            found: Mapping[str, Any] = self.template.get("Resources", {})
            self._active = {name: item for name, item in found.items() if self.holds(item)}
        return self._active

    def holds(self, item: Mapping[str, Any]) -> bool:
        return "Condition" not in item or self.condition(item["Condition"])

    def condition(self, name: Any) -> bool:
        """The value of a condition of the template. Raises ValidationError when it is not declared, or circular."""
        declared = self.template.get("Conditions", {})
        if not isinstance(name, str) or name not in declared:
            raise malformed(f"Unresolved condition dependency {name} in the Resources block of the template")
        if name in self._judging:
            raise template_error(f"Circular dependency between conditions: [{', '.join(self._judging)}]")
        if name not in self._conditions:
            self._judging.append(name)
            try:
                self._conditions[name] = truth(declared[name], _Scope(self, lambda resource: None))
            finally:
                self._judging.pop()
        return self._conditions[name]

    def evaluate(self, name: str, lookup: Lookup) -> Evaluated:
        """The resource as the template wants it, given what exists."""
        declared = self.template["Resources"][name]
        scope = _Scope(self, lookup)
        properties = evaluate(declared.get("Properties") or {}, scope)
        listed = declared.get("DependsOn") or []
        scope.depends |= {
            other for other in ([listed] if isinstance(listed, str) else listed) if other in self.resources
        }
        policy = evaluate(declared.get("DeletionPolicy", "Delete"), scope)
        replacing = evaluate(declared.get("UpdateReplacePolicy", "Delete"), scope)
        return Evaluated(
            type=declared["Type"],
            properties=self._tagged(declared["Type"], properties),
            depends=scope.depends,
            imports=scope.imports,
            deletion=policy,
            replacing=replacing,
            metadata=evaluate(declared.get("Metadata") or {}, scope),
        )

    def _tagged(self, kind: str, properties: dict[str, Any]) -> dict[str, Any]:
        """Stack tags go to every resource that takes tags; a resource's own tag wins."""
        provider = provider_of(kind)
        schema = schema_of(kind)
        if not self.tags or not schema.tag_property or provider is None or provider.inert:
            return properties
        own = properties.get(schema.tag_property)
        if own is UNKNOWN:
            return properties
        merged = {**self.tags, **tag_map(own)}
        return {**properties, schema.tag_property: merged if schema.tags_are_map else tag_list(merged)}

    def outputs(self, lookup: Lookup) -> tuple[list[dict[str, Any]], set[str]]:
        """The outputs whose condition holds, and the names of the exports that they import."""
        scope = _Scope(self, lookup)
        found = []
        for name, declared in self.template.get("Outputs", {}).items():
            if not self.holds(declared):
                continue
            value = evaluate(declared["Value"], scope)
            if isinstance(value, (dict, list)):
                raise template_error(f"The Value field of every Outputs member must evaluate to a String. ({name})")
            output = {"OutputKey": name, "OutputValue": value if value is UNKNOWN else text(value)}
            if "Description" in declared:
                output["Description"] = text(declared["Description"])
            if "Export" in declared:
                exported = evaluate(declared["Export"]["Name"], scope)
                output["ExportName"] = exported if exported is UNKNOWN else text(exported)
            found.append(output)
        return found, scope.imports


@dataclass(slots=True)
class _Scope:
    """A Scope (intrinsics.py) over a Desired; remembers which resources and exports were asked for."""

    desired: Desired
    lookup: Lookup
    depends: set[str] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)

    @property
    def mappings(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.desired.template.get("Mappings", {})
        return found

    def ref(self, name: str) -> Any:
        desired = self.desired
        if name in PSEUDO:
            return PSEUDO[name](desired)
        if name in desired.parameters:
            return self._parameter(desired.parameters[name])
        resource = self._resource(name)
        return UNKNOWN if resource is None else resource.physical_id

    def _parameter(self, parameter: Parameter) -> Any:
        value = parameter.used
        return parameter.split(self.reveal(value) if parameter.secret and parameter.listed else value)

    def _resource(self, name: str) -> Resource | None:
        if name not in self.desired.template.get("Resources", {}):
            raise malformed(f"Unresolved resource dependencies [{name}] in the Resources block of the template")
        if name not in self.desired.resources:
            # AWS refuses a reference to a resource whose condition is false in the same words.
            raise malformed(f"Unresolved resource dependencies [{name}] in the Resources block of the template")
        self.depends.add(name)
        return self.lookup(name)

    def attribute(self, logical_id: str, name: str) -> Any:
        resource = self._resource(logical_id)
        if resource is None:
            return UNKNOWN
        if name in resource.attributes:
            return resource.attributes[name]
        found: Any = resource.attributes
        for part in name.split("."):
            if not isinstance(found, dict) or part not in found:
                kind = self.desired.template["Resources"][logical_id]["Type"]
                raise template_error(f"resource {logical_id} ({kind}) does not have the attribute {name}")
            found = found[part]
        return found

    def condition(self, name: str) -> bool:
        return self.desired.condition(name)

    def imported(self, name: str) -> Any:
        value = self.desired.world.exported(name)
        if value is None:
            raise AwsError("ValidationError", f"No export named {name} found. Rollback requested by user.")
        self.imports.add(name)
        return value

    def zones(self, region: str) -> list[str]:
        region = region or self.desired.world.region
        return [f"{region}{letter}" for letter in "abc"]

    def reveal(self, value: Any) -> Any:
        return unmasked(value, self.desired.world.secret)


PSEUDO: dict[str, Callable[[Desired], Any]] = {
    "AWS::AccountId": lambda desired: desired.world.account,
    "AWS::NoValue": lambda desired: NO_VALUE,
    "AWS::NotificationARNs": lambda desired: list(desired.notification_arns),
    "AWS::Partition": lambda desired: "aws",
    "AWS::Region": lambda desired: desired.world.region,
    "AWS::StackId": lambda desired: desired.stack_id,
    "AWS::StackName": lambda desired: desired.stack_name,
    "AWS::URLSuffix": lambda desired: "amazonaws.com",
}
