"""CloudFormation: stacks of real resources, with change sets, rollback and a journal that survives a kill.

    request -> prepare.py   template.py (parse) -> parameters.py -> transforms.py -> check.py -> plan.py
            -> api.py       what is refused, what is recorded
            -> execute.py   forward, backward, cleanup, by graph.py's levels
            -> steps.py     one resource, journal first -> providers/ -> boto3 operations on this endpoint

Reads and writes: the tables of records.py. Touches other services only through boto3 clients (`connect`).

Not carried, and refused by name: types without a provider, macros and AWS::Include, Rules, CreationPolicy and
UpdatePolicy, import of resources, drift detection, stack sets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from millpond.local.cloudformation.api import Api, operations
from millpond.local.cloudformation.execute import Executor, Stopping
from millpond.local.cloudformation.prepare import Preparation
from millpond.local.cloudformation.records import SCHEMA, Records
from millpond.local.cloudformation.steps import Steps
from millpond.local.service import Endpoint, Operation


class CloudFormation:
    """The service. `connect` gives a boto3 client by service name; tests hand in fakes."""

    name = "cloudformation"
    schema = SCHEMA
    moto: frozenset[str] = frozenset()

    def __init__(self, endpoint: Endpoint, connect: Callable[[str], Any] | None = None) -> None:
        connect = connect or endpoint.client
        region, account = endpoint.region, endpoint.account
        self._services = endpoint.services
        self.records = Records(endpoint.store)
        prepare = Preparation(self.records, connect, region, account, endpoint.port, self._carries)
        steps = Steps(self.records, connect, endpoint.clock, region, account)
        self.executor = Executor(self.records, steps, prepare.desired_of)
        steps.pause = self._pause
        self.api = Api(self.records, prepare, self.executor, region, account)

    def _carries(self, service: str, operation: str) -> bool:
        """Whether the endpoint carries an operation. A service without a room is moto's, and answers for itself."""
        room = self._services.get(service)
        return room is None or operation in room.operations() or operation in room.moto

    def operations(self) -> Mapping[str, Operation]:
        return operations(self.api)

    def start(self) -> None:
        """Go on with the operations that a kill or a stop interrupted."""
        self.api.resume()

    def stop(self) -> None:
        """Leave running operations at their next step; they go on at the next start."""
        self.api.stop()

    def _pause(self, seconds: float) -> None:
        if self.executor.stopping.wait(seconds):
            raise Stopping
