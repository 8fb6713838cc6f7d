"""Ready-made states for explicit flows: run a job, crawl and wait, query, process, invoke, publish.

Each returns one `asl` state in JSONata whose `Comment` is the caller's line (`pipeline.py:50`), which is how a failed
run finds its way back to the source. `sequence` links states in the order they are written; `caught` adds one Catch to
all of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from millpond import asl
from millpond.resources.athena import WorkGroup
from millpond.resources.glue import Crawler, Job
from millpond.resources.lambda_ import Function
from millpond.resources.sns import Topic

RETRY_SERVICE = asl.Retrier(
    error_equals=("Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException"),
    interval_seconds=2,
    max_attempts=4,
)


def _line() -> str:
    """`pipeline.py:50`: the line that called the block."""
    frame = sys._getframe(2)
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _or_empty(path: str) -> str:
    """JSONata for a value that may be missing: an undefined expression would fail the state."""
    return f"{{% $exists({path}) ? {path} : '' %}}"


def run(
    job: Job | str,
    arguments: Mapping[str, Any] | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    **fields: Any,
) -> asl.Task:
    """Run a Glue job and wait for it (`glue:startJobRun.sync`). `job` and the `arguments` may be JSONata.

    `parameters` are further ones of StartJobRun, such as `{"Timeout": 10}` (minutes).
    """
    call: dict[str, Any] = {"JobName": str(job), **(parameters or {})}
    if arguments:
        call["Arguments"] = dict(arguments)
    return asl.Task(
        resource="arn:aws:states:::glue:startJobRun.sync",
        arguments=call,
        query_language="JSONata",
        comment=_line(),
        **fields,
    )


def crawl(crawler: Crawler | str, *, longest_wait: int = 20) -> asl.Parallel:
    """Run a crawler and wait until it is done; joins a crawl that is already running; fails when the crawl failed.
    `crawler` may be the name of one that the project does not declare.

    Glue has no `.sync` for crawlers: this asks GetCrawler after 1, 2, 4, ... seconds, at most `longest_wait`. A look
    costs 9 of the 25,000 events of an execution: a crawl of ten minutes takes about 300.
    """
    line = _line()
    name: asl.Json = {"Name": str(crawler)}
    called = crawler if isinstance(crawler, str) else crawler.name
    # State names are unique in the whole machine, nested ones too.
    start, look, ready, wait, done, failed = (
        f"{word} crawler {called}" for word in ("Start", "Look at", "Ready?", "Wait for", "Done:", "Failed:")
    )
    states: dict[str, asl.State] = {
        start: asl.Task(
            resource="arn:aws:states:::aws-sdk:glue:startCrawler",
            arguments=name,
            assign={"pause": 1},
            catch=(asl.Catcher(error_equals=("Glue.CrawlerRunningException",), next=look, assign={"pause": 1}),),
            next=look,
        ),
        look: asl.Task(
            resource="arn:aws:states:::aws-sdk:glue:getCrawler",
            arguments=name,
            output={
                "state": "{% $states.result.Crawler.State %}",
                "status": _or_empty("$states.result.Crawler.LastCrawl.Status"),
                "why": _or_empty("$states.result.Crawler.LastCrawl.ErrorMessage"),
            },
            next=ready,
        ),
        ready: asl.Choice(
            rules=(
                asl.Rule(condition="{% $states.input.state != 'READY' %}", next=wait),
                asl.Rule(condition="{% $states.input.status = 'SUCCEEDED' %}", next=done),
            ),
            default=failed,
        ),
        wait: asl.Wait(
            seconds="{% $pause %}", assign={"pause": f"{{% $min([$pause * 2, {longest_wait}]) %}}"}, next=look
        ),
        done: asl.Succeed(),
        failed: asl.Fail(
            error="Glue.CrawlFailed", cause="{% 'the crawl ended ' & $states.input.status & ': ' & $states.input.why %}"
        ),
    }
    states = {key: replace(state, comment=line) for key, state in states.items()}
    machine = asl.Machine(start_at=start, states=states, query_language="JSONata")
    return asl.Parallel(branches=(machine,), query_language="JSONata", comment=line)


def query(workgroup: WorkGroup, sql: str, **fields: Any) -> asl.Task:
    """Run an Athena query and wait for it (`athena:startQueryExecution.sync`)."""
    return asl.Task(
        resource="arn:aws:states:::athena:startQueryExecution.sync",
        arguments={"QueryString": sql, "WorkGroup": workgroup.ref},
        query_language="JSONata",
        comment=_line(),
        **fields,
    )


def process(arguments: Mapping[str, Any], **fields: Any) -> asl.Task:
    """Run a SageMaker processing job and wait for it; `arguments` are CreateProcessingJob's."""
    return asl.Task(
        resource="arn:aws:states:::sagemaker:createProcessingJob.sync",
        arguments=dict(arguments),
        query_language="JSONata",
        comment=_line(),
        **fields,
    )


def invoke(function: Function, payload: Any, **fields: Any) -> asl.Task:
    """Invoke a Lambda function; the output is what it returned unless `output` says otherwise."""
    fields.setdefault("output", "{% $states.result.Payload %}")
    return asl.Task(
        resource="arn:aws:states:::lambda:invoke",
        arguments={"FunctionName": function.ref, "Payload": payload},
        query_language="JSONata",
        retry=(RETRY_SERVICE,),
        comment=_line(),
        **fields,
    )


