"""Page tokens: opaque to callers, a position to us; a token of another list or none of ours is refused."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

from millpond.local.service import AwsError


def token(kind: str, position: Any) -> str:
    """A token for going on at a position of the list that `kind` names, with its arguments."""
    text = json.dumps(position)
    return base64.urlsafe_b64encode(json.dumps([_mark(kind, text), text]).encode()).decode()


def _mark(kind: str, text: str) -> str:
    """Binds a position to its list: a token of another list, or made up, does not have it."""
    return hashlib.blake2b(f"{kind}\0{text}".encode(), digest_size=9).hexdigest()


def position(kind: str, given: str | None) -> Any:
    """The position that a token holds, None without one. Raises InvalidToken."""
    if given is None:
        return None
    try:
        mark, text = json.loads(base64.urlsafe_b64decode(given.encode()))
        if mark == _mark(kind, text):
            return json.loads(text)
    except (binascii.Error, ValueError, TypeError, RecursionError):
        pass
    raise AwsError("InvalidToken", "Invalid Token: 'Invalid token'")


def size(wanted: int | None, most: int = 1000, default: int = 100) -> int:
    """maxResults: 0 and nothing mean AWS's default."""
    return min(wanted, most) if wanted else default


def page(member: str, shown: list[dict[str, Any]], kind: str, more: Any) -> dict[str, Any]:
    """An answer of a list operation; `more` is where the next page begins, None when there is none."""
    return {member: shown} | ({"nextToken": token(kind, more)} if more is not None else {})
