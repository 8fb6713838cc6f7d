"""From a request to what a stack is to become: template, parameters, transforms, checks, plan.

`CreateStack`, `UpdateStack` and `CreateChangeSet` share these parameters; all of them come through `Preparation.make`,
which either gives a `Prepared` that may run, or raises ValidationError (or InsufficientCapabilitiesException) before
anything has been touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.exceptions import ClientError

from millpond.local.cloudformation import check, parameters, sections, transforms
from millpond.local.cloudformation.desired import Desired, World
from millpond.local.cloudformation.intrinsics import same, text
from millpond.local.cloudformation.parameters import Parameter
from millpond.local.cloudformation.plan import Plan, plan
from millpond.local.cloudformation.records import NOECHO, Operation, Records, Resource, Stack, exports, unmasked
from millpond.local.cloudformation.template import MAX_BODY, MAX_OBJECT, parse
from millpond.local.service import AwsError

IAM_TYPES = {  # type -> the property that makes it need CAPABILITY_NAMED_IAM
    "AWS::IAM::AccessKey": "",
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Policy": "",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
    "AWS::IAM::UserToGroupAddition": "",
}


@dataclass(slots=True)
class Prepared:
    """What may run: the fields of Stack that will hold, the plan, and the NoEcho values to keep when it begins."""

    target: dict[str, Any]
    desired: Desired
    plan: Plan
    secrets: dict[tuple[str, int], str]


def required_capabilities(template: Mapping[str, Any]) -> tuple[list[str], str]:
    """The capabilities that a template needs, and why."""
    iam = [(name, item) for name, item in template.get("Resources", {}).items() if item.get("Type") in IAM_TYPES]
    if not iam:
        return [], ""
    named = any(IAM_TYPES[item["Type"]] in (item.get("Properties") or {}) for _, item in iam if IAM_TYPES[item["Type"]])
    kinds = sorted({item["Type"] for _, item in iam})
    reason = f"The following resource(s) require capabilities: [{', '.join(kinds)}]"
    return ["CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"], reason


def check_capabilities(
    template: Mapping[str, Any], source: Mapping[str, Any], given: list[str], *, direct: bool
) -> None:
    """Raise InsufficientCapabilitiesException. A change set is reviewed, so it need not acknowledge transforms."""
    needed, _ = required_capabilities(template)
    if "CAPABILITY_NAMED_IAM" in given:
        needed = [item for item in needed if not item.endswith("_IAM")]
    missing = [item for item in needed if item not in given]
    if direct and transforms.declared(source) and "CAPABILITY_AUTO_EXPAND" not in given:
        missing.append("CAPABILITY_AUTO_EXPAND")
    if missing:
        raise AwsError("InsufficientCapabilitiesException", f"Requires capabilities : [{', '.join(missing)}]")


@dataclass(slots=True)
class Preparation:
    """See the module's docstring."""

    records: Records
    connect: Callable[[str], Any]
    region: str
    account: str
    port: int
    carries: check.Carries = lambda service, operation: True

    # -- the template --------------------------------------------------------------------------------------------------

    def body(self, request: Mapping[str, Any], previous: Stack | None = None) -> str:
        """The template's text: given, in local S3, or the previous one."""
        given = [name for name in ("TemplateBody", "TemplateURL") if request.get(name)]
        if request.get("UsePreviousTemplate"):
            if given:
                raise AwsError("ValidationError", "You cannot specify both usePreviousTemplate and Template Body/URL.")
            if previous is None or not previous.body:
                raise AwsError("ValidationError", "There is no previous template to use.")
            return previous.body
        if len(given) != 1:
            raise AwsError("ValidationError", "Either Template URL or Template Body must be specified.")
        if given == ["TemplateURL"]:
            return self._fetch(str(request["TemplateURL"]))
        found = str(request["TemplateBody"])
        if len(found.encode()) > MAX_BODY:
            raise AwsError(
                "ValidationError",
                "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have "
                f"length less than or equal to {MAX_BODY}",
            )
        return found

    def _fetch(self, url: str) -> str:
        bucket, key, version = self._object_of(url)
        given = {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}
        try:
            found = self.connect("s3").get_object(**given)
        except ClientError as error:
            raise AwsError("ValidationError", f"S3 error: {error.response['Error'].get('Message', error)}") from None
        if found["ContentLength"] > MAX_OBJECT:
            raise AwsError("ValidationError", f"Template may not exceed {MAX_OBJECT} bytes in size.")
        try:
            return str(found["Body"].read().decode())
        except UnicodeDecodeError:
            raise AwsError("ValidationError", "Template format error: the template is not UTF-8 text.") from None

    def _object_of(self, url: str) -> tuple[str, str, str]:
        """(bucket, key, version) of a URL of local S3 or, by name, of AWS's: both mean the bucket here."""
        parts = urlsplit(url)
        host, path = (parts.hostname or "").lower(), unquote(parts.path).lstrip("/")
        version = parse_qs(parts.query).get("versionId", [""])[0]
        local = host in ("127.0.0.1", "localhost", "::1") or host.endswith(".localhost")
        if local and parts.port not in (None, self.port):
            local = False
        aws = host.endswith(".amazonaws.com") and (host.startswith(("s3.", "s3-")) or ".s3." in host or ".s3-" in host)
        if not (parts.scheme in ("http", "https", "s3") and (local or aws or parts.scheme == "s3")):
            raise AwsError("ValidationError", "TemplateURL must be a supported URL.")
        if parts.scheme == "s3":
            return parts.netloc, path, version
        if host in ("127.0.0.1", "localhost", "::1") or host.startswith(("s3.", "s3-")):
            bucket, _, key = path.partition("/")
        else:
            bucket = host.removesuffix(".localhost") if local else host.split(".s3")[0]
            key = path
        if not bucket or not key:
            raise AwsError("ValidationError", "TemplateURL must reference a valid S3 object to which you have access.")
        return bucket, key, version

    # -- parameters ----------------------------------------------------------------------------------------------------

    def _ssm(self, name: str) -> str:
        try:
            return str(self.connect("ssm").get_parameter(Name=name)["Parameter"]["Value"])
        except ClientError:
            raise AwsError(
                "ValidationError",
                f"Unable to fetch parameters [{name}] from parameter store for this account.",
            ) from None

    def _parameters(
        self, source: Mapping[str, Any], request: Mapping[str, Any], previous: Stack | None, stack_id: str
    ) -> tuple[dict[str, Parameter], dict[tuple[str, int], str]]:
        """The parameters, NoEcho values replaced by markers, and those values by (name, version)."""
        given: dict[str, str | None] = {}
        for item in request.get("Parameters") or []:
            if item.get("UsePreviousValue"):
                given[item["ParameterKey"]] = None
            else:
                given[item["ParameterKey"]] = item.get("ParameterValue", "")
        had = {
            name: self._reveal(stack_id, item["value"])
            for name, item in (previous.parameters if previous else {}).items()
        }
        found = parameters.resolve(source.get("Parameters", {}), given, had, self._ssm)
        hidden: dict[tuple[str, int], str] = {}
        for name, parameter in found.items():
            if parameter.secret:
                version = self.records.secret_version(stack_id, name, parameter.used)
                hidden[(name, version)] = parameter.used
                found[name] = Parameter(name, parameter.type, f"{NOECHO}{name}:{version}}}}}", secret=True)
        return found, hidden

    def _reveal(self, stack_id: str, value: str) -> str:
        return str(unmasked(value, lambda name, version: self.records.secret(stack_id, name, version)))

    # -- all together --------------------------------------------------------------------------------------------------

    def make(
        self,
        request: Mapping[str, Any],
        *,
        stack_id: str,
        stack_name: str,
        previous: Stack | None,
        resources: Mapping[str, Resource],
        direct: bool,
    ) -> Prepared:
        """Everything that can be known before anything runs. `direct`: not by a change set."""
        body = self.body(request, previous)
        source = parse(body)
        sections.check(source)
        chosen, hidden = self._parameters(source, request, previous, stack_id)
        values = {name: item.split(hidden_value(item, hidden)) for name, item in chosen.items()}
        template = transforms.apply(source, values, self.region)
        sections.check(template)
        check.shape(template, body, self.carries)
        capabilities = list(request.get("Capabilities") or [])
        check_capabilities(template, source, capabilities, direct=direct)
        tags = self._tags(request, previous)
        arns = request.get("NotificationARNs")
        target: dict[str, Any] = {
            "body": body,
            "template": template,
            "parameters": {name: asdict(item) for name, item in chosen.items()},
            "tags": tags,
            "capabilities": capabilities,
            "notification_arns": list(arns) if arns is not None else (previous.notification_arns if previous else []),
            "role_arn": request.get("RoleARN") or (previous.role_arn if previous else ""),
            "timeout_minutes": request.get("TimeoutInMinutes"),
        }
        desired = self.desired(stack_id, stack_name, target, hidden)
        check.references(desired)
        _same_types(desired, resources)
        planned = plan(desired, resources)
        check.properties(planned.evaluated, body)
        _policies(planned)
        return Prepared(target, desired, planned, hidden)

    def _tags(self, request: Mapping[str, Any], previous: Stack | None) -> dict[str, str]:
        given = request.get("Tags")
        if given is None:
            return dict(previous.tags) if previous else {}
        found = {item["Key"]: item["Value"] for item in given}
        reserved = [key for key in found if key.lower().startswith("aws:")]
        if reserved:
            raise AwsError("ValidationError", "aws: prefixed tag key names are not allowed for external use.")
        return found

    def desired(
        self, stack_id: str, stack_name: str, target: Mapping[str, Any], hidden: Mapping[tuple[str, int], str]
    ) -> Desired:
        def secret(name: str, version: int) -> str:
            kept = hidden.get((name, version))
            return self.records.secret(stack_id, name, version) if kept is None else kept

        def exported(name: str) -> str | None:
            found = exports(other for other in self.records.stacks() if other.id != stack_id).get(name)
            return exports([self.records.shown(found[0])])[name][1] if found else None

        return Desired(
            stack_id=stack_id,
            stack_name=stack_name,
            template=target["template"],
            parameters={name: Parameter(**item) for name, item in target["parameters"].items()},
            tags=target["tags"],
            notification_arns=target["notification_arns"],
            world=World(self.region, self.account, exported, secret),
        )

    def desired_of(self, operation: Operation) -> Desired:
        """What a running operation brings its stack to."""
        stack = self.records.stack(operation.stack_id)
        assert stack is not None, operation.stack_id
        return self.desired(stack.id, stack.name, operation.target, {})


