"""A state machine's logging, tracing and encryption: checked, and as they are kept.

Logging is done (`journal`); tracing and customer keys are kept and shown, nothing is traced or encrypted here. A key
must exist and be usable all the same: the endpoint's own KMS is asked.
Source: AWS Step Functions API Reference (LoggingConfiguration, TracingConfiguration, EncryptionConfiguration).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millpond.local.service import AwsError

if TYPE_CHECKING:
    import sqlite3

    from millpond.local.service import Endpoint

LOGGING_OFF: dict[str, Any] = {"level": "OFF", "includeExecutionData": False}
KEY_OWNED = {"type": "AWS_OWNED_KEY"}
REUSE_SECONDS = 300
_LOG_GROUP = re.compile(r"arn:[\w-]+:logs:[\w-]+:\d{12}:log-group:[\w./#-]{1,512}:\*")


@dataclass(frozen=True, slots=True)
class Configuration:
    """JSON texts; None: not given, AWS's default holds."""

    logging: str | None
    tracing: str | None
    encryption: str | None

    @property
    def columns(self) -> tuple[str | None, str | None, str | None]:
        return self.logging, self.tracing, self.encryption


def read(endpoint: Endpoint, params: Mapping[str, Any]) -> Configuration:
    """What a request asks for. Raises InvalidLoggingConfiguration, InvalidTracingConfiguration,
    InvalidEncryptionConfiguration, KmsAccessDeniedException."""
    return Configuration(
        _text(_logging(params.get("loggingConfiguration"))),
        _text(_tracing(params.get("tracingConfiguration"))),
        _text(encryption(endpoint, params.get("encryptionConfiguration"))),
    )


def shown(revision: sqlite3.Row) -> dict[str, Any]:
    """The members of a description."""
    return {
        "loggingConfiguration": json.loads(revision["logging"]) if revision["logging"] else LOGGING_OFF,
        "tracingConfiguration": json.loads(revision["tracing"]) if revision["tracing"] else {"enabled": False},
        "encryptionConfiguration": json.loads(revision["encryption"]) if revision["encryption"] else KEY_OWNED,
    }


def _text(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True)


def _logging(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if given is None:
        return None
    level, destinations = given.get("level", "OFF"), given.get("destinations") or []
    if len(destinations) > 1 or (level != "OFF" and not destinations):
        raise _invalid("Logging", "Must specify exactly one Log Destination.")
    for destination in destinations:
        arn = destination.get("cloudWatchLogsLogGroup", {}).get("logGroupArn", "")
        if not _LOG_GROUP.fullmatch(arn):
            raise _invalid("Logging", "Must specify a valid CloudWatch Logs log group ARN, which ends with ':*'.")
    found: dict[str, Any] = {"level": level, "includeExecutionData": given.get("includeExecutionData", False)}
    return found | ({"destinations": destinations} if destinations else {})


def _tracing(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if given is None:
        return None
    if "enabled" not in given:
        raise _invalid("Tracing", "enabled must be set to true or false.")
    return {"enabled": given["enabled"]}


def encryption(endpoint: Endpoint, given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An encryption configuration, checked."""
    if given is None:
        return None
    key, seconds = given.get("kmsKeyId"), given.get("kmsDataKeyReusePeriodSeconds")
    if given["type"] == "AWS_OWNED_KEY":
        if key is not None or seconds is not None:
            raise _invalid("Encryption", "kmsKeyId and kmsDataKeyReusePeriodSeconds are for customer managed keys.")
        return dict(KEY_OWNED)
    if key is None:
        raise _invalid("Encryption", "kmsKeyId must be set when type is CUSTOMER_MANAGED_KMS_KEY.")
    _check_key(endpoint, key)
    return {"type": given["type"], "kmsKeyId": key, "kmsDataKeyReusePeriodSeconds": seconds or REUSE_SECONDS}


def _check_key(endpoint: Endpoint, key: str) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = endpoint.client("kms").describe_key(KeyId=key)["KeyMetadata"]
    except (ClientError, BotoCoreError) as error:
        # AWS does not tell a key that is not there from one that the caller may not use.
        raise AwsError("KmsAccessDeniedException", f"The key '{key}' cannot be used: {error}") from None
    if not found.get("Enabled"):
        raise _invalid("Encryption", f"The key '{key}' is not enabled.")
    if found.get("KeySpec", "SYMMETRIC_DEFAULT") != "SYMMETRIC_DEFAULT":
        raise _invalid("Encryption", f"The key '{key}' is not a symmetric encryption key.")


def _invalid(what: str, why: str) -> AwsError:
    return AwsError(f"Invalid{what}Configuration", f"Invalid {what} Configuration: {why}")