def publish(topic: Topic, *, subject: str, message: str, **fields: Any) -> asl.Task:
    """Publish to an SNS topic. `subject` (at most 100 characters) and `message` may be JSONata."""
    return asl.Task(
        resource="arn:aws:states:::sns:publish",
        arguments={"TopicArn": topic.ref, "Subject": subject, "Message": message},
        query_language="JSONata",
        comment=_line(),
        **fields,
    )


def call(action: str, arguments: Mapping[str, Any], **fields: Any) -> asl.Task:
    """Any operation of any AWS service: `call("s3:getObject", {...})`, through `aws-sdk`."""
    return asl.Task(
        resource=f"arn:aws:states:::aws-sdk:{action}",
        arguments=dict(arguments),
        query_language="JSONata",
        comment=_line(),
        **fields,
    )


def each(items: Any, body: Mapping[str, asl.State], *, concurrency: int = 0, **fields: Any) -> asl.Map:
    """A Map over `items` (an array or JSONata); `body` is a sequence of states.

    AWS takes no QueryLanguage in an ItemProcessor: the states say it themselves.
    """
    linked = {
        name: replace(state, query_language=state.query_language or "JSONata") for name, state in sequence(body).items()
    }
    return asl.Map(
        items=items,
        processor=asl.Machine(start_at=next(iter(linked)), states=linked),
        max_concurrency=concurrency or None,
        query_language="JSONata",
        comment=_line(),
        **fields,
    )


def noted(name: str, state: asl.Task | asl.Parallel, *, next: str) -> asl.Task | asl.Parallel:
    """Go on to `next` however a job (`run`) or crawler (`crawl`) ends. The flow's data say how, under `name`:
    SUCCEEDED, FAILED, TIMEOUT, STOPPED, CANCELLED, or ERROR when it could not be started."""

    def data(end: str) -> str:
        return f"{{% $merge([$states.input, {{{json.dumps(name)}: {end}}}]) %}}"

    cause = "$states.errorOutput.Cause"
    end = "'ERROR'"
    for state_name in ("FAILED", "TIMEOUT", "STOPPED", "CANCELLED"):
        said = (
            f"$contains({cause}, '\"JobRunState\":\"{state_name}\"') or $contains({cause}, 'crawl ended {state_name}')"
        )
        end = f"{said} ? '{state_name}' : ({end})"
    catch = asl.Catcher(error_equals=("States.ALL",), next=next, output=data(end))
    return replace(state, output=data("'SUCCEEDED'"), catch=(*state.catch, catch), next=next)


def all_of(*ends: tuple[str, str]) -> str:
    """A condition for `when`: all of these (name, end) are in the flow's data, as `noted` put them there."""
    return " and ".join(_ended(name, end) for name, end in ends)


def any_of(*ends: tuple[str, str]) -> str:
    """A condition for `when`: at least one of these (name, end) is in the flow's data."""
    return " or ".join(_ended(name, end) for name, end in ends)


def failed(*names: str) -> str:
    """A condition for `when`: one of these ran and did not end SUCCEEDED."""
    return " or ".join(f"$lookup($states.input, {json.dumps(name)}) != 'SUCCEEDED'" for name in names)


def _ended(name: str, end: str) -> str:
    return f"$lookup($states.input, {json.dumps(name)}) = {json.dumps(end)}"


def when(*conditions: str, then: str, otherwise: str) -> asl.Choice:
    """Go to `then` when one of the conditions holds (JSONata without its braces: `all_of(...)`), else `otherwise`."""
    return asl.Choice(
        rules=tuple(asl.Rule(condition=f"{{% {condition} %}}", next=then) for condition in conditions),
        default=otherwise,
        query_language="JSONata",
        comment=_line(),
    )


def together(*branches: Mapping[str, asl.State], **fields: Any) -> asl.Parallel:
    """Run sequences of states side by side; what each adds to the flow's data (an object) is there afterwards."""
    made = []
    for branch in branches:
        linked = {
            name: replace(state, query_language=state.query_language or "JSONata")
            for name, state in sequence(branch).items()
        }
        made.append(asl.Machine(start_at=next(iter(linked)), states=linked))
    return asl.Parallel(
        branches=tuple(made),
        output="{% $merge($append($states.input, $states.result)) %}",
        query_language="JSONata",
        comment=_line(),
        **fields,
    )


def sequence(states: Mapping[str, asl.State]) -> dict[str, asl.State]:
    """Link states in the order they are written: those without a `next` go to the one that follows."""
    names = list(states)
    linked: dict[str, asl.State] = {}
    for state_name, following in zip(names, [*names[1:], None], strict=True):
        state = states[state_name]
        if not isinstance(state, asl.Choice | asl.Succeed | asl.Fail) and state.next is None:
            state = replace(state, next=following)
        linked[state_name] = state
    return linked


def caught(states: Mapping[str, asl.State], *, by: str) -> dict[str, asl.State]:
    """Send every error of every Task, Map and Parallel to the state `by`, which finds it in the variable `$failure`.

    For a flow or for what is in it, not for both: AWS takes no variable of the same name in an inner scope.
    """
    catcher = asl.Catcher(
        error_equals=("States.ALL",),
        next=by,
        assign={
            "failure": {
                "step": "{% $states.context.State.Name %}",
                "error": _or_empty("$states.errorOutput.Error"),
                "cause": _or_empty("$states.errorOutput.Cause"),
            }
        },
    )
    return {
        name: replace(state, catch=(*state.catch, catcher))
        if isinstance(state, asl.Task | asl.Map | asl.Parallel)
        else state
        for name, state in states.items()
    }
