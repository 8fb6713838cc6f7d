"""`python -m millpond.local.states.validate`: what CreateStateMachine would say of definitions, without an endpoint.

`millpond check` starts it. On stdin a JSON array of `{"definition": <JSON text>, "type": "STANDARD" | "EXPRESS"}`, on
stdout an array with an array of findings for each: `code`, `message`, `severity`, `at` (a path), `location` (AWS's
words for it). To AWS's findings one of ours is added: NOT_CARRIED_HERE, a warning where the work is done on AWS only.
No network, no state folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from millpond.asl import check, codec, resources
from millpond.asl.graph import walk
from millpond.asl.model import Task
from millpond.engine import compile_machine
from millpond.errors import Diagnostic, MillpondError
from millpond.local.states import carried, parameters, sdk

HERE = "NOT_CARRIED_HERE"


def findings(definition: str, kind: check.Kind) -> Iterator[Diagnostic]:
    """All findings about one definition, errors first."""
    if len(definition.encode()) > check.LARGEST:
        yield Diagnostic(check.SCHEMA, f"The definition is longer than {check.LARGEST} bytes")
        return
    found = check.check(definition, kind, sdk.knows, parameters.misfits)
    yield from found
    if any(finding.severity == "ERROR" for finding in found):
        return
    machine = codec.from_json(definition)
    try:
        compile_machine(machine)
    except MillpondError as error:  # what no rule foresaw would fail each execution with States.Runtime
        yield Diagnostic("STATES_RUNTIME", error.message)
    for visit in walk(machine):
        resource = resources.read(visit.state.resource) if isinstance(visit.state, Task) else None
        error_name = carried.refusal(resource) if resource is not None else None
        if resource is not None and error_name is not None:
            yield Diagnostic(
                HERE,
                f"{resource.service}:{resource.action}{resource.suffix} works on AWS only; on the local AWS the state "
                f"fails with {error_name}",
                at=(*visit.place, "Resource"),
                severity="WARNING",
                help="mock it in tests (docs/testing.md); docs/parity.md lists what is carried",
            )


def shown(finding: Diagnostic) -> dict[str, Any]:
    """A finding as JSON."""
    return {
        "code": finding.code,
        "message": finding.message,
        "severity": finding.severity,
        "at": finding.at,
        "location": check.location(finding),
        "help": finding.help,
    }


def main() -> int:
    """Read the definitions, write the findings."""
    wanted = json.load(sys.stdin)
    answers = [[shown(finding) for finding in findings(each["definition"], each["type"])] for each in wanted]
    json.dump(answers, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
