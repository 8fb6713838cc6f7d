"""One step on one resource: journal first, then the provider, then the record.

    written -> (the provider's calls) -> done | failed

The step's row and the resource's new record are completed in one transaction. When a step is found written and not
completed, the process died in it: what it made is looked for by the physical id that the journal has or the name
predicts, taken over and brought to the wanted properties; else the calls are made now, with the same name and token.
"""

from __future__ import annotations

import logging
import secrets
import string
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from millpond.local.cloudformation.desired import Evaluated
from millpond.local.cloudformation.dynamic import resolved
from millpond.local.cloudformation.intrinsics import text
from millpond.local.cloudformation.plan import property_changes, replaces
from millpond.local.cloudformation.providers import provider_of
from millpond.local.cloudformation.providers.provider import (
    Provider,
    ProviderError,
    Task,
    describe,
    is_missing,
    retag,
)
from millpond.local.cloudformation.records import GONE, Operation, Records, Resource, Stack, Step, replace
from millpond.local.cloudformation.schemas import at, findings, schema_of
from millpond.local.service import AwsError, Clock

EXPECTED = (ProviderError, ClientError, BotoCoreError, AwsError)
log = logging.getLogger(__name__)
ALPHABET = string.ascii_uppercase + string.digits


class StepFailed(Exception):
    """A resource could not be brought to where it was to be."""

    def __init__(self, logical_id: str, reason: str) -> None:
        super().__init__(reason)
        self.logical_id, self.reason = logical_id, reason


def physical_name(stack: str, logical_id: str, provider: Provider, properties: dict[str, Any]) -> tuple[str, bool]:
    """The name for a new resource, and whether the template gave it: else `<stack>-<logical id>-<12 random>`."""
    given = at(properties, tuple(provider.name.split("."))) if provider.name else None
    if given not in (None, ""):
        return text(given), True
    random = "".join(secrets.choice(ALPHABET) for _ in range(12))
    suffix = provider.suffix(properties)
    room = provider.name_limit - len(random) - len(suffix) - 1
    name = f"{f'{stack}-{logical_id}'[:room].rstrip('-')}-{random}{suffix}"
    return (name.lower() if provider.lower else name), False


