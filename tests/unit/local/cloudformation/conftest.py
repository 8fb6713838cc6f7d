"""An AWS in memory for the CloudFormation engine: Glue's nouns, with accidents on demand.

cloud.fail_at(3)          the third mutating call is refused
cloud.die_at(3)           the process dies in the third mutating call, before it takes effect
cloud.die_at(3, after=True)   ... or after it took effect, before the answer
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from millpond.local.cloudformation import CloudFormation
from millpond.local.service import Call, Clock, Endpoint
from millpond.local.store import Store

NAMES = {
    "database": ("DatabaseInput", "Name"),
    "connection": ("ConnectionInput", "Name", "ConnectionName"),
    "job": ("Name", "JobName"),
}


class Killed(BaseException):
    """kill -9, as far as a thread can feel it."""


def refusal(code: str, message: str, operation: str) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(answer, operation)


class Cloud:
    """See the module's docstring. `things` is {(noun, name): properties}."""

    def __init__(self) -> None:
        self.things: dict[tuple[str, str], dict[str, Any]] = {}
        self.calls: list[str] = []
        self._lock = threading.Lock()
        self._accident: tuple[int, str] | None = None
        self._stubborn: set[str] = set()
        self._dead = False

    def fail_at(self, number: int) -> None:
        self.calls, self._accident = [], (number, "fail")

    def die_at(self, number: int, *, after: bool = False) -> None:
        self.calls, self._accident = [], (number, "after" if after else "before")

    def refuse(self, *operations: str) -> None:
        """Refuse these operations until `revive`."""
        self._stubborn = set(operations)

    def revive(self) -> None:
        self._dead, self._accident, self._stubborn = False, None, set()

    def dump(self) -> dict[str, Any]:
        return {f"{noun} {name}": copy.deepcopy(value) for (noun, name), value in sorted(self.things.items())}

    def client(self, service: str) -> Client:
        return Client(self)

    def call(self, operation: str, params: dict[str, Any]) -> Any:
        with self._lock:
            if self._dead:
                raise Killed
            verb, _, noun = operation.partition("_")
            if verb == "get":
                return self._get(noun, params, operation)
            self.calls.append(f"{operation} {name_of(noun, params)}")
            accident = self._accident[1] if self._accident and len(self.calls) == self._accident[0] else ""
            if accident == "fail" or operation in self._stubborn:
                raise refusal("InvalidInputException", "an accident", operation)
            if accident == "before":
                self._dead = True
                raise Killed
            self._act(verb, noun, params, operation)
            if accident == "after":
                self._dead = True
                raise Killed
            return {}

    def _get(self, noun: str, params: dict[str, Any], operation: str) -> Any:
        name = name_of(noun, params)
        if (noun, name) not in self.things:
            raise refusal("EntityNotFoundException", f"{noun} {name} not found", operation)
        return {}

    def _act(self, verb: str, noun: str, params: dict[str, Any], operation: str) -> None:
        name = name_of(noun, params)
        match verb:
            case "create":
                if (noun, name) in self.things:
                    raise refusal("AlreadyExistsException", f"{noun} {name} already exists", operation)
                self.things[(noun, name)] = content(noun, params)
            case "update":
                self._get(noun, params, operation)
                self.things[(noun, name)] = content(noun, params)
            case "delete":
                self._get(noun, params, operation)
                del self.things[(noun, name)]
            case _:
                raise AssertionError(operation)


def name_of(noun: str, params: dict[str, Any]) -> str:
    for key in NAMES.get(noun, ("Name",)):
        value = params.get(key)
        if isinstance(value, str):
            return value
        if isinstance(value, dict) and "Name" in value:
            return str(value["Name"])
    raise AssertionError((noun, params))


def content(noun: str, params: dict[str, Any]) -> dict[str, Any]:
    """What stays of a create or an update call: the same for both, so that dumps can be compared."""
    inner = params.get("JobUpdate", params)
    return {key: copy.deepcopy(value) for key, value in inner.items() if key not in ("Name", "JobName", "CatalogId")}


class Client:
    meta = None

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def __getattr__(self, operation: str) -> Any:
        return lambda **params: self._cloud.call(operation, params)


class Room:
    """The service over a store and a cloud, as an endpoint has it; `restart()` is what follows a kill."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self.cloud = cloud
        store = Store(folder / "endpoint.db")
        self.endpoint = Endpoint(folder, store, Clock(1000.0), 4566, "key", "secret")
        self._begin()

    def _begin(self) -> None:
        self.service = CloudFormation(self.endpoint, connect=self.cloud.client)
        self.endpoint.store.install(self.service.schema)
        self._operations = self.service.operations()

    def __call__(self, operation: str, **params: Any) -> dict[str, Any]:
        """Call an operation, then wait until nothing runs."""
        result = self._operations[operation](params, Call("cloudformation", operation, "us-east-1"))
        self.service.api.settle()
        return result or {}

    def restart(self) -> None:
        self.service.executor.stopping.set()
        self.cloud.revive()
        self._begin()
        self.service.start()
        self.service.api.settle()

    def status(self, name: str = "lake") -> str:
        stack = self("DescribeStacks", StackName=name)["Stacks"][0]
        return str(stack["StackStatus"])

    def reason(self, logical_id: str, status: str, name: str = "lake") -> str:
        """The reason of a resource's newest event of a status."""
        for event in self("DescribeStackEvents", StackName=name)["StackEvents"]:
            if (event["LogicalResourceId"], event["ResourceStatus"]) == (logical_id, status):
                return str(event.get("ResourceStatusReason", ""))
        raise AssertionError(f"no event {status} of {logical_id}")


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
def room(tmp_path: Path, cloud: Cloud) -> Iterator[Room]:
    made = Room(tmp_path, cloud)
    yield made
    made.service.stop()
    made.endpoint.store.close()
