"""EventBridge connections as http:invoke uses them: who calls, and what is added to each call.

moto keeps connections and shows them without their secrets, as AWS does. On AWS the values lie in a secret that
EventBridge owns; here they are in the journal of the calls that made the connection.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from millpond.local import moto_journal
from millpond.local.states.integrations.calls import Failure

if TYPE_CHECKING:
    from millpond.local.service import Endpoint


@dataclass(frozen=True, slots=True)
class OAuth:
    """A client-credentials grant: where to ask for a token, and with what."""

    url: str
    method: str
    client: str
    secret: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connection:
    """What a connection adds to a request; its values win over the task's."""

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, str] = field(default_factory=dict)
    oauth: OAuth | None = None


def find(endpoint: Endpoint, arn: str) -> Connection:
    """The connection of an ARN. Raises Failure, named as Step Functions names the errors of connections."""
    from botocore.exceptions import BotoCoreError, ClientError

    name = arn.rpartition(":connection/")[2].partition("/")[0]
    try:
        described = endpoint.client("events").describe_connection(Name=name)
    except (ClientError, BotoCoreError):
        described = {}
    if described.get("ConnectionArn") != arn:
        raise Failure("Events.ConnectionResource.ResourceNotFound", f"Connection {arn} does not exist.")
    if described["ConnectionState"] != "AUTHORIZED":
        why = f"Connection {arn} is in the state {described['ConnectionState']}."
        raise Failure("Events.ConnectionResource.InvalidConnectionState", why)
    return read(described["AuthorizationType"], _parameters(endpoint, name))


def _parameters(endpoint: Endpoint, name: str) -> dict[str, Any]:
    """The connection's AuthParameters, secrets included: those of its creation, and of the updates since then."""
    found: dict[str, Any] = {}
    journal = moto_journal.Journal(endpoint.store)
    for operation, body in journal.asked("events", ("CreateConnection", "UpdateConnection")):
        asked = json.loads(body)
        if asked.get("Name") == name:
            given = asked.get("AuthParameters", {})
            found = given if operation == "CreateConnection" else found | given
    return found


def read(kind: str, given: Mapping[str, Any]) -> Connection:
    """What AuthParameters of a kind (API_KEY, BASIC, OAUTH_CLIENT_CREDENTIALS) add to a request."""
    more = given.get("InvocationHttpParameters") or {}
    headers, query = _pairs(more, "HeaderParameters"), _pairs(more, "QueryStringParameters")
    body = _pairs(more, "BodyParameters")
    match kind:
        case "API_KEY":
            key = given["ApiKeyAuthParameters"]
            headers[key["ApiKeyName"]] = key["ApiKeyValue"]
        case "BASIC":
            basic = given["BasicAuthParameters"]
            credentials = f"{basic['Username']}:{basic['Password']}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"
        case "OAUTH_CLIENT_CREDENTIALS":
            return Connection(headers, query, body, _oauth(given["OAuthParameters"]))
    return Connection(headers, query, body)


def _oauth(given: Mapping[str, Any]) -> OAuth:
    more = given.get("OAuthHttpParameters") or {}
    return OAuth(
        given["AuthorizationEndpoint"],
        given["HttpMethod"],
        given["ClientParameters"]["ClientID"],
        given["ClientParameters"]["ClientSecret"],
        _pairs(more, "HeaderParameters"),
        _pairs(more, "QueryStringParameters"),
        _pairs(more, "BodyParameters"),
    )


def _pairs(given: Mapping[str, Any], field: str) -> dict[str, str]:
    return {pair["Key"]: pair.get("Value", "") for pair in given.get(field) or ()}
