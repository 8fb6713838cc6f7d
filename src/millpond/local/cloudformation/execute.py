"""Carry out an operation on a stack: forward, or backward, then cleanup; resumable at every point.

    forward   create and update what the template wants, level by level, what is independent at the same time
    backward  after a failure: bring every resource back to its record of before the operation
    cleanup   delete what was replaced or removed (or, going backward, what was made), dependents first

The phase and the stack's status are written together before a phase begins. Each phase looks at the records and does
what is missing, so after a kill the same phase is simply run again: steps that are complete find nothing to do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from millpond.local.cloudformation import graph
from millpond.local.cloudformation.desired import Desired, Evaluated
from millpond.local.cloudformation.records import (
    GONE,
    Operation,
    Records,
    Resource,
    Stack,
    exports,
    replace,
    restored,
)
from millpond.local.cloudformation.steps import StepFailed, Steps
from millpond.local.service import AwsError

log = logging.getLogger(__name__)

WORKERS = 6


class Stopping(BaseException):
    """The endpoint stops: leave the operation open, start() goes on with it."""


class Failed(Exception):
    """The operation cannot go on; `reason` is the stack's."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Executor:
    """Runs operations. `desired(operation)` rebuilds what a stack is to become from the operation's target."""

    records: Records
    steps: Steps
    desired: Callable[[Operation], Desired]
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self, operation: Operation) -> None:
        """Run to the end. Raises only Stopping."""
        while operation.phase != "done":
            self._guard()
            try:
                operation = PHASES[operation.phase](self, operation)
            except Failed as failure:
                operation = self._failed(operation, failure.reason)

    def _guard(self) -> None:
        if self.stopping.is_set():
            raise Stopping

    def _stack(self, operation: Operation) -> Stack:
        stack = self.records.stack(operation.stack_id)
        assert stack is not None, operation.stack_id
        return stack

    def enter(
        self, operation: Operation, phase: str, stack: Stack, status: str, reason: str = "", **changes: Any
    ) -> Operation:
        """Write the phase and the stack's status in one transaction, and tell it as an event."""
        stack = replace(stack, status=status, reason=reason)
        operation = replace(operation, phase=phase, **changes)
        with self.records.together():
            self.records.save(stack)
            self.records.event(stack, token=operation.token, reason=reason)
            self.records.save_operation(operation)
        return operation

    # -- forward -------------------------------------------------------------------------------------------------------

    def forward(self, operation: Operation) -> Operation:
        stack, desired = self._stack(operation), self.desired(operation)
        try:
            order = graph.levels({name: self._depends(desired, name) for name in desired.resources})
        except AwsError as error:
            raise Failed(error.message) from None
        imports: set[str] = set()
        for level in order:
            self._may_go_on(operation, stack)
            imports |= self._converge(operation, stack, desired, level)
        return self._commit(operation, desired, imports)

    def _depends(self, desired: Desired, name: str) -> set[str]:
        return desired.evaluate(name, lambda other: None).depends

    def _may_go_on(self, operation: Operation, stack: Stack) -> None:
        self._guard()
        fresh = self.records.operation(operation.id)
        if fresh is not None and fresh.cancelled:
            raise Failed("User initiated")
        minutes = operation.target.get("timeout_minutes")
        if operation.kind == "CREATE" and minutes and time.time() > operation.started + 60 * minutes:
            raise Failed("Stack creation time exceeded the specified timeout")

    def _converge(self, operation: Operation, stack: Stack, desired: Desired, level: list[str]) -> set[str]:
        imports: set[str] = set()

        def one(name: str) -> None:
            try:
                wanted = desired.evaluate(name, self._existing(stack.id))
            except AwsError as error:
                raise self._unreadable(operation, stack, name, desired, error.message) from None
            imports.update(wanted.imports)
            self.steps.converge(operation, stack, name, wanted)

        failures = _together(level, one)
        if failures:
            verb = "create" if operation.kind == "CREATE" else "update"
            names = ", ".join(failure.logical_id for failure in failures)
            raise Failed(f"The following resource(s) failed to {verb}: [{names}]. ")
        return imports

    def _unreadable(self, operation: Operation, stack: Stack, name: str, desired: Desired, reason: str) -> StepFailed:
        """A resource whose properties cannot be evaluated fails as if its provider had."""
        have = self.records.resource(stack.id, name)
        verb = "UPDATE" if have and have.exists and have.physical_id else "CREATE"
        kind = desired.template["Resources"][name]["Type"]
        record = have if have and have.exists else Resource(logical_id=name, type=kind)
        failed = replace(record, status=f"{verb}_FAILED", reason=reason, updated=time.time())
        self.records.put(stack.id, failed)
        self.records.event(stack, failed, token=operation.token)
        return StepFailed(name, reason)

    def _existing(self, stack_id: str) -> Callable[[str], Resource | None]:
        def lookup(name: str) -> Resource | None:
            found = self.records.resource(stack_id, name)
            return found if found and found.exists and found.physical_id else None

        return lookup

    def _commit(self, operation: Operation, desired: Desired, imports: set[str]) -> Operation:
        """The new template holds: from here on there is only cleanup."""
        stack = self._stack(operation)
        try:
            outputs, more = desired.outputs(self._existing(stack.id))
            self._check_exports(stack, outputs)
        except AwsError as error:
            raise Failed(error.message) from None
        now = time.time()
        target = {**operation.target, "outputs": outputs, "imports": sorted(imports | more)}
        target["updated"] = now if operation.kind == "UPDATE" else stack.updated
        stack = replace(stack, **target)
        if operation.kind == "CREATE":
            return self.enter(operation, "done", stack, "CREATE_COMPLETE")
        status = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
        return self.enter(operation, "cleanup", stack, status, outcome="UPDATE_COMPLETE")

    def _check_exports(self, stack: Stack, outputs: list[dict[str, Any]]) -> None:
        others = exports(other for other in self.records.stacks() if other.id != stack.id)
        mine = {output["ExportName"]: output["OutputValue"] for output in outputs if "ExportName" in output}
        for name in mine:
            if name in others:
                text = f"Export with name {name} is already exported by stack {others[name][0].name}. "
                raise AwsError("ValidationError", text)
        for name, (_, value) in exports([stack]).items():
            users = importers(self.records, name)
            if users and mine.get(name) != value:
                verb = "updated" if name in mine else "deleted"
                raise AwsError("ValidationError", f"Export {name} cannot be {verb} as it is in use by {users[0]}")

    # -- failure -------------------------------------------------------------------------------------------------------

    def _failed(self, operation: Operation, reason: str) -> Operation:
        stack = self._stack(operation)
        fresh = self.records.operation(operation.id)
        if fresh is not None:  # a delete during the create asks for another end
            operation = replace(operation, on_failure=fresh.on_failure)
        if operation.phase == "backward":
            return self.enter(operation, "done", stack, "UPDATE_ROLLBACK_FAILED", reason)
        creating = operation.kind == "CREATE"
        if operation.on_failure == "DO_NOTHING":
            return self.enter(operation, "done", stack, "CREATE_FAILED" if creating else "UPDATE_FAILED", reason)
        if creating and operation.on_failure == "DELETE":
            return self.enter(operation, "cleanup", stack, "DELETE_IN_PROGRESS", reason, outcome=GONE)
        if creating:
            reason = f"{reason}Rollback requested by user."
            return self.enter(operation, "cleanup", stack, "ROLLBACK_IN_PROGRESS", reason, outcome="ROLLBACK_COMPLETE")
        return self.enter(operation, "backward", stack, "UPDATE_ROLLBACK_IN_PROGRESS", reason)

    # -- backward ------------------------------------------------------------------------------------------------------

    def backward(self, operation: Operation) -> Operation:
        stack = self._stack(operation)
        before = restored(operation.before)
        touched = self.records.touched(operation.id)
        failures: list[StepFailed] = []
        for level in graph.levels({name: was.depends for name, was in before.items()}):
            self._guard()

            def one(name: str) -> None:
                was = before[name]
                if name in operation.skip:
                    reason = "Resource was skipped during the rollback"
                    self.records.put(stack.id, replace(was, status="UPDATE_COMPLETE", reason=reason))
                elif was.exists:
                    self.steps.restore(operation, stack, was, name in touched)

            failures += _together(level, one)
        if failures:
            names = ", ".join(failure.logical_id for failure in failures)
            raise Failed(f"The following resource(s) failed to update: [{names}]. ")
        status = "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"
        return self.enter(operation, "cleanup", stack, status, outcome="UPDATE_ROLLBACK_COMPLETE")

    # -- cleanup -------------------------------------------------------------------------------------------------------

    def cleanup(self, operation: Operation) -> Operation:
        stack = self._stack(operation)
        doomed = list(self._doomed(operation, stack))
        order = graph.levels(_merged(doomed))
        blocked: set[str] = set()
        failures: list[StepFailed] = []
        for level in reversed(order):
            self._guard()
            units = [unit for unit in doomed if unit[0].logical_id in level and unit[0].logical_id not in blocked]
            failed = _together(units, lambda unit: self._delete(operation, stack, *unit))
            failures += failed
            for failure in failed:
                for resource, _ in doomed:
                    if resource.logical_id == failure.logical_id:
                        blocked |= set(resource.depends)
        return self._finish(operation, stack, failures)

    def _doomed(self, operation: Operation, stack: Stack) -> Iterable[tuple[Resource, int | None]]:
        """What is to be deleted: (resource, number among the retired)."""
        for seq, resource in self.records.retired(stack.id):
            yield resource, seq
        kept: Iterable[str] = ()
        if operation.outcome == "UPDATE_COMPLETE":
            kept = self.desired(operation).resources
        elif operation.outcome == "UPDATE_ROLLBACK_COMPLETE":
            kept = restored(operation.before)
        for name, resource in self.records.resources(stack.id).items():
            if name not in kept and resource.exists:
                yield resource, None

    def _delete(self, operation: Operation, stack: Stack, resource: Resource, seq: int | None) -> None:
        self._guard()
        creating = operation.kind == "CREATE" or operation.outcome == "UPDATE_ROLLBACK_COMPLETE"
        keep = resource.deletion == "Retain" or (resource.deletion == "RetainExceptOnCreate" and not creating)
        keep = (keep or resource.logical_id in operation.retain) and bool(resource.physical_id)
        self.steps.delete(operation, stack, resource, seq, keep=keep)
        if seq is None and operation.kind == "UPDATE":
            self.records.drop(stack.id, resource.logical_id)

    def _finish(self, operation: Operation, stack: Stack, failures: list[StepFailed]) -> Operation:
        stack = self._stack(operation)
        reason = ""
        status = operation.outcome
        if operation.kind == "UPDATE":
            self._give_up(stack)  # AWS leaves what a cleanup cannot delete, and says so in the events
        elif failures:
            names = ", ".join(failure.logical_id for failure in failures)
            reason = f"The following resource(s) failed to delete: [{names}]. "
            status = "ROLLBACK_FAILED" if operation.outcome == "ROLLBACK_COMPLETE" else "DELETE_FAILED"
        if status == GONE:
            stack = replace(stack, deleted=time.time(), outputs=[], imports=[])
        if status in (GONE, "ROLLBACK_COMPLETE") and not failures:
            self.records.forget_secrets(stack.id)
        return self.enter(operation, "done", stack, status, reason)

    def _give_up(self, stack: Stack) -> None:
        for seq, _ in self.records.retired(stack.id):
            self.records.bury(seq)


