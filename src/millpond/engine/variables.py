"""How much may be kept in variables (AWS, "Passing data between states with variables"): 256 KiB in one variable and in
one Assign, 10 MiB in all.

**Limits**: the sum is what one branch or item sees, its parents' variables included; AWS does not say how it counts
branches that run at the same time. The words of the errors are ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from millpond.asl.model import Json
from millpond.engine.failure import DATA_LIMIT, StateFailed
from millpond.engine.frame import Frame, to_text

MOST_AT_ONCE = 262_144  # bytes of JSON text, of a variable and of an Assign
MOST_IN_ALL = 10 << 20


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def hold(frame: Frame, texts: Mapping[str, str]) -> None:
    """Count what the frame's state assigns, as JSON texts by name. Raises StateFailed(States.DataLimitExceeded)."""
    known = frame.variables
    assigned = sum(_size(text) for text in texts.values())
    if assigned > MOST_AT_ONCE:
        name, text = max(texts.items(), key=lambda pair: len(pair[1]))
        what = f"variable '{name}'" if _size(text) > MOST_AT_ONCE else "Assign field"
        raise _too_much(f"The {what} of the state '{frame.node.name}'")
    held = sum(_size(to_text(value)) for value in known.values()) if frame.held is None else frame.held
    held += assigned - sum(_size(to_text(known[name])) for name in texts if name in known)
    if held > MOST_IN_ALL:
        raise _too_much("The variables of the execution")
    frame.held = held


def _too_much(what: str) -> StateFailed:
    return StateFailed(DATA_LIMIT, f"{what} exceeds the maximum number of bytes service limit.")


def shown(assign: Mapping[str, Json]) -> dict[str, str]:
    """Variables as JSON texts, for events."""
    return {name: to_text(value) for name, value in assign.items()}
