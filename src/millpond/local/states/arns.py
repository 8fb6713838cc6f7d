"""Names and ARNs of Step Functions resources: building, reading, refusing in AWS's words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millpond.local.service import AwsError

if TYPE_CHECKING:
    from millpond.local.service import Endpoint

# Forbidden, says the API Reference: white space, brackets, wildcards, "#%\^|~`$&,;:/, control characters, U+FFFE-FFFF,
# surrogates and U+10FFFF.
_NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\U0010ffff]{1,80}")
_ARN = re.compile(r"arn:(aws[\w-]*):([\w-]+):([\w-]*):(\d{12})?:([^:]+)(?::(.+))?", re.DOTALL)
_MACHINE = re.compile(r"arn:[\w-]+:states:[\w-]+:\d{12}:stateMachine:([^:/\s]+)(?:/([^:\s]+))?(?::([^:\s]+))?")
_EXECUTION = re.compile(r"arn:[\w-]+:states:[\w-]+:\d{12}:(execution|express):([^:\s]+):([^:\s]+)(?::([^:\s]+))?")
_ACTIVITY = re.compile(r"arn:[\w-]+:states:[\w-]+:\d{12}:activity:([^:\s]+)")


@dataclass(frozen=True, slots=True)
class MachineArn:
    """`base` names the machine; `qualifier` is a version's number or an alias' name; `label` a distributed Map's."""

    base: str
    name: str
    qualifier: str | None
    label: str | None = None

    @property
    def version(self) -> int | None:
        return int(self.qualifier) if self.qualifier and re.fullmatch(r"[0-9]{1,18}", self.qualifier) else None


def invalid(arn: str) -> AwsError:
    """The refusal of what is no ARN, or none of this service."""
    if not arn.startswith("arn:"):
        return AwsError("InvalidArn", f"Invalid Arn: 'Invalid ARN prefix: {arn}'")
    return AwsError("InvalidArn", f"Invalid Arn: '{arn}'")


def misplaced(arn: str) -> AwsError:
    """The refusal of an ARN where another kind of resource belongs."""
    found = _ARN.fullmatch(arn)
    if found and found[2] == "states" and found[5] in ("stateMachine", "execution", "express", "activity", "mapRun"):
        return AwsError("InvalidArn", f"Invalid Arn: 'Resource type not valid in this context: {found[5]}'")
    return invalid(arn)


def machine_arn(endpoint: Endpoint, name: str) -> str:
    return endpoint.arn("states", f"stateMachine:{name}")


def execution_arn(machine: str, name: str) -> str:
    return f"{machine.replace(':stateMachine:', ':execution:', 1)}:{name}"


def machine_of(execution: str) -> str:
    """The ARN of the machine that an execution's ARN names, without the label of a distributed Map."""
    parts = execution.split(":")
    return ":".join([*parts[:5], "stateMachine", parts[6].partition("/")[0]])


def express_arn(machine: str, name: str, unique: str) -> str:
    return f"{machine.replace(':stateMachine:', ':express:', 1)}:{name}:{unique}"


def read_machine(arn: str, *, labelled: bool = False) -> MachineArn:
    """The parts of a state machine's ARN, with or without a qualifier. Raises InvalidArn, and ValidationException for
    the ARN of a distributed Map where the operation takes none."""
    found = _MACHINE.fullmatch(arn)
    if not found:
        raise invalid(arn) if ":stateMachine:" in arn else misplaced(arn)
    if found[2] is not None and not labelled:
        raise AwsError(
            "ValidationException",
            f"This API does not support labeled state machine ARNs: '{arn}'",
            reason="API_DOES_NOT_SUPPORT_LABELED_ARNS",
        )
    base = arn[: found.end(1)]
    return MachineArn(base, found[1], found[3], found[2])


def unqualified(arn: str) -> str:
    """A machine's own ARN. Raises InvalidArn, also for one with a version or an alias."""
    given = read_machine(arn)
    if given.qualifier is not None:
        raise invalid(arn)
    return given.base


def check_execution(arn: str) -> str:
    """Raises InvalidArn for what is no execution's ARN."""
    if not _EXECUTION.fullmatch(arn):
        raise invalid(arn) if re.search(":(execution|express):", arn) else misplaced(arn)
    return arn


def is_express(arn: str) -> bool:
    """Is this the ARN of an Express execution?"""
    found = _EXECUTION.fullmatch(arn)
    return found is not None and found[1] == "express"


def not_for_express() -> AwsError:
    """What operations on executions answer for one of an Express machine."""
    return AwsError("InvalidArn", "Invalid Arn: 'Resource type not valid in this context: express'")


def check_activity(arn: str) -> str:
    """Raises InvalidArn for what is no activity's ARN."""
    if not _ACTIVITY.fullmatch(arn):
        raise invalid(arn) if ":activity:" in arn else misplaced(arn)
    return arn


def check_name(name: str) -> str:
    """Raises InvalidName."""
    if not _NAME.fullmatch(name):
        raise AwsError("InvalidName", f"Invalid Name: '{name}'")
    return name
