"""The entries of PutEvents: what EventBridge says of each one before it looks at any rule. Pure.

A broken entry fails alone, with an ErrorCode in its place of the answer (AWS API reference, PutEventsResultEntry); too
many bytes in all refuse the request (PutEvents: "the total entry size must be less than 1MB").

Limits: anyone may send events of the sources `aws.*`, which AWS keeps for itself (a rule can so be tried by hand). The
depth and the numbers of a Detail are bounded by what Python's JSON reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from millpond.asl import jackson
from millpond.local.service import AwsError

MOST_BYTES = 1024 * 1024
LONGEST_TYPE = 128  # characters
NEEDED = ("Source", "DetailType", "Detail")


def check_size(entries: Sequence[Mapping[str, Any]]) -> None:
    """ValidationException for entries that are too large together."""
    if sum(map(_bytes, entries)) > MOST_BYTES:
        raise AwsError("ValidationException", "Total size of the entries in the request is over the limit.")


def _bytes(entry: Mapping[str, Any]) -> int:
    """AWS, "Calculating PutEvents event entry size"."""
    texts = [entry.get(name) or "" for name in NEEDED] + list(entry.get("Resources") or ())
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) + (14 if "Time" in entry else 0)


def fault(entry: Mapping[str, Any]) -> dict[str, str] | None:
    """ErrorCode and ErrorMessage of an entry that is none."""
    for name in NEEDED:
        if not entry.get(name):
            return _fault("InvalidArgument", f"Parameter {name} is not valid. Reason: {name} is a required argument.")
    if len(entry["DetailType"]) > LONGEST_TYPE:
        why = f"DetailType must have at most {LONGEST_TYPE} characters"
        return _fault("InvalidArgument", f"Parameter DetailType is not valid. Reason: {why}.")
    if not isinstance(detail(entry), dict):
        return _fault("MalformedDetail", "Detail is malformed.")
    return None


def detail(entry: Mapping[str, Any]) -> Any:
    """An entry's Detail; None where it is not JSON."""
    try:
        return json.loads(entry["Detail"], parse_constant=jackson.not_json)
    except (ValueError, RecursionError):
        return None


def _fault(code: str, message: str) -> dict[str, str]:
    return {"ErrorCode": code, "ErrorMessage": message}
