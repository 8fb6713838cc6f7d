"""CloudFormation's operations: what they refuse at once, what they record, and what they leave to the executor.

One operation at a time runs on a stack. The check of a stack's status and its change are made under one lock, in the
call; the work is done in a thread of `Api._threads`.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from millpond.local.cloudformation import check, sections, transforms
from millpond.local.cloudformation.execute import Executor, Stopping, importers
from millpond.local.cloudformation.plan import plan
from millpond.local.cloudformation.policy import check_policy, policy_body
from millpond.local.cloudformation.prepare import (
    Preparation,
    Prepared,
    nothing_to_do,
    required_capabilities,
)
from millpond.local.cloudformation.records import (
    GONE,
    ChangeSet,
    Operation,
    Records,
    Resource,
    Stack,
    exports,
    replace,
    snapshot,
)
from millpond.local.cloudformation.shapes import (
    PAGE,
    brief_declaration,
    change_set_summary,
    declaration,
    drop_empty,
    is_live,
    moment,
    page_of,
    parameters,
    resource_shape,
    resource_summary,
    stack_shape,
    stack_summary,
)
from millpond.local.cloudformation.template import parse
from millpond.local.service import AwsError, Call

log = logging.getLogger(__name__)

NAME = re.compile(r"^[a-zA-Z][-a-zA-Z0-9]{0,127}$")
REVIEW = "REVIEW_IN_PROGRESS"
UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE", "UPDATE_FAILED",
             "CREATE_FAILED")  # fmt: skip
NO_UPDATES = "No updates are to be performed."
NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
THREADS = 64  # operations at a time; a nested stack's parent waits in one

Params = dict[str, Any]


def missing(name: str) -> AwsError:
    return AwsError("ValidationError", f"Stack with id {name} does not exist")


class Api:
    """The operations of CloudFormation. `operations` is the table that the service answers by."""

    def __init__(self, records: Records, prepare: Preparation, executor: Executor, region: str, account: str) -> None:
        self.records, self.prepare, self.executor = records, prepare, executor
        self._prefix = f"arn:aws:cloudformation:{region}:{account}"
        self._lock = threading.RLock()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="stack")
        self._running: set[Future[None]] = set()

    # -- running -------------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Go on with what a kill or a stop interrupted."""
        for operation in self.records.open_operations():
            log.info("going on with the %s of %s", operation.kind, operation.stack_id)
            self._submit(operation)

    def _submit(self, operation: Operation) -> None:
        future = self._threads.submit(self._run, operation)
        self._running.add(future)
        future.add_done_callback(self._running.discard)

    def settle(self) -> None:
        """Wait until no operation runs any more."""
        wait(list(self._running))

    def stop(self) -> None:
        self.executor.stopping.set()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _run(self, operation: Operation) -> None:
        try:
            self.executor.run(operation)
        except Stopping:
            log.info("the %s of %s goes on at the next start", operation.kind, operation.stack_id)
        except Exception:  # a bug of ours: the operation stays open and is tried again at the next start
            log.exception("the %s of %s failed", operation.kind, operation.stack_id)

    def _begin(self, operation: Operation, stack: Stack, status: str, prepared: Prepared | None = None) -> None:
        """Write an operation's first row with the stack's new status, then run it."""
        stack = replace(stack, status=status, reason="", token=operation.token)
        with self.records.together():
            for (name, version), value in (prepared.secrets if prepared else {}).items():
                self.records.keep_secret(stack.id, name, version, value)
            self.records.save(stack)
            self.records.save_operation(operation)
            self.records.event(stack, token=operation.token, reason="User Initiated")
        self._submit(operation)

    def _stack(self, name: str) -> Stack:
        stack = self.records.stack(name)
        if stack is None:
            raise missing(name)
        return stack

    def _new_id(self, name: str) -> str:
        if not NAME.match(name):
            raise AwsError(
                "ValidationError",
                f"1 validation error detected: Value '{name[:200]}' at 'stackName' failed to satisfy constraint: "
                "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*",
            )
        return f"{self._prefix}:stack/{name}/{uuid.uuid4()}"

    # -- stacks: create, update, delete --------------------------------------------------------------------------------

    def create_stack(self, params: Params, call: Call) -> Params:
        name = params["StackName"]
        token = params.get("ClientRequestToken", "")
        on_failure = _on_failure(params)
        with self._lock:
            stack_id = self._new_id(name)
            have = self.records.stack(name)
            if have is not None:
                if token and have.token == token:
                    return {"StackId": have.id}
                raise AwsError("AlreadyExistsException", f"Stack [{name}] already exists")
            prepared = self.prepare.make(
                params, stack_id=stack_id, stack_name=name, previous=None, resources={}, direct=True
            )
            stack = Stack(
                id=stack_id, name=name, status="", created=time.time(), disable_rollback=on_failure == "DO_NOTHING",
                protected=bool(params.get("EnableTerminationProtection")), policy=policy_body(params),
                **prepared.target,
            )  # fmt: skip
            operation = Operation(id=str(uuid.uuid4()), stack_id=stack_id, kind="CREATE", phase="forward",
                                  started=time.time(), target=prepared.target, on_failure=on_failure,
                                  token=token)  # fmt: skip
            self._begin(operation, stack, "CREATE_IN_PROGRESS", prepared)
        return {"StackId": stack_id}

    def update_stack(self, params: Params, call: Call) -> Params:
        token = params.get("ClientRequestToken", "")
        with self._lock:
            stack = self.records.stack(params["StackName"])
            if stack is None or stack.status in (GONE, REVIEW):
                raise AwsError("ValidationError", f"Stack [{params['StackName']}] does not exist")
            if token and stack.token == token:
                return {"StackId": stack.id}
            _must_be_updatable(stack)
            resources = self.records.resources(stack.id)
            prepared = self.prepare.make(
                params, stack_id=stack.id, stack_name=stack.name, previous=stack, resources=resources, direct=True
            )
            if nothing_to_do(prepared, stack):
                raise AwsError("ValidationError", NO_UPDATES)
            if policy_body(params):
                stack = replace(stack, policy=policy_body(params))
            on_failure = "DO_NOTHING" if params.get("DisableRollback") else "ROLLBACK"
            self._update(stack, prepared, resources, on_failure, token)
        return {"StackId": stack.id}

    def _update(
        self,
        stack: Stack,
        prepared: Prepared,
        resources: Mapping[str, Resource],
        on_failure: str,
        token: str,
        change_set_id: str = "",
    ) -> None:
        check_policy(stack, prepared.plan.changes)
        operation = Operation(
            id=str(uuid.uuid4()), stack_id=stack.id, kind="UPDATE", phase="forward", started=time.time(),
            target=prepared.target, before=snapshot(stack, resources), on_failure=on_failure, token=token,
            change_set_id=change_set_id,
        )  # fmt: skip
        self._begin(operation, stack, "UPDATE_IN_PROGRESS", prepared)
        for other in self.records.change_sets(stack.id):
            if other.execution == "AVAILABLE" and other.id != change_set_id:
                self.records.save_change_set(replace(other, execution="OBSOLETE"))

    def delete_stack(self, params: Params, call: Call) -> Params:
        token = params.get("ClientRequestToken", "")
        with self._lock:
            stack = self.records.stack(params["StackName"])
            if stack is None or stack.status == GONE or (token and stack.token == token):
                return {}
            if stack.protected:
                raise AwsError(
                    "ValidationError",
                    f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled",
                )
            retain = list(params.get("RetainResources") or [])
            if retain and stack.status != "DELETE_FAILED":
                raise AwsError(
                    "ValidationError",
                    f"Invalid operation on stack [{stack.id}]. RetainResources can only be used on stacks in the "
                    "DELETE_FAILED state.",
                )
            if stack.status == REVIEW:
                self.records.forget(stack.id)
            elif stack.status == "CREATE_IN_PROGRESS":
                self._cancel_create(stack)
            elif stack.status.endswith("_IN_PROGRESS"):
                if stack.status != "DELETE_IN_PROGRESS":
                    raise _busy(stack, "deleted")
            else:
                self._delete(stack, retain, token)
        return {}

    def _cancel_create(self, stack: Stack) -> None:
        operation = self.records.last_operation(stack.id)
        if operation is not None:
            self.records.save_operation(replace(operation, cancelled=True, on_failure="DELETE"))

    def _delete(self, stack: Stack, retain: list[str], token: str) -> None:
        for name in exports([stack]):
            users = importers(self.records, name)
            if users:
                # As on AWS: the call succeeds, the stack keeps its status and says why it is still there.
                reason = f"Delete canceled. Cannot delete export {name} as it is in use by {', '.join(users)}."
                self.records.save(replace(stack, reason=reason))
                self.records.event(stack, token=token, reason=reason)
                return
        operation = Operation(id=str(uuid.uuid4()), stack_id=stack.id, kind="DELETE", phase="cleanup",
                              started=time.time(), outcome=GONE, retain=retain, token=token)  # fmt: skip
        self._begin(operation, stack, "DELETE_IN_PROGRESS")

    def cancel_update_stack(self, params: Params, call: Call) -> Params:
        with self._lock:
            stack = self._stack(params["StackName"])
            operation = self.records.last_operation(stack.id)
            if stack.status != "UPDATE_IN_PROGRESS" or operation is None:
                message = "CancelUpdateStack cannot be called from current stack status"
                raise AwsError("ValidationError", message)
            self.records.save_operation(replace(operation, cancelled=True, on_failure="ROLLBACK"))
        return {}

    def continue_update_rollback(self, params: Params, call: Call) -> Params:
        with self._lock:
            stack = self._stack(params["StackName"])
            if stack.status != "UPDATE_ROLLBACK_FAILED":
                raise AwsError(
                    "ValidationError",
                    f"Stack:{stack.id} is in {stack.status} state and can not continue rollback.",
                )
            skip = list(params.get("ResourcesToSkip") or [])
            self._skippable(stack, skip)
            self._roll_back(stack, skip, params.get("ClientRequestToken", ""))
        return {}

    def _skippable(self, stack: Stack, skip: list[str]) -> None:
        resources = self.records.resources(stack.id)
        wrong = [name for name in skip if name not in resources or resources[name].status != "UPDATE_FAILED"]
        if wrong:
            raise AwsError(
                "ValidationError",
                f"The following resources cannot be skipped, for they are not in UPDATE_FAILED: [{', '.join(wrong)}]",
            )

    def rollback_stack(self, params: Params, call: Call) -> Params:
        with self._lock:
            stack = self._stack(params["StackName"])
            if stack.status == "UPDATE_FAILED":
                self._roll_back(stack, [], params.get("ClientRequestToken", ""))
            elif stack.status == "CREATE_FAILED":
                operation = self.records.last_operation(stack.id)
                assert operation is not None
                again = replace(operation, phase="cleanup", on_failure="ROLLBACK", outcome="ROLLBACK_COMPLETE")
                self._begin(again, stack, "ROLLBACK_IN_PROGRESS")
            else:
                raise AwsError(
                    "ValidationError", f"Stack:{stack.id} is in {stack.status} state and can not be rolled back."
                )
        return {"StackId": stack.id}

    def _roll_back(self, stack: Stack, skip: list[str], token: str) -> None:
        operation = self.records.last_operation(stack.id, kind="UPDATE")
        assert operation is not None, stack.id
        again = replace(operation, phase="backward", skip=skip, on_failure="ROLLBACK", token=token)
        self._begin(again, stack, "UPDATE_ROLLBACK_IN_PROGRESS")

    # -- change sets ---------------------------------------------------------------------------------------------------

    def create_change_set(self, params: Params, call: Call) -> Params:
        kind = params.get("ChangeSetType", "UPDATE")
        if kind == "IMPORT" or params.get("ResourcesToImport") or params.get("ImportExistingResources"):
            raise AwsError("ValidationError", "Millpond does not carry the import of resources into a stack yet.")
        name = params["ChangeSetName"]
        if not NAME.match(name):
            raise AwsError("ValidationError", f"1 validation error detected: Value '{name[:200]}' at 'changeSetName' "
                           "failed to satisfy constraint: Member must satisfy regular expression pattern: "
                           "[a-zA-Z][-a-zA-Z0-9]*")  # fmt: skip
        with self._lock:
            have = self._stack_for(kind, params["StackName"], name)
            twin = self._twin(have, name, params.get("ClientToken", ""))
            if twin is not None:
                return {"Id": twin.id, "StackId": twin.stack_id}
            stack_id = have.id if have else self._new_id(params["StackName"])
            stack_name = have.name if have else params["StackName"]
            previous = have if have and have.status != REVIEW else None
            resources = self.records.resources(stack_id) if previous else {}
            prepared = self.prepare.make(params, stack_id=stack_id, stack_name=stack_name, previous=previous,
                                         resources=resources, direct=False)  # fmt: skip
            made = self._change_set(params, kind, stack_id, stack_name, prepared)
            if previous is not None and nothing_to_do(prepared, previous):
                made = replace(made, status="FAILED", execution="UNAVAILABLE", reason=NO_CHANGES)
            self._save_change_set(made, have, prepared)
        return {"Id": made.id, "StackId": stack_id}

    def _stack_for(self, kind: str, stack_name: str, name: str) -> Stack | None:
        have = self.records.stack(stack_name)
        if have is not None and have.status == GONE:
            have = None
        if kind == "CREATE":
            if have is not None and have.status != REVIEW:
                raise AwsError("ValidationError", f"Stack [{stack_name}] already exists and cannot be created again "
                               f"with the changeSet [{name}].")  # fmt: skip
            return have
        if have is None or have.status == REVIEW:
            raise AwsError("ValidationError", f"Stack [{stack_name}] does not exist")
        _must_be_updatable(have)
        return have

    def _twin(self, have: Stack | None, name: str, token: str) -> ChangeSet | None:
        """The change set of this name: the same one when the token says so, else refused."""
        if have is None:
            return None
        twin = next((item for item in self.records.change_sets(have.id) if item.name == name and is_live(item)), None)
        if twin is not None and not (token and twin.token == token):
            raise AwsError("AlreadyExistsException", f"ChangeSet {name} cannot be created due to a mismatch with "
                           f"existing attribute Template")  # fmt: skip
        return twin

    def _change_set(self, params: Params, kind: str, stack_id: str, stack_name: str, prepared: Prepared) -> ChangeSet:
        name = params["ChangeSetName"]
        return ChangeSet(
            id=f"{self._prefix}:changeSet/{name}/{uuid.uuid4()}",
            name=name,
            stack_id=stack_id,
            stack_name=stack_name,
            type=kind,
            status="CREATE_COMPLETE",
            execution="AVAILABLE",
            created=time.time(),
            description=params.get("Description", ""),
            changes=[change.as_aws() for change in prepared.plan.changes],
            target=prepared.target,
            on_failure=_after_change_set(params, kind),
            token=params.get("ClientToken", ""),
        )

    def _save_change_set(self, made: ChangeSet, have: Stack | None, prepared: Prepared) -> None:
        with self.records.together():
            for (name, version), value in prepared.secrets.items():
                self.records.keep_secret(made.stack_id, name, version, value)
            if have is None:
                stack = Stack(id=made.stack_id, name=made.stack_name, status=REVIEW, created=time.time())
                self.records.save(stack)
                self.records.event(stack, reason="User Initiated")
            self.records.save_change_set(made)

    def _find_change_set(self, params: Params) -> ChangeSet:
        name, stack_name = params["ChangeSetName"], params.get("StackName")
        if name.startswith("arn:"):
            found = self.records.change_set(name)
        else:
            if not stack_name:
                raise AwsError(
                    "ValidationError", "StackName must be specified if ChangeSetName is not specified as an ARN."
                )
            stack = self._stack(stack_name)
            matching = [item for item in self.records.change_sets(stack.id) if item.name == name]
            found = matching[-1] if matching else None
        if found is None:
            raise AwsError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", status=404)
        return found

    def describe_change_set(self, params: Params, call: Call) -> Params:
        item = self._find_change_set(params)
        page, token = page_of(item.changes, params)
        target = item.target
        return drop_empty({
            "ChangeSetName": item.name,
            "ChangeSetId": item.id,
            "StackId": item.stack_id,
            "StackName": item.stack_name,
            "Description": item.description,
            "Parameters": parameters(target.get("parameters", {})),
            "CreationTime": moment(item.created),
            "ExecutionStatus": item.execution,
            "Status": item.status,
            "StatusReason": item.reason,
            "NotificationARNs": target.get("notification_arns", []),
            "RollbackConfiguration": {},
            "Capabilities": target.get("capabilities", []),
            "Tags": [{"Key": key, "Value": value} for key, value in target.get("tags", {}).items()],
            "Changes": page,
            "NextToken": token,
            "OnStackFailure": item.on_failure,
            "IncludeNestedStacks": False,
        }, "Changes", "IncludeNestedStacks", "Tags", "NotificationARNs", "Capabilities")  # fmt: skip

    def execute_change_set(self, params: Params, call: Call) -> Params:
        with self._lock:
            item = self._find_change_set(params)
            token = params.get("ClientRequestToken", "")
            stack = self._stack(item.stack_id)
            if token and stack.token == token:
                return {}
            if item.status != "CREATE_COMPLETE" or item.execution != "AVAILABLE":
                state = item.status if item.status != "CREATE_COMPLETE" else item.execution
                message = f"ChangeSet [{item.id}] cannot be executed in its current status of [{state}]"
                raise AwsError("InvalidChangeSetStatus", message)
            if stack.status != REVIEW:
                _must_be_updatable(stack)
            on_failure = "DO_NOTHING" if params.get("DisableRollback") else item.on_failure
            self._execute(item, stack, on_failure, token)
        return {}

    def _execute(self, item: ChangeSet, stack: Stack, on_failure: str, token: str) -> None:
        resources = self.records.resources(stack.id) if stack.status != REVIEW else {}
        desired = self.prepare.desired(stack.id, stack.name, item.target, {})
        prepared = Prepared(item.target, desired, plan(desired, resources), {})
        creating = stack.status == REVIEW
        stack = replace(stack, change_set_id=item.id)
        if creating:
            stack = replace(stack, **prepared.target, disable_rollback=on_failure == "DO_NOTHING")
            operation = Operation(id=str(uuid.uuid4()), stack_id=stack.id, kind="CREATE", phase="forward",
                                  started=time.time(), target=item.target, on_failure=on_failure, token=token,
                                  change_set_id=item.id)  # fmt: skip
            self._begin(operation, stack, "CREATE_IN_PROGRESS", prepared)
        else:
            self._update(
                stack, prepared, resources, "ROLLBACK" if on_failure == "DELETE" else on_failure, token, item.id
            )
        for other in self.records.change_sets(stack.id):
            if other.id == item.id:
                self.records.save_change_set(replace(item, execution="EXECUTE_COMPLETE"))
            elif is_live(other):
                self.records.drop_change_set(other.id)

    def delete_change_set(self, params: Params, call: Call) -> Params:
        with self._lock:
            try:
                item = self._find_change_set(params)
            except AwsError as error:
                if error.code == "ChangeSetNotFound" and not params["ChangeSetName"].startswith("arn:"):
                    return {}
                raise
            if item.execution == "EXECUTE_IN_PROGRESS":
                message = f"ChangeSet [{item.id}] cannot be deleted in its current status of [{item.execution}]"
                raise AwsError("InvalidChangeSetStatus", message)
            self.records.drop_change_set(item.id)
        return {}

    def list_change_sets(self, params: Params, call: Call) -> Params:
        stack = self._stack(params["StackName"])
        found = [item for item in self.records.change_sets(stack.id) if is_live(item)]
        page, token = page_of([change_set_summary(item) for item in found], params)
        return drop_empty({"Summaries": page, "NextToken": token}, "Summaries")

    # -- reading -------------------------------------------------------------------------------------------------------

    def describe_stacks(self, params: Params, call: Call) -> Params:
        if params.get("StackName"):
            return {"Stacks": [stack_shape(self.records.shown(self._stack(params["StackName"])))]}
        page, token = page_of([stack_shape(self.records.shown(stack)) for stack in self.records.stacks()], params)
        return drop_empty({"Stacks": page, "NextToken": token}, "Stacks")

    def list_stacks(self, params: Params, call: Call) -> Params:
        wanted = params.get("StackStatusFilter") or []
        found = [stack for stack in self.records.stacks(deleted=True) if not wanted or stack.status in wanted]
        page, token = page_of([stack_summary(stack) for stack in found], params)
        return drop_empty({"StackSummaries": page, "NextToken": token}, "StackSummaries")

    def describe_stack_events(self, params: Params, call: Call) -> Params:
        stack = self._stack(params.get("StackName", ""))
        start = params.get("NextToken")
        if start is not None and not start.isdigit():
            raise AwsError("ValidationError", "Invalid NextToken")
        rows = self.records.events(stack.id, before=int(start) if start else None, limit=PAGE + 1)
        events = [{**document, "Timestamp": moment(document["Timestamp"])} for _, document in rows[:PAGE]]
        token = str(rows[PAGE - 1][0]) if len(rows) > PAGE else None
        return drop_empty({"StackEvents": events, "NextToken": token}, "StackEvents")

    def describe_stack_resource(self, params: Params, call: Call) -> Params:
        stack = self._stack(params["StackName"])
        found = self.records.resource(stack.id, params["LogicalResourceId"])
        if found is None:
            text = f"Resource {params['LogicalResourceId']} does not exist for stack {stack.name}"
            raise AwsError("ValidationError", text)
        shape = resource_shape(stack, found, "LastUpdatedTimestamp")
        shape["Metadata"] = json.dumps(found.metadata)
        return {"StackResourceDetail": shape}

    def describe_stack_resources(self, params: Params, call: Call) -> Params:
        name, physical = params.get("StackName"), params.get("PhysicalResourceId")
        if bool(name) == bool(physical):
            raise AwsError("ValidationError", "Exactly one of StackName and PhysicalResourceId must be specified")
        stack = self._stack(name) if name else self._owner(str(physical))
        wanted = params.get("LogicalResourceId")
        found = [item for item in self.records.resources(stack.id).values() if wanted in (None, item.logical_id)]
        if wanted and not found:
            raise AwsError("ValidationError", f"Resource {wanted} does not exist for stack {stack.name}")
        return {"StackResources": [resource_shape(stack, item, "Timestamp") for item in found]}

    def _owner(self, physical_id: str) -> Stack:
        for stack in self.records.stacks():
            if any(item.physical_id == physical_id for item in self.records.resources(stack.id).values()):
                return stack
        raise AwsError("ValidationError", f"Stack for {physical_id} does not exist")

    def list_stack_resources(self, params: Params, call: Call) -> Params:
        stack = self._stack(params["StackName"])
        found = self.records.resources(stack.id).values()
        page, token = page_of([resource_summary(item) for item in found], params)
        return drop_empty({"StackResourceSummaries": page, "NextToken": token}, "StackResourceSummaries")

    def get_template(self, params: Params, call: Call) -> Params:
        processed = params.get("TemplateStage") == "Processed"
        stages = ["Original", "Processed"]
        if params.get("ChangeSetName"):
            target = self._find_change_set(params).target
            body, template = target["body"], target["template"]
        else:
            if not params.get("StackName"):
                raise AwsError("ValidationError", "StackName must be specified")
            stack = self._stack(params["StackName"])
            body, template = stack.body, stack.template
            if stack.status == REVIEW:
                raise missing(params["StackName"])
        if processed and transforms.declared(parse(body)):
            body = json.dumps(template)
        return {"TemplateBody": body, "StagesAvailable": stages}

    def get_template_summary(self, params: Params, call: Call) -> Params:
        stack_name = params.get("StackName")
        body = self._stack(stack_name).body if stack_name else self.prepare.body(params)
        source = parse(body)
        sections.check(source)
        kinds = sorted(
            {str(item.get("Type")) for item in source.get("Resources", {}).values() if isinstance(item, dict)}
        )
        capabilities, reason = self._capabilities(source)
        return drop_empty({
            "Parameters": [declaration(name, item) for name, item in source.get("Parameters", {}).items()],
            "Description": source.get("Description"),
            "Capabilities": capabilities,
            "CapabilitiesReason": reason,
            "ResourceTypes": kinds,
            "Version": source.get("AWSTemplateFormatVersion"),
            "DeclaredTransforms": transforms.declared(source),
        }, "Parameters", "ResourceTypes")  # fmt: skip

    def _capabilities(self, source: Mapping[str, Any]) -> tuple[list[str], str]:
        found, reason = required_capabilities({"Resources": {
            name: item for name, item in source.get("Resources", {}).items() if isinstance(item, dict)}})  # fmt: skip
        if transforms.declared(source):
            found, reason = [*found, "CAPABILITY_AUTO_EXPAND"], reason or "The template uses transforms"
        return found, reason

    def validate_template(self, params: Params, call: Call) -> Params:
        body = self.prepare.body(params)
        source = parse(body)
        sections.check(source)
        if not transforms.declared(source):
            check.shape(source, body, self.prepare.carries)
        capabilities, reason = self._capabilities(source)
        declared = source.get("Parameters", {})
        return drop_empty({
            "Parameters": [brief_declaration(name, item) for name, item in declared.items()],
            "Description": source.get("Description"),
            "Capabilities": capabilities,
            "CapabilitiesReason": reason,
            "DeclaredTransforms": transforms.declared(source),
        }, "Parameters")  # fmt: skip

    def list_exports(self, params: Params, call: Call) -> Params:
        exported = exports(map(self.records.shown, self.records.stacks()))
        found = [{"ExportingStackId": stack.id, "Name": name, "Value": value}
                 for name, (stack, value) in sorted(exported.items())]  # fmt: skip
        page, token = page_of(found, params)
        return drop_empty({"Exports": page, "NextToken": token}, "Exports")

    def list_imports(self, params: Params, call: Call) -> Params:
        name = params["ExportName"]
        users = importers(self.records, name)
        if not users:
            raise AwsError("ValidationError", f"Export '{name}' is not imported by any stack.")
        page, token = page_of(users, params)
        return drop_empty({"Imports": page, "NextToken": token}, "Imports")

    # -- settings ------------------------------------------------------------------------------------------------------

    def set_stack_policy(self, params: Params, call: Call) -> Params:
        with self._lock:
            stack = self._stack(params["StackName"])
            self.records.save(replace(stack, policy=policy_body(params)))
        return {}

    def get_stack_policy(self, params: Params, call: Call) -> Params:
        policy = self._stack(params["StackName"]).policy
        return {"StackPolicyBody": policy} if policy else {}

    def update_termination_protection(self, params: Params, call: Call) -> Params:
        with self._lock:
            stack = self._stack(params["StackName"])
            self.records.save(replace(stack, protected=params["EnableTerminationProtection"]))
        return {"StackId": stack.id}