@dataclass(slots=True)
class Steps:
    """Creates, updates and deletes single resources for the executor."""

    records: Records
    connect: Callable[[str], Any]
    clock: Clock
    region: str
    account: str
    pause: Callable[[float], None] = time.sleep  # raises when the endpoint stops

    # -- forward -------------------------------------------------------------------------------------------------------

    def converge(self, operation: Operation, stack: Stack, name: str, wanted: Evaluated) -> Resource:
        """Bring a resource to what the template wants. Raises StepFailed."""
        have = self.records.resource(stack.id, name)
        if have is not None and (not have.exists or not have.physical_id):
            have = None
        if have is None or have.type != wanted.type:
            return self.create(operation, stack, name, wanted, have)
        changes = property_changes(wanted.type, have.properties, wanted.properties)
        if replaces(changes):
            return self.create(operation, stack, name, wanted, have)
        if changes or have.status.endswith("_FAILED"):
            return self.update(operation, stack, have, wanted)
        return self.records.put(stack.id, _with_template(have, wanted))

    def create(
        self, operation: Operation, stack: Stack, name: str, wanted: Evaluated, have: Resource | None
    ) -> Resource:
        """Create a resource, or its replacement; what it replaces is retired."""
        action, verb = ("replace", "UPDATE") if have else ("create", "CREATE")
        provider = _provider(wanted.type)
        step = self.records.step(operation.id, "forward", name, action)
        resumed = step is not None and step.state == "written"
        record = _with_template(have or Resource(logical_id=name, type=wanted.type), wanted)
        if not resumed:
            reason = "Requested update requires the creation of a new physical resource; hence creating one."
            self._mark(stack, record, f"{verb}_IN_PROGRESS", reason=reason if have else "", token=operation.token)
        try:
            _judge(name, wanted)
            made, made_name, attributes = self._make(operation, stack, name, wanted, have, step if resumed else None)
        except Exception as error:
            raise self._creation_failed(operation, stack, record, action, verb, have, error) from error
        new = replace(
            record, physical_id=made, name=made_name, type=wanted.type, properties=wanted.properties,
            attributes=attributes,
        )  # fmt: skip
        if not provider.inert and not have:
            self.records.event(stack, replace(new, status="CREATE_IN_PROGRESS", reason="Resource creation Initiated"),
                               token=operation.token)  # fmt: skip
        with self.records.together():
            if have is not None and identity(have) != identity(new):
                self.records.retire(stack.id, replace(have, deletion=have.replacing))
            self._step_state(operation, "forward", name, action, "done", made)
            return self._mark(stack, new, f"{verb}_COMPLETE", token=operation.token)

    def _make(
        self,
        operation: Operation,
        stack: Stack,
        logical_id: str,
        wanted: Evaluated,
        have: Resource | None,
        step: Step | None,
    ) -> tuple[str, str, dict[str, Any]]:
        """(physical id, name, attributes) of what was made or, when `step` was interrupted, found."""
        provider = _provider(wanted.type)
        action = "replace" if have else "create"
        task = self._task(stack, logical_id, wanted.type, wanted.properties)
        given = False
        if step is None:
            task.name, given = physical_name(stack.name, logical_id, provider, task.properties)
            task.token = str(uuid.uuid4())
            self._must_be_free(provider, task, given, have)
            step = self.records.write_step(
                Step(operation_id=operation.id, phase="forward", logical_id=logical_id, action=action,
                     token=task.token, name=task.name, inputs=wanted.properties)
            )  # fmt: skip
            found = None
        else:
            task.name, task.token = step.name, step.token
            found = self._find(provider, task, step.physical_id)
        task.report = lambda made: self._step_state(operation, "forward", logical_id, action, "written", made)
        if found is None:
            task.physical_id = provider.create(task)
        else:
            task.physical_id = found
            if provider.update is not None:
                provider.update(task)  # the process may have died between two of the create's calls
        return task.physical_id, task.name, _attributes(provider, task, wanted.properties)

    def _find(self, provider: Provider, task: Task, physical_id: str) -> str | None:
        """The physical id of what a step made before it was interrupted, None when it made nothing."""
        candidate = physical_id or provider.predict(task)
        if not candidate:
            return None
        before, task.physical_id = task.physical_id, candidate
        try:
            provider.read(task)
        except (ProviderError, ClientError) as error:
            task.physical_id = before
            if is_missing(error):
                return None
            raise
        return candidate

    def _must_be_free(self, provider: Provider, task: Task, given: bool, have: Resource | None) -> None:
        """A name of the template's own must not be taken: what is made by hand is never taken over."""
        if not provider.exclusive or (provider.name and not given):
            return
        found = self._find(provider, task, "")
        task.physical_id = ""
        if found is None:
            return
        if have is not None and identity(replace(have, physical_id=found, properties=task.properties)) == identity(
            have
        ):
            raise ProviderError("CloudFormation cannot update a stack when a custom-named resource requires replacing. "
                                f"Rename {found} and update the stack again.")  # fmt: skip
        raise ProviderError(
            f"Resource of type '{task.type}' with identifier '{found}' already exists.", "AlreadyExists"
        )

    def _creation_failed(
        self,
        operation: Operation,
        stack: Stack,
        record: Resource,
        action: str,
        verb: str,
        have: Resource | None,
        error: BaseException,
    ) -> StepFailed:
        step = self.records.step(operation.id, "forward", record.logical_id, action)
        reason = _reason(error, step.token if step else operation.id)
        partial = step.physical_id if step and step.state == "written" else ""
        with self.records.together():
            if step:
                self.records.write_step(replace(step, state="failed"))
            if have is not None and partial:  # the half-made replacement goes in the cleanup
                half = replace(record, physical_id=partial, properties=step.inputs if step else {}, deletion="Delete")
                self.records.retire(stack.id, half)
            if have is not None:
                self._mark(stack, have, f"{verb}_FAILED", reason=reason, token=operation.token)
            else:
                failed = replace(record, physical_id=partial, properties=step.inputs if step and partial else {})
                self._mark(stack, failed, f"{verb}_FAILED", reason=reason, token=operation.token)
        return StepFailed(record.logical_id, reason)

    def update(self, operation: Operation, stack: Stack, have: Resource, wanted: Evaluated) -> Resource:
        """Update a resource in place."""
        return self._change(operation, stack, have, _with_template(have, wanted), wanted, "forward")

    def _change(
        self, operation: Operation, stack: Stack, have: Resource, record: Resource, wanted: Evaluated, phase: str
    ) -> Resource:
        provider = _provider(wanted.type)
        name = have.logical_id
        step = self.records.step(operation.id, phase, name, "update")
        if step is None or step.state != "written":
            step = self.records.write_step(
                Step(operation_id=operation.id, phase=phase, logical_id=name, action="update", token=str(uuid.uuid4()),
                     name=have.name, physical_id=have.physical_id, inputs=wanted.properties)
            )  # fmt: skip
            self._mark(stack, record, "UPDATE_IN_PROGRESS", token=operation.token)
        try:
            _judge(name, wanted)
            task = self._task(stack, name, wanted.type, wanted.properties, have.properties)
            task.name, task.token, task.physical_id = have.name, step.token, have.physical_id
            if provider.update is not None:  # None: every change replaces (plan.py), there is only a status to mend
                provider.update(task)
            schema = schema_of(wanted.type)
            if schema.tag_property and provider.tag is not None:
                retag(task, provider, schema.tag_property)
            attributes = _attributes(provider, task, wanted.properties)
        except Exception as error:
            reason = _reason(error, step.token)
            with self.records.together():
                self.records.write_step(replace(step, state="failed"))
                self._mark(stack, have, "UPDATE_FAILED", reason=reason, token=operation.token)
            raise StepFailed(name, reason) from error
        new = replace(record, physical_id=task.physical_id, properties=wanted.properties, attributes=attributes)
        with self.records.together():
            if task.physical_id != have.physical_id:  # a custom resource answered with another id
                self.records.retire(stack.id, replace(have, deletion=have.replacing))
            self.records.write_step(replace(step, state="done"))
            return self._mark(stack, new, "UPDATE_COMPLETE", token=operation.token)

    # -- backward ------------------------------------------------------------------------------------------------------

    def restore(self, operation: Operation, stack: Stack, was: Resource, touched: bool) -> None:
        """Bring a resource back to its record of before the operation. Raises StepFailed."""
        now = self.records.resource(stack.id, was.logical_id)
        if now is None or not was.physical_id:
            return
        if identity(now) != identity(was):  # replaced: the old one is still there
            with self.records.together():
                self.records.retire(stack.id, replace(now, deletion="Delete"))
                for seq, old in self.records.retired(stack.id):
                    if old.logical_id == was.logical_id and identity(old) == identity(was):
                        self.records.bury(seq)
                self._mark(stack, was, "UPDATE_COMPLETE", token=operation.token)
            return
        step = self.records.step(operation.id, "forward", was.logical_id, "update") if touched else None
        if step is None:
            failed = now.status.endswith("_FAILED")
            if failed:
                self._mark(stack, was, "UPDATE_COMPLETE", token=operation.token)
            else:
                self.records.put(stack.id, was)
            return
        back = self.records.step(operation.id, "backward", was.logical_id, "update")
        if back is not None and back.state == "done":
            return
        wanted = Evaluated(was.type, was.properties, set(was.depends), set(), was.deletion, was.replacing, was.metadata)
        self._change(operation, stack, replace(now, properties=step.inputs), was, wanted, "backward")

    # -- delete --------------------------------------------------------------------------------------------------------

    def delete(self, operation: Operation, stack: Stack, resource: Resource, seq: int | None, *, keep: bool) -> None:
        """Delete a resource, or leave it by its policy. `seq`: it is a retired one. Raises StepFailed."""
        provider = _provider(resource.type)
        shown = None if seq is not None else stack.id
        if keep:
            self._buried(stack, resource, seq, "DELETE_SKIPPED", operation)
            return
        self._event_or_mark(stack, resource, shown, "DELETE_IN_PROGRESS", operation)
        key = f"{resource.logical_id}#{seq}" if seq is not None else resource.logical_id
        step = self.records.write_step(
            Step(operation_id=operation.id, phase="cleanup", logical_id=key, action="delete", token=str(uuid.uuid4()),
                 name=resource.name, physical_id=resource.physical_id)
        )  # fmt: skip
        try:
            if resource.physical_id:
                task = self._task(stack, resource.logical_id, resource.type, resource.properties)
                task.name, task.token, task.physical_id = resource.name, step.token, resource.physical_id
                provider.delete(task)
        except Exception as error:
            if not is_missing(error):
                reason = _reason(error, step.token)
                with self.records.together():
                    self.records.write_step(replace(step, state="failed"))
                    self._event_or_mark(stack, replace(resource, reason=reason), shown, "DELETE_FAILED", operation)
                raise StepFailed(resource.logical_id, reason) from error
        with self.records.together():
            self.records.write_step(replace(step, state="done"))
            self._buried(stack, resource, seq, GONE, operation)

    def _buried(self, stack: Stack, resource: Resource, seq: int | None, status: str, operation: Operation) -> None:
        if seq is not None:
            self.records.bury(seq)
            self.records.event(stack, replace(resource, status=status, reason=""), token=operation.token)
        else:
            # A resource that is left is gone from the stack too.
            self._mark(stack, resource, status, token=operation.token)
            if status != GONE:
                self.records.put(stack.id, replace(resource, status=GONE))

    def _event_or_mark(
        self, stack: Stack, resource: Resource, shown: str | None, status: str, operation: Operation
    ) -> None:
        reason = resource.reason if status == "DELETE_FAILED" else ""
        if shown is None:
            self.records.event(stack, replace(resource, status=status, reason=reason), token=operation.token)
        else:
            self._mark(stack, resource, status, reason=reason, token=operation.token)

    # -- pieces --------------------------------------------------------------------------------------------------------

    def _task(
        self, stack: Stack, logical_id: str, kind: str, properties: dict[str, Any], old: dict[str, Any] | None = None
    ) -> Task:
        def secret(name: str, version: int) -> str:
            return self.records.secret(stack.id, name, version)

        return Task(
            stack_id=stack.id,
            stack_name=stack.name,
            logical_id=logical_id,
            type=kind,
            properties=resolved(properties, self.connect, secret),
            old=resolved(old or {}, self.connect, secret),
            region=self.region,
            account=self.account,
            client=self.connect,
            sleep=lambda seconds: self.pause(self.clock.seconds(seconds)),
        )

    def _step_state(
        self, operation: Operation, phase: str, logical_id: str, action: str, state: str, physical_id: str
    ) -> None:
        step = self.records.step(operation.id, phase, logical_id, action)
        if step is not None:
            self.records.write_step(replace(step, state=state, physical_id=physical_id))

    def _mark(self, stack: Stack, resource: Resource, status: str, *, reason: str = "", token: str = "") -> Resource:
        """Record a resource with a new status, and tell it as an event."""
        marked = replace(resource, status=status, reason=reason, updated=time.time())
        with self.records.together():
            self.records.put(stack.id, marked)
            self.records.event(stack, marked, token=token)
        return marked


