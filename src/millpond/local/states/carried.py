"""What becomes of a Task's Resource on this endpoint: its service is carried, or the error that its state fails with.

For `millpond check` (a warning before anything runs) and for docs/parity.md. Nothing is called: the tables that `begin`
goes by are read. **Limit**: which operations moto has is not known; a service of moto counts as carried.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from millpond.local import rooms
from millpond.local.moto_bridge import PRETENDERS
from millpond.local.states import integrations, sdk
from millpond.local.states.integrations import errors

if TYPE_CHECKING:
    from millpond.asl.resources import Resource

Operations = Mapping[str, frozenset[str]]
"""What each room carries, by botocore's name of the service."""


def refusal(resource: Resource, operations: Operations | None = None) -> str | None:
    """The error name of a state with this resource, None where the work is done. Without `operations` a room is
    believed to carry all of its service's."""
    if resource.kind != "service":
        return None
    if resource.service.startswith("aws-sdk:"):
        name = sdk.service_named(resource.service.removeprefix("aws-sdk:"))
        if name is None or _does(name, resource.action, operations):
            return None
        return f"{errors.java_name(name)}.NotImplementedException"
    if resource.service in ("lambda", "http"):
        return None
    named = integrations.PLAIN.get(resource.service)
    waited = resource.pattern != "sync" or f"{resource.service}:{resource.action}{resource.suffix}" in integrations.WORK
    if named is not None and waited and _does(named, resource.action, operations):
        return None
    known = errors.OPTIMISED.get(resource.service)
    prefix = known.prefix if known is not None else resource.service[:1].upper() + resource.service[1:]
    return f"{prefix}.NotImplementedException"


def _does(service: str, action: str, operations: Operations | None) -> bool:
    """Does somebody here do an action of a service?"""
    if service not in rooms.ROOMS:
        return service not in PRETENDERS and service in motos()
    if operations is None:
        return True
    operation = sdk.operation_named(service, action)
    return operation is not None and operation.name in operations[service]


@functools.cache
def motos() -> frozenset[str]:
    """The services, by botocore's names, that the moto library has (PRETENDERS among them): it has a folder for each,
    named without hyphens. moto itself is not imported, that takes its time."""
    from botocore.session import Session

    found = importlib.util.find_spec("moto")
    homes = found.submodule_search_locations if found is not None else None
    folders = {folder.name.replace("_", "") for home in homes or () for folder in Path(home).iterdir()}
    folders |= {"neptune"}  # moto answers for it in its rds
    return frozenset(name for name in Session().get_available_services() if name.replace("-", "") in folders)
