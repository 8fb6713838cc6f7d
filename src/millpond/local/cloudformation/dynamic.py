"""Dynamic references: `{{resolve:ssm:...}}`, `{{resolve:ssm-secure:...}}`, `{{resolve:secretsmanager:...}}`.

They are resolved just before a provider is called, and the resolved value is never written down: records, events and
the journal keep the reference. The markers of NoEcho parameters are resolved here too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from millpond.local.cloudformation.providers.provider import ProviderError
from millpond.local.cloudformation.records import unmasked

REFERENCE = re.compile(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):([^{}]+)\}\}")


def resolved(value: Any, client: Callable[[str], Any], secret: Callable[[str, int], str]) -> Any:
    """The value with every reference replaced. Raises ProviderError when one cannot be resolved."""
    match value:
        case dict():
            return {key: resolved(item, client, secret) for key, item in value.items()}
        case list():
            return [resolved(item, client, secret) for item in value]
        case str() if "{{resolve:" in value:
            shown = unmasked(value, secret)
            return REFERENCE.sub(lambda match: _lookup(match.group(1), match.group(2).strip(), client), shown)
        case _:
            return value


def _lookup(kind: str, what: str, client: Callable[[str], Any]) -> str:
    try:
        return _secret(what, client) if kind == "secretsmanager" else _parameter(kind, what, client)
    except ClientError as error:
        message = error.response.get("Error", {}).get("Message", str(error))
        raise ProviderError(f"Could not resolve {{{{resolve:{kind}:{what}}}}}: {message}", "NotFound") from None


def _parameter(kind: str, what: str, client: Callable[[str], Any]) -> str:
    # name[:version], as the API itself takes it
    found = client("ssm").get_parameter(Name=what, WithDecryption=kind == "ssm-secure")["Parameter"]
    if kind == "ssm" and found["Type"] == "SecureString":
        raise ProviderError(f"The parameter {what} is a SecureString: use ssm-secure")
    return str(found["Value"])


def _secret(what: str, client: Callable[[str], Any]) -> str:
    # secret-id:secret-string:json-key:version-stage:version-id, where secret-id may be an ARN (seven parts)
    parts = what.split(":")
    ends = 7 if parts[0] == "arn" else 1
    name, rest = ":".join(parts[:ends]), [*parts[ends:], "", "", "", ""]
    form, key, stage, version = rest[:4]
    if form not in ("", "SecretString"):
        raise ProviderError(f"A reference to a secret must say SecretString, not {form}")
    given = {"SecretId": name, "VersionStage": stage, "VersionId": version}
    value = client("secretsmanager").get_secret_value(**{k: v for k, v in given.items() if v}).get("SecretString", "")
    if not key:
        return str(value)
    try:
        found = json.loads(value)[key]
    except (ValueError, KeyError, TypeError):
        raise ProviderError(f"Could not find a value associated with JSONKey in SecretString ({name}, {key})") from None
    return found if isinstance(found, str) else json.dumps(found)