def hidden_value(parameter: Parameter, hidden: Mapping[tuple[str, int], str]) -> str:
    return str(unmasked(parameter.used, lambda name, version: hidden[(name, version)]))


def _same_types(desired: Desired, resources: Mapping[str, Resource]) -> None:
    changed = [
        name
        for name, item in desired.resources.items()
        if name in resources and resources[name].exists and resources[name].type != item["Type"]
    ]
    if changed:
        raise AwsError(
            "ValidationError",
            "Update of resource type is not permitted. The new template modifies resource type of the following "
            f"resources: [{', '.join(changed)}]",
        )


def _policies(planned: Plan) -> None:
    for name, item in planned.evaluated.items():
        for attribute, value in (("DeletionPolicy", item.deletion), ("UpdateReplacePolicy", item.replacing)):
            allowed = ("Delete", "Retain") + (("RetainExceptOnCreate",) if attribute == "DeletionPolicy" else ())
            if value not in allowed:
                raise AwsError(
                    "ValidationError",
                    f"Template error: {attribute} {text(value)} of resource {name} ({item.type}) is not supported; "
                    f"use one of {', '.join(allowed)}",
                )


def nothing_to_do(prepared: Prepared, stack: Stack) -> bool:
    """Whether an update would change neither a resource, nor an output, nor the stack's tags."""
    if prepared.plan.changes or prepared.target["tags"] != stack.tags:
        return False
    return same(prepared.plan.outputs, stack.outputs)
