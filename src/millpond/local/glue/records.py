"""How Glue's rows are kept and paged: JSON documents in SQLite, opaque tokens that name the last row seen.

A page is found again by key, never by offset, so that rows created or deleted between two calls neither hide nor
repeat others.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import json
from collections.abc import Sequence
from typing import Any

from millpond.local.service import AwsError, Call, Endpoint, unsupported


def encode(value: Any) -> str:
    """A document as text: times become seconds since the epoch."""
    return _ENCODER.encode(value)


def _plain(value: Any) -> Any:
    match value:
        case datetime.datetime():
            return value.timestamp()
        case _:
            raise TypeError(f"{type(value).__name__} in a Glue document")


_ENCODER = json.JSONEncoder(default=_plain, separators=(",", ":"), ensure_ascii=False)  # json.dumps makes one a call


def decode(text: str) -> Any:
    """The document of `encode`."""
    return json.loads(text)


def fold(name: str) -> str:
    """The catalog's spelling of a database or table name: Glue stores names in lower case (AWS docs)."""
    return name.strip().lower()


def token(*key: str) -> str:
    """An opaque NextToken that remembers the key of the last row given."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def number_after(text: str | None) -> int | None:
    """The number inside a NextToken, as `after` gives texts."""
    if (found := after(text)) is None:
        return None
    if not (found[0].isascii() and found[0].isdigit() and len(found[0]) < 19):
        raise AwsError("InvalidInputException", "Invalid continuation token.")
    return int(found[0])


def after(text: str | None, parts: int = 1) -> list[str] | None:
    """The key inside a NextToken; None for the first page. InvalidInputException for a token that is not ours."""
    if not text:
        return None
    try:
        key = json.loads(base64.urlsafe_b64decode(text.encode()))
    except (binascii.Error, ValueError):
        key = None
    if not (isinstance(key, list) and len(key) == parts and all(isinstance(part, str) for part in key)):
        raise AwsError("InvalidInputException", "Invalid continuation token.")
    return key


def page(rows: Sequence[Any], size: int, key: str = "name") -> tuple[Sequence[Any], dict[str, str]]:
    """From `size` + 1 rows read: those to show, and the NextToken member when there are more."""
    if len(rows) <= size:
        return rows, {}
    return rows[:size], {"NextToken": token(rows[size - 1][key])}


def check_catalog(endpoint: Endpoint, params: dict[str, Any]) -> None:
    """There is one catalog, the account's own. Another CatalogId is refused."""
    wanted = params.get("CatalogId")
    if wanted and wanted != endpoint.account:
        raise AwsError("EntityNotFoundException", f"Catalog {wanted} not found.")


def refuse_transactions(params: dict[str, Any], call: Call) -> None:
    """Governed tables are no more (AWS docs, "TransactionId"), and the catalog keeps no past of partitions."""
    for member in ("TransactionId", "QueryAsOfTime"):
        if params.get(member) is not None:
            raise unsupported("glue", call.operation, use=f"{member}: there are no transactions here.")


def failed(error: AwsError) -> dict[str, str]:
    """The ErrorDetail of an entry of a batch."""
    return {"ErrorCode": error.code, "ErrorMessage": error.message}
