"""IAM (moto's): roles, inline and managed policies, instance profiles."""

from __future__ import annotations

from typing import Any

from millpond.local.cloudformation.providers.provider import (
    Properties,
    Provider,
    Task,
    call,
    document,
    tag_list,
    without_none,
)


def _role(task: Task) -> str:
    return task.physical_id or task.name


def create_role(task: Task) -> str:
    params: Properties = {
        **task.take("Path", "Description", "MaxSessionDuration", "PermissionsBoundary"),
        "RoleName": task.name,
        "AssumeRolePolicyDocument": document(task.properties["AssumeRolePolicyDocument"]),
    }
    if task.properties.get("Tags"):
        params["Tags"] = tag_list(task.properties["Tags"])
    call(task, "iam", "create_role", params)
    task.report(task.name)
    _policies(task)
    return task.name


def _policies(task: Task) -> None:
    """Bring the role's inline and attached policies from `task.old` to `task.properties`."""
    role = {"RoleName": _role(task)}
    attached, had = task.properties.get("ManagedPolicyArns") or [], task.old.get("ManagedPolicyArns") or []
    for arn in had:
        if arn not in attached:
            call(task, "iam", "detach_role_policy", {**role, "PolicyArn": arn})
    for arn in attached:
        call(task, "iam", "attach_role_policy", {**role, "PolicyArn": arn})
    wanted = {item["PolicyName"]: item for item in task.properties.get("Policies") or []}
    for item in task.old.get("Policies") or []:
        if item["PolicyName"] not in wanted:
            call(task, "iam", "delete_role_policy", {**role, "PolicyName": item["PolicyName"]})
    for name, item in wanted.items():
        text = inline(item["PolicyDocument"])
        call(task, "iam", "put_role_policy", {**role, "PolicyName": name, "PolicyDocument": text})


def inline(policy: Any) -> str:
    """An inline policy as text. SAM's policy templates have no Version, which AWS takes and the library behind not."""
    return document({"Version": "2012-10-17"} | policy if isinstance(policy, dict) else policy)


def update_role(task: Task) -> None:
    role = {"RoleName": _role(task)}
    if task.properties["AssumeRolePolicyDocument"] != task.old.get("AssumeRolePolicyDocument"):
        text = document(task.properties["AssumeRolePolicyDocument"])
        call(task, "iam", "update_assume_role_policy", {**role, "PolicyDocument": text})
    described = [(at.get("Description"), at.get("MaxSessionDuration")) for at in (task.properties, task.old)]
    if described[0] != described[1]:
        text, seconds = task.properties.get("Description", ""), task.properties.get("MaxSessionDuration", 3600)
        call(task, "iam", "update_role", {**role, "Description": text, "MaxSessionDuration": seconds})
    boundary, had = task.properties.get("PermissionsBoundary"), task.old.get("PermissionsBoundary")
    if boundary and boundary != had:
        call(task, "iam", "put_role_permissions_boundary", {**role, "PermissionsBoundary": boundary})
    elif had and not boundary:
        call(task, "iam", "delete_role_permissions_boundary", role)
    _policies(task)


def delete_role(task: Task) -> None:
    role = {"RoleName": task.physical_id}
    client = task.client("iam")
    # What the role still has, also from a step that failed half way.
    for arn in [item["PolicyArn"] for item in client.list_attached_role_policies(**role)["AttachedPolicies"]]:
        call(task, "iam", "detach_role_policy", {**role, "PolicyArn": arn})
    for name in client.list_role_policies(**role)["PolicyNames"]:
        call(task, "iam", "delete_role_policy", {**role, "PolicyName": name})
    call(task, "iam", "delete_role", role)


def read_role(task: Task) -> dict[str, Any]:
    role = call(task, "iam", "get_role", {"RoleName": _role(task)})["Role"]
    return {"Arn": role["Arn"], "RoleId": role.get("RoleId", "")}


# --- AWS::IAM::Policy: one document, written into roles, users and groups ---------------------------------------------

HOLDERS = {"Roles": ("role", "RoleName"), "Users": ("user", "UserName"), "Groups": ("group", "GroupName")}


def _holders(properties: Properties) -> set[tuple[str, str]]:
    return {(kind, name) for kind in HOLDERS for name in properties.get(kind) or []}


def _put_inline(task: Task) -> None:
    name, text = task.properties["PolicyName"], inline(task.properties["PolicyDocument"])
    renamed = task.old.get("PolicyName", name) != name
    for kind, holder in _holders(task.properties):
        noun, key = HOLDERS[kind]
        call(task, "iam", f"put_{noun}_policy", {key: holder, "PolicyName": name, "PolicyDocument": text})
    gone = _holders(task.old) if renamed else _holders(task.old) - _holders(task.properties)
    for kind, holder in gone:
        _take_inline(task, kind, holder, task.old["PolicyName"])


def _take_inline(task: Task, kind: str, holder: str, name: str) -> None:
    noun, key = HOLDERS[kind]
    client = task.client("iam")
    try:
        call(task, "iam", f"delete_{noun}_policy", {key: holder, "PolicyName": name})
    except client.exceptions.NoSuchEntityException:
        return  # the holder is gone already, and the policy with it


def create_inline(task: Task) -> str:
    _put_inline(task)
    return task.name


def delete_inline(task: Task) -> None:
    for kind, holder in _holders(task.properties):
        _take_inline(task, kind, holder, task.properties["PolicyName"])


