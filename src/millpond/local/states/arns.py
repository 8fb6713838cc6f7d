"""Names and ARNs of Step Functions resources: building, reading, refusing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millpond.local.service import AwsError

if TYPE_CHECKING:
    from millpond.local.service import Endpoint

_NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")
_MACHINE = re.compile(r"arn:[\w-]+:states:[\w-]+:\d{12}:stateMachine:([^:/]+)(?:/[^:]+)?(?::([^:]+))?")
_EXECUTION = re.compile(r"arn:[\w-]+:states:[\w-]+:\d{12}:(execution|express):([^:]+):([^:]+)(?::([^:]+))?")
_ACTIVITY = re.compile(r"arn:[\w-]+:states:[\w-]+:\d{12}:activity:([^:]+)")


@dataclass(frozen=True, slots=True)
class MachineArn:
    """`base` names the machine; `qualifier` is a version's number or an alias' name."""

    base: str
    name: str
    qualifier: str | None

    @property
    def version(self) -> int | None:
        return int(self.qualifier) if self.qualifier and self.qualifier.isdigit() else None


def invalid(arn: str) -> AwsError:
    return AwsError("InvalidArn", f"Invalid Arn: '{arn}'")


def machine_arn(endpoint: Endpoint, name: str) -> str:
    return endpoint.arn("states", f"stateMachine:{name}")


def execution_arn(machine: str, name: str) -> str:
    return f"{machine.replace(':stateMachine:', ':execution:', 1)}:{name}"


def express_arn(machine: str, name: str, unique: str) -> str:
    return f"{machine.replace(':stateMachine:', ':express:', 1)}:{name}:{unique}"


def read_machine(arn: str) -> MachineArn:
    """The parts of a state machine's ARN, with or without a qualifier. Raises InvalidArn."""
    found = _MACHINE.fullmatch(arn)
    if not found:
        raise invalid(arn)
    base = arn if found[2] is None else arn[: -len(found[2]) - 1]
    return MachineArn(base, found[1], found[2])


def check_execution(arn: str) -> str:
    """Raises InvalidArn for what is no execution's ARN."""
    if not _EXECUTION.fullmatch(arn):
        raise invalid(arn)
    return arn


def check_activity(arn: str) -> str:
    if not _ACTIVITY.fullmatch(arn):
        raise invalid(arn)
    return arn


def check_name(name: str) -> str:
    """Raises InvalidName."""
    if not _NAME.fullmatch(name):
        raise AwsError("InvalidName", f"Invalid Name: '{name}'")
    return name
