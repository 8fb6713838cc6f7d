"""AWS Step Functions: state machines from explicit states (`millpond.asl`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millpond.asl import Machine
from millpond.resources.resource import Resource


@dataclass(frozen=True, kw_only=True)
class StateMachine(Resource):
    """A Standard state machine. Strings of the definition may hold tokens of the project's other resources."""

    type: ClassVar[str] = "AWS::StepFunctions::StateMachine"
    definition: Machine

    @property
    def arn(self) -> str:
        return self.ref