def read_inline(task: Task) -> dict[str, Any]:
    for kind, holder in sorted(_holders(task.properties)):
        noun, key = HOLDERS[kind]
        call(task, "iam", f"get_{noun}_policy", {key: holder, "PolicyName": task.properties["PolicyName"]})
    return {"Id": task.physical_id}


# --- AWS::IAM::ManagedPolicy ------------------------------------------------------------------------------------------


def managed_arn(task: Task) -> str:
    return f"arn:aws:iam::{task.account}:policy{task.properties.get('Path', '/')}{task.name}"


def create_managed(task: Task) -> str:
    params = without_none({
        **task.take("Path", "Description"),
        "PolicyName": task.name,
        "PolicyDocument": document(task.properties["PolicyDocument"]),
    })  # fmt: skip
    arn: str = call(task, "iam", "create_policy", params)["Policy"]["Arn"]
    task.report(arn)
    _attach(task, arn)
    return arn


def _attach(task: Task, arn: str) -> None:
    for kind, holder in _holders(task.properties) - _holders(task.old):
        noun, key = HOLDERS[kind]
        call(task, "iam", f"attach_{noun}_policy", {key: holder, "PolicyArn": arn})
    for kind, holder in _holders(task.old) - _holders(task.properties):
        _detach(task, kind, holder, arn)


def _detach(task: Task, kind: str, holder: str, arn: str) -> None:
    noun, key = HOLDERS[kind]
    client = task.client("iam")
    try:
        call(task, "iam", f"detach_{noun}_policy", {key: holder, "PolicyArn": arn})
    except client.exceptions.NoSuchEntityException:
        return  # detached, or the holder is gone


def _old_versions(task: Task, arn: str) -> list[str]:
    versions = task.client("iam").list_policy_versions(PolicyArn=arn)["Versions"]
    return [item["VersionId"] for item in versions if not item["IsDefaultVersion"]]


def update_managed(task: Task) -> None:
    arn = task.physical_id
    if task.properties["PolicyDocument"] != task.old.get("PolicyDocument"):
        for version in _old_versions(task, arn):  # IAM keeps five at most
            call(task, "iam", "delete_policy_version", {"PolicyArn": arn, "VersionId": version})
        text = document(task.properties["PolicyDocument"])
        call(task, "iam", "create_policy_version", {"PolicyArn": arn, "PolicyDocument": text, "SetAsDefault": True})
    _attach(task, arn)


def delete_managed(task: Task) -> None:
    arn = task.physical_id
    for kind, holder in _holders(task.properties):
        _detach(task, kind, holder, arn)
    for version in _old_versions(task, arn):
        call(task, "iam", "delete_policy_version", {"PolicyArn": arn, "VersionId": version})
    call(task, "iam", "delete_policy", {"PolicyArn": arn})


def read_managed(task: Task) -> dict[str, Any]:
    policy = call(task, "iam", "get_policy", {"PolicyArn": task.physical_id})["Policy"]
    return {"PolicyArn": policy["Arn"], "PolicyId": policy.get("PolicyId", "")}


# --- AWS::IAM::InstanceProfile ----------------------------------------------------------------------------------------


def create_profile(task: Task) -> str:
    call(task, "iam", "create_instance_profile", {**task.take("Path"), "InstanceProfileName": task.name})
    task.report(task.name)
    for role in task.properties.get("Roles") or []:
        call(task, "iam", "add_role_to_instance_profile", {"InstanceProfileName": task.name, "RoleName": role})
    return task.name


def update_profile(task: Task) -> None:
    before, after = task.old.get("Roles") or [], task.properties.get("Roles") or []
    profile = {"InstanceProfileName": task.physical_id}
    for role in before:
        if role not in after:
            call(task, "iam", "remove_role_from_instance_profile", {**profile, "RoleName": role})
    for role in after:
        if role not in before:
            call(task, "iam", "add_role_to_instance_profile", {**profile, "RoleName": role})


def delete_profile(task: Task) -> None:
    profile = {"InstanceProfileName": task.physical_id}
    for role in call(task, "iam", "get_instance_profile", profile)["InstanceProfile"]["Roles"]:
        call(task, "iam", "remove_role_from_instance_profile", {**profile, "RoleName": role["RoleName"]})
    call(task, "iam", "delete_instance_profile", profile)


def read_profile(task: Task) -> dict[str, Any]:
    found = call(task, "iam", "get_instance_profile", {"InstanceProfileName": task.physical_id})
    return {"Arn": found["InstanceProfile"]["Arn"]}


PROVIDERS = (
    Provider(type="AWS::IAM::Role", service="iam", creates="CreateRole",
             name="RoleName", name_limit=64,
             create=create_role, update=update_role, delete=delete_role, read=read_role, tag=_role),
    Provider(type="AWS::IAM::Policy", service="iam", creates="PutRolePolicy",
             exclusive=False,
             create=create_inline, update=_put_inline, delete=delete_inline, read=read_inline),
    Provider(type="AWS::IAM::ManagedPolicy", service="iam", creates="CreatePolicy",
             name="ManagedPolicyName", name_limit=128,
             predict=managed_arn, create=create_managed, update=update_managed, delete=delete_managed,
             read=read_managed),
    Provider(type="AWS::IAM::InstanceProfile", service="iam", creates="CreateInstanceProfile",
             name="InstanceProfileName", name_limit=128,
             create=create_profile, update=update_profile, delete=delete_profile, read=read_profile),
)  # fmt: skip