def identity(resource: Resource) -> tuple[str, str]:
    """What tells one physical resource of a type from another."""
    within = _provider(resource.type).within
    return resource.physical_id, text(resource.properties.get(within, "")) if within else ""


def _provider(kind: str) -> Provider:
    provider = provider_of(kind)
    if provider is None:  # refused before anything runs (check.py)
        raise ProviderError(f"Millpond does not carry {kind}")
    return provider


def _attributes(provider: Provider, task: Task, properties: dict[str, Any]) -> dict[str, Any]:
    """What GetAtt gives. An attribute that only repeats a property with a reference in it keeps the reference."""
    found = {**provider.read(task), **task.attributes}
    for name, value in found.items():
        if name in properties and task.properties.get(name) == value:
            found[name] = properties[name]
    return found


def _with_template(resource: Resource, wanted: Evaluated) -> Resource:
    """The resource with what the template says about it, its properties left as achieved."""
    return replace(
        resource,
        depends=sorted(wanted.depends),
        deletion=wanted.deletion,
        replacing=wanted.replacing,
        metadata=wanted.metadata,
    )


def _judge(name: str, wanted: Evaluated) -> None:
    """The constraints on values, now that every value is known."""
    wrong = list(findings(wanted.type, wanted.properties))
    if wrong:
        lines = "\n".join(f"{finding.pointer}: {finding.message}" for finding in wrong)
        raise AwsError("ValidationError", f"Properties validation failed for resource {name} with message:\n{lines}")


def _reason(error: BaseException, token: str) -> str:
    """A failure as the resource's status reason; what no provider should raise also goes to the log, whole."""
    if not isinstance(error, EXPECTED):
        log.error("a provider failed with %s (request %s)", type(error).__name__, token, exc_info=error)
    if isinstance(error, AwsError):
        return error.message
    if isinstance(error, KeyError):
        return describe(ProviderError(f"Missing property {error}"), token)
    return describe(error, token)
