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

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from millpond.local.cloudformation.api import Api, operations
from millpond.local.cloudformation.execute import Executor, Stopping
from millpond.local.cloudformation.prepare import Preparation
from millpond.local.cloudformation.records import SCHEMA, Records
from millpond.local.cloudformation.steps import Steps
from millpond.local.service import Endpoint, Operation

log = logging.getLogger(__name__)


class CloudFormation:
    """The service. `connect` gives a boto3 client by service name; tests hand in fakes."""

    name = "cloudformation"
    schema = SCHEMA
    moto: frozenset[str] = frozenset()

    def __init__(self, endpoint: Endpoint, connect: Callable[[str], Any] | None = None) -> None:
        connect = connect or endpoint.client
        region, account = endpoint.region, endpoint.account
        self.records = Records(endpoint.store)
        prepare = Preparation(self.records, connect, region, account, endpoint.port)
        steps = Steps(self.records, connect, endpoint.clock, region, account)
        self.executor = Executor(self.records, steps, prepare.desired_of)
        steps.pause = self._pause
        self.api = Api(self.records, prepare, self.executor, region, account)
        self._recovery: threading.Thread | None = None

    def operations(self) -> Mapping[str, Operation]:
        return operations(self.api)

    def start(self) -> None:
        """Make again what moto's services have lost, then go on with interrupted operations; in a thread of its own."""
        if not self.records.stacks():
            return
        self._recovery = threading.Thread(target=self._recover, name="cloudformation-recovery", daemon=True)
        self._recovery.start()

    def _recover(self) -> None:
        try:
            self.executor.rebuild()
            self.api.resume()
        except Stopping:
            return
        except Exception:
            log.exception("CloudFormation could not recover")

    def stop(self) -> None:
        """Leave running operations at their next step; they go on at the next start."""
        self.executor.stopping.set()
        if self._recovery is not None:
            self._recovery.join(timeout=30)
        self.api.stop()

    def _pause(self, seconds: float) -> None:
        if self.executor.stopping.wait(seconds):
            raise Stopping
