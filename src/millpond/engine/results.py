"""What a distributed Map makes of its children's ends: the records of AWS's result files, and their transformations.

NONE gives every child's record; COMPACT its output; FLATTEN its output, or the items of it where that is an array. A
child that did not succeed gives its record in any case ("ResultWriter (Map)" in AWS's documentation).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from millpond.asl.model import Json
from millpond.engine.doors import Child
from millpond.engine.frame import iso, to_text


def transformed(children: Iterable[Child], transformation: str) -> Iterator[str]:
    """The results of children, each as JSON text."""
    for child in children:
        if child.status != "SUCCEEDED" or transformation == "NONE":
            yield to_text(record(child))
        elif transformation == "FLATTEN":
            yield from _flat(child.output or "null")
        else:
            yield child.output or "null"


def _flat(text: str) -> Iterator[str]:
    if not text.startswith("["):
        yield text
        return
    value: list[Json] = json.loads(text)
    for each in value:
        yield to_text(each)


def record(child: Child) -> dict[str, Json]:
    """A child execution as a result file shows it: AWS's keys in AWS's order."""
    birth = child.birth
    shown: dict[str, Json] = {
        "Cause": child.cause,
        "Error": child.error,
        "ExecutionArn": child.execution,
        "Input": birth.input,
        "InputDetails": {"Included": True},
        "Name": birth.name,
        "Output": child.output,
        "OutputDetails": {"Included": True} if child.output is not None else None,
        "RedriveCount": birth.redrives,
        "RedriveDate": None if birth.redriven is None else iso(birth.redriven),
        **redrive_status(child),
        "StartDate": None if child.status == "PENDING" else iso(birth.started),
        "StateMachineArn": birth.machine_arn,
        "Status": child.status,
        "StopDate": None if child.stopped is None else iso(child.stopped),
    }
    return {name: value for name, value in shown.items() if value is not None}


def redrive_status(child: Child) -> dict[str, Json]:
    """May it be redriven? A child is redriven by its Map Run only."""
    if child.status in ("SUCCEEDED", "RUNNING"):
        reason = f"Execution is {child.status} and cannot be redriven"
        return {"RedriveStatus": "NOT_REDRIVABLE", "RedriveStatusReason": reason}
    return {"RedriveStatus": "REDRIVABLE_BY_MAP_RUN"}
