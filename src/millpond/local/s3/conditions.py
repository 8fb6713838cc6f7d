"""Conditional requests and byte ranges (RFC 9110 as S3 reads it)."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping

from millpond.local.s3.messages import http_date, quoted
from millpond.local.s3.objects import Condition, Object, no_such_key
from millpond.local.service import AwsError


def failed(condition: str) -> AwsError:
    return AwsError(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        status=412,
        Condition=condition,
    )


def for_read(headers: Mapping[str, str], found: Object, *, prefix: str = "") -> None:
    """Raise 412 or 304 when the reader's conditions say so. `prefix` is `x-amz-copy-source-` for a copy's source."""
    named = [prefix + name for name in ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")]
    match, none_match, since, until = (headers.get(name) for name in named)
    modified = int(found.modified)
    if match is not None:
        if not _has(match, found.etag):
            raise failed("If-Match")
    elif (moment := _date(until)) is not None and modified > moment:
        raise failed("If-Unmodified-Since")
    if none_match is not None:
        unchanged, condition = _has(none_match, found.etag), "If-None-Match"
    else:
        moment = _date(since)
        unchanged, condition = moment is not None and modified <= moment, "If-Modified-Since"
    if unchanged:
        if prefix:
            raise failed(condition)
        kept = {"etag": quoted(found.etag), "last-modified": http_date(found.modified)}
        raise AwsError("NotModified", "Not Modified", status=304, Headers=kept)


def for_write(headers: Mapping[str, str], key: str) -> Condition | None:
    """The check that a conditional PUT, Complete or DELETE makes at the moment of the change."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if none_match is not None and none_match.strip() != "*":
        raise AwsError(
            "NotImplemented",
            "A header you provided implies functionality that is not implemented",
            status=501,
            Header="If-None-Match",
        )
    if match is None and none_match is None:
        return None

    def check(present: Object | None) -> None:
        if none_match is not None and present is not None:
            raise failed("If-None-Match")
        if match is not None and present is None:
            raise no_such_key(key)
        if match is not None and present is not None and not _has(match, present.etag):
            raise failed("If-Match")

    return check


def _has(header: str, etag: str) -> bool:
    wanted = {part.strip().removeprefix("W/").strip('"') for part in header.split(",")}
    return "*" in wanted or etag in wanted


def _date(header: str | None) -> float | None:
    if header is None:
        return None
    try:
        return email.utils.parsedate_to_datetime(header).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None  # RFC 9110: a date that cannot be read is as if it were not sent


_RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*")


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """(first byte, length) of one range; None when the whole object is to be sent. Raises InvalidRange.

    As on S3, several ranges, other units and nonsense are ignored.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        length = min(int(last), size)
        start, end = size - length, size - 1
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
    if start >= size or end < start:
        raise AwsError(
            "InvalidRange",
            "The requested range is not satisfiable",
            status=416,
            RangeRequested=header,
            ActualObjectSize=size,
        )
    return start, end - start + 1