# --- refusals ---------------------------------------------------------------------------------------------------------


def _busy(stack: Stack, what: str) -> AwsError:
    return AwsError("ValidationError", f"Stack:{stack.id} is in {stack.status} state and can not be {what}.")


def _must_be_updatable(stack: Stack) -> None:
    if stack.status not in UPDATABLE:
        raise _busy(stack, "updated")


def _on_failure(params: Params) -> str:
    if "DisableRollback" in params and "OnFailure" in params:
        raise AwsError("ValidationError", "You can specify either DisableRollback or OnFailure, but not both.")
    if params.get("DisableRollback"):
        return "DO_NOTHING"
    return str(params.get("OnFailure", "ROLLBACK"))


def _after_change_set(params: Params, kind: str) -> str:
    wanted = str(params.get("OnStackFailure", "ROLLBACK"))
    if wanted == "DELETE" and kind != "CREATE":
        raise AwsError("ValidationError", "OnStackFailure DELETE can only be used with change sets of type CREATE.")
    return wanted


def operations(api: Api) -> dict[str, Any]:
    """Operation name of botocore's model -> function."""
    return {
        "CancelUpdateStack": api.cancel_update_stack,
        "ContinueUpdateRollback": api.continue_update_rollback,
        "CreateChangeSet": api.create_change_set,
        "CreateStack": api.create_stack,
        "DeleteChangeSet": api.delete_change_set,
        "DeleteStack": api.delete_stack,
        "DescribeChangeSet": api.describe_change_set,
        "DescribeStackEvents": api.describe_stack_events,
        "DescribeStackResource": api.describe_stack_resource,
        "DescribeStackResources": api.describe_stack_resources,
        "DescribeStacks": api.describe_stacks,
        "ExecuteChangeSet": api.execute_change_set,
        "GetStackPolicy": api.get_stack_policy,
        "GetTemplate": api.get_template,
        "GetTemplateSummary": api.get_template_summary,
        "ListChangeSets": api.list_change_sets,
        "ListExports": api.list_exports,
        "ListImports": api.list_imports,
        "ListStackResources": api.list_stack_resources,
        "ListStacks": api.list_stacks,
        "RollbackStack": api.rollback_stack,
        "SetStackPolicy": api.set_stack_policy,
        "UpdateStack": api.update_stack,
        "UpdateTerminationProtection": api.update_termination_protection,
        "ValidateTemplate": api.validate_template,
    }
