"""Fuzzing an operation of a service with parameters that its model calls wrong, and some that are right.

Requests are made from botocore's model (nothing is checked on the client's side) and sent as raw JSON: required members
left out, wrong types, boundaries and one beyond, long texts, control characters, lone surrogates, and what a service's
own test names (`Fuzz`): ARNs of things that are there and of things that are not, documents with something broken in
them. `check` holds the answer against the model: JSON, never HTML, no 5xx, an error that the operation knows or a
generic one.

`MILLPOND_FUZZ_EXAMPLES=3000` makes it a long search; otherwise it is short and always the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millpond.local import models
from millpond.local.service import Endpoint

# specs of the endpoint: what any operation may answer beside its modelled errors
GENERIC = {"ValidationException", "UnknownOperationException", "SerializationException", "AccessDeniedException"}
ODD = ["", " ", "\x00", "a\nb", "../../etc", "\u202e", "\U0001f600", "\ud800", "x" * 81, "x" * 5000, "null"]
NUMBERS = st.sampled_from([0, 1, -1, 5, 99, 100, 101, 1000, 1001, 2**31, -(2**31), 2**63, 2**70, 0.5, 1e300])
DEEPEST = 4  # structures inside structures: below it stand odd scalars


class Raw:
    """Signed requests to one service (of a json protocol) whose body is whatever it is."""

    def __init__(self, endpoint: Endpoint, service: str) -> None:
        described = models.model(service)
        assert described is not None
        self.url = endpoint.url + "/"
        self.described, self.version = described, described.metadata.get("jsonVersion", "1.1")
        name = described.metadata.get("signingName", described.metadata["endpointPrefix"])
        self.auth = SigV4Auth(Credentials(endpoint.access_key, endpoint.secret_key), name, endpoint.region)
        self.pool = urllib3.PoolManager(retries=False, timeout=60)

    def send(self, operation: str, body: bytes) -> tuple[int, bytes]:
        target = f"{self.described.metadata['targetPrefix']}.{operation}"
        headers = {"X-Amz-Target": target, "Content-Type": f"application/x-amz-json-{self.version}"}
        request = AWSRequest("POST", self.url, headers, body)
        self.auth.add_auth(request)
        answer = self.pool.request("POST", self.url, body=body, headers=dict(request.headers))
        return answer.status, answer.data

    def call(self, operation: str, **params: Any) -> dict[str, Any]:
        status, body = self.send(operation, json.dumps(params).encode())
        assert status == 200, body
        answer: dict[str, Any] = json.loads(body)
        return answer


class Fuzz:
    """What is sent to the operations of a service.

    `arns`: what a member that is an ARN may be. `named`: what a member of that name may be, by its name in the API.
    `refused`: statuses beside 4xx that are an answer, e.g. 501 where a service does not carry all its operations.
    """

    def __init__(
        self,
        service: str,
        arns: Sequence[str],
        named: Mapping[str, st.SearchStrategy[Any]],
        *,
        examples: int = 25,
        refused: frozenset[int] = frozenset(),
    ) -> None:
        described = models.model(service)
        assert described is not None
        self.described, self.arns, self.refused = described, list(arns), refused
        self.examples = int(os.environ.get("MILLPOND_FUZZ_EXAMPLES", str(examples)))
        self.texts = texts(arns)
        self.scalars = st.one_of(st.none(), st.booleans(), NUMBERS, self.texts)
        self.junk = junk(arns)
        self.named = named

    def values(self, shape: Any, name: str, depth: int = 0) -> st.SearchStrategy[Any]:
        """What may stand for a member: mostly something of its shape, sometimes anything."""
        fits = self.fitting(shape, name, depth)
        return st.one_of(fits, fits, fits, self.scalars, self.junk)

    def fitting(self, shape: Any, name: str, depth: int = 0) -> st.SearchStrategy[Any]:  # noqa: C901 (dispatch by type)
        limits = shape.metadata
        match shape.type_name:
            case "structure" | "list" | "map" if depth > DEEPEST:
                return self.junk
            case "structure":
                members = {key: self.values(member, key, depth + 1) for key, member in shape.members.items()}
                required = {key: found for key, found in members.items() if key in shape.required_members}
                optional = {key: found for key, found in members.items() if key not in required}
                return st.fixed_dictionaries(required, optional=optional)
            case "list":
                return st.lists(self.values(shape.member, name, depth + 1), max_size=3)
            case "map":
                return st.dictionaries(self.texts, self.values(shape.value, name, depth + 1), max_size=3)
            case "boolean":
                return st.booleans()
            case "integer" | "long" | "float" | "double":
                edges = [limits[edge] + more for edge in ("min", "max") if edge in limits for more in (-1, 0, 1)]
                return st.sampled_from([*edges, 0, 1, 50])
            case "timestamp":
                return st.sampled_from([0, 1_700_000_000, -1, 1e18, "2024-01-01T00:00:00Z"])
            case "blob":
                return st.sampled_from(["AAAA", "", "=", "x" * 5])
            case "string" if limits.get("enum"):
                return st.sampled_from([*limits["enum"], "", limits["enum"][0].lower()])
            case "string" if name in self.named:
                return self.named[name]
            case "string" if name.lower().endswith("arn"):
                return st.sampled_from(self.arns)
            case "string":
                most = min(int(limits.get("max", 100)), 40_000)
                return st.one_of(self.texts, st.sampled_from(["x" * most, "x" * (most + 1), "\u00e9" * most]))
        raise AssertionError(shape.type_name)

    def requests(self, operation: str) -> st.SearchStrategy[Any]:
        shape: Any = self.described.operation_model(operation).input_shape
        if shape is None:
            return self.junk
        fits = self.fitting(shape, "")
        members = {key: self.values(member, key, 1) for key, member in shape.members.items()}
        return st.one_of(fits, fits, st.fixed_dictionaries({}, optional=members), self.junk)

    def check(self, raw: Raw, operation: str, params: Any) -> None:
        status, body = raw.send(operation, json.dumps(params).encode())
        answer = json.loads(body)
        assert isinstance(answer, dict), body
        if status == 200:
            return
        if status in self.refused:
            assert answer["__type"] == "NotImplemented" and operation in answer["message"], answer
            return
        modelled = {shape.name for shape in self.described.operation_model(operation).error_shapes}
        assert 400 <= status < 500 and answer["__type"] in modelled | GENERIC, (status, answer)

    def run(self, raw: Raw, operation: str) -> None:
        """Send an operation its examples; AssertionError where an answer is none of AWS's."""

        @settings(
            max_examples=self.examples,
            derandomize=self.examples <= 100,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(self.requests(operation))
        def fuzz(params: Any) -> None:
            self.check(raw, operation, params)

        fuzz()


def texts(arns: Sequence[str]) -> st.SearchStrategy[str]:
    """Short, odd and long texts."""
    return st.one_of(st.text(max_size=20), st.sampled_from(ODD), st.sampled_from(list(arns)))


def junk(arns: Sequence[str]) -> st.SearchStrategy[Any]:
    """Any JSON."""
    words = texts(arns)
    scalars = st.one_of(st.none(), st.booleans(), NUMBERS, words)
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2), max_leaves=4
    )


@st.composite
def broken(draw: st.DrawFn, document: Any, anything: st.SearchStrategy[Any]) -> Any:
    """A document with one value somewhere in it left out, or replaced."""
    copy = json.loads(json.dumps(document))
    at, key = copy, None
    for _ in range(draw(st.integers(0, 5))):
        inner = at[key] if key is not None else copy
        if not isinstance(inner, dict | list) or not inner:
            break
        at, key = inner, draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
    if key is None:
        return draw(st.one_of(st.just(copy), anything))
    if isinstance(at, dict) and draw(st.booleans()):
        del at[key]
    else:
        at[key] = draw(anything)
    return copy