PHASES: dict[str, Callable[[Executor, Operation], Operation]] = {
    "forward": Executor.forward,
    "backward": Executor.backward,
    "cleanup": Executor.cleanup,
}


def importers(records: Records, export: str) -> list[str]:
    """The names of the stacks that import an export."""
    return [stack.name for stack in records.stacks() if export in stack.imports]


def _merged(doomed: list[tuple[Resource, int | None]]) -> dict[str, set[str]]:
    """Logical id -> dependencies, joined over a resource and its retired forms."""
    merged: dict[str, set[str]] = {}
    for resource, _ in doomed:
        merged.setdefault(resource.logical_id, set()).update(set(resource.depends) - {resource.logical_id})
    return _without_cycles(merged)


def _without_cycles(depends: dict[str, set[str]]) -> dict[str, set[str]]:
    """Two versions of a template may depend in opposite directions: then any order will do."""
    try:
        graph.levels(depends)
    except AwsError:
        return {name: set() for name in depends}
    return depends


# Threads for what is independent. They are few and are kept, because each holds a connection to the store. A thread is
# taken only when one is free, else the work is done where it is asked for: so a nested stack never waits for itself.
_POOL = ThreadPoolExecutor(WORKERS, thread_name_prefix="cloudformation")
_FREE = threading.Semaphore(WORKERS)


def _together(items: list[Any], act: Callable[[Any], None]) -> list[StepFailed]:
    """Act on every item, some at the same time; what failed. Another exception is raised when all have ended."""
    ended: list[BaseException | None] = []
    waiting: list[Future[BaseException | None]] = []

    def attempt(item: Any) -> BaseException | None:
        try:
            act(item)
        except BaseException as error:  # told to the caller below
            return error
        return None

    def lent(item: Any) -> BaseException | None:
        try:
            return attempt(item)
        finally:
            _FREE.release()

    for index, item in enumerate(items):
        if index < len(items) - 1 and _FREE.acquire(blocking=False):
            waiting.append(_POOL.submit(lent, item))
        else:
            ended.append(attempt(item))
    ended += [future.result() for future in waiting]
    for error in ended:
        if error is not None and not isinstance(error, StepFailed):
            raise error
    return [error for error in ended if isinstance(error, StepFailed)]


__all__ = ["Evaluated", "Executor", "Failed", "Stopping", "importers"]
