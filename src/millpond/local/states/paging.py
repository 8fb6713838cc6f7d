"""Page tokens: opaque to callers, a position to us; a token of another list or none of ours is refused."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from millpond.local.service import AwsError


def token(kind: str, position: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps([kind, position]).encode()).decode()


def position(kind: str, given: str | None) -> Any:
    """The position that a token holds, None without one. Raises InvalidToken."""
    if given is None:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(given.encode()))
    except (binascii.Error, ValueError):
        found = None
    if not isinstance(found, list) or len(found) != 2 or found[0] != kind:
        raise AwsError("InvalidToken", f"Invalid Token: '{given}'")
    return found[1]


def size(wanted: int | None, most: int = 1000, default: int = 100) -> int:
    """maxResults: 0 and nothing mean AWS's default."""
    return min(wanted, most) if wanted else default
