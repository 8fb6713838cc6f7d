"""A reference interpreter of the Amazon States Language: written to be obviously right, not to be fast.

It shares nothing with the engine but the JSON of the definition. It knows no events, no frames and no store: a state is
a function from (input, variables, time) to an end, and time is a number that is handed along. Branches and items are
evaluated one after the other, each from the time at which it starts; the first failure in time is the one that counts.

What it covers is what `programs.py` writes: all state types but distributed Maps; reference paths, payload templates,
`States.Format`-free JSONPath; JSONata of the shapes below; Retry, Catch, Assign, timeouts. A task's own definition says
how it behaves: `{"script": {"seconds": 7, "ends": ["Boom", "ok"]}, ...}` fails once and then succeeds.
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass
from typing import Any

Json = Any
Variables = dict[str, Json]
YEAR = 31_622_400.0
"""Seconds that an execution may take ("Step Functions service quotas")."""
TIMED_OUT = ("TIMED_OUT", None, None)


@dataclass
class Failed(Exception):
    """A state, or a whole machine, failed: error name, and when."""

    error: str
    at: float


# ------------------------------------------------------------------------------------------------------------ machines


def execute(definition: dict[str, Json], value: Json) -> tuple[str, Json, str | None]:
    """(status, output, error) of an execution that starts at time 0."""
    try:
        output, end = machine(definition, value, {}, 0.0)
    except Failed as failure:
        return ("FAILED", None, failure.error) if failure.at <= YEAR else TIMED_OUT
    return ("SUCCEEDED", output, None) if end <= YEAR else TIMED_OUT


def machine(definition: dict[str, Json], value: Json, variables: Variables, now: float) -> tuple[Json, float]:
    """Run a machine, a branch or an item processor: its output, and when it ends. Raises Failed."""
    name, variables = definition["StartAt"], dict(variables)
    while True:
        value, name, now = attempt_until_settled(State(definition["States"][name]), value, variables, now)
        if name is None:
            return value, now


class State:
    """A state's fields, with its query language."""

    def __init__(self, fields: dict[str, Json]) -> None:
        self.fields, self.type = fields, fields["Type"]
        self.jsonata = fields.get("QueryLanguage") == "JSONata"

    def get(self, name: str, default: Json = None) -> Json:
        return self.fields.get(name, default)


def attempt_until_settled(state: State, raw: Json, variables: Variables, now: float) -> tuple[Json, str | None, float]:
    """Run one state: again while a retrier says so, then let a catcher have the failure."""
    used: dict[int, int] = {}
    tries = 0
    while True:
        try:
            return once(state, raw, variables, now, tries)
        except Failed as failure:
            now = failure.at
            delay = retry_delay(state.get("Retry", []), failure.error, used)
            if delay is None:
                return caught(state, raw, variables, failure)
            now, tries = now + delay, tries + 1


def retry_delay(retriers: list[dict[str, Json]], error: str, used: dict[int, int]) -> float | None:
    """How long to wait before the next attempt; None: there is none. Only the first retrier that matches counts."""
    for index, retrier in enumerate(retriers):
        if matches(retrier["ErrorEquals"], error):
            count = used.get(index, 0)
            if count >= retrier.get("MaxAttempts", 3):
                return None
            used[index] = count + 1
            return float(retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** count)
    return None


def matches(names: list[str], error: str) -> bool:
    if error in names or "States.ALL" in names:
        return True
    return "States.TaskFailed" in names and error != "States.Timeout"


def caught(state: State, raw: Json, variables: Variables, failure: Failed) -> tuple[Json, str | None, float]:
    for catcher in state.get("Catch", []):
        if matches(catcher["ErrorEquals"], failure.error):
            told = {"Error": failure.error, "Cause": "?"}
            if state.jsonata:
                scope = {"input": raw, "errorOutput": told}
                assign(catcher, scope, variables, jsonata=True)
                output = evaluate(catcher["Output"], scope, variables) if "Output" in catcher else told
            else:
                assign(catcher, told, variables, jsonata=False)
                output = put(raw, catcher.get("ResultPath", "$"), told)
            return output, catcher["Next"], failure.at
    raise failure


# -------------------------------------------------------------------------------------------------------------- states


def once(state: State, raw: Json, variables: Variables, now: float, tries: int) -> tuple[Json, str | None, float]:
    """One attempt of a state: output, next state (None: the end), time."""
    way = state.get("Next")
    value = raw if state.jsonata else fetch(state.get("InputPath", "$"), raw, variables)
    match state.type:
        case "Fail":
            raise Failed(state.get("Error"), now)
        case "Succeed":
            return (raw if state.jsonata else fetch(state.get("OutputPath", "$"), value, variables)), None, now
        case "Choice":
            chosen = (rule["Next"] for rule in state.get("Choices") if holds(state, rule, value, variables))
            return raw, next(chosen, state.get("Default")), now
    result, now = work(state, value, variables, now, tries)
    if state.jsonata:
        scope = {"input": raw, "result": result}
        default = raw if state.type in ("Wait", "Pass") else result
        output = default if state.get("Output") is None else evaluate(state.get("Output"), scope, variables)
        assign(state.fields, scope, variables, jsonata=True)
        return output, way, now
    if state.type == "Wait":
        assign(state.fields, value, variables, jsonata=False)
        return value, way, now
    if state.get("ResultSelector") is not None:
        result = template(state.get("ResultSelector"), result, variables)
    assign(state.fields, result, variables, jsonata=False)
    output = put(raw, state.get("ResultPath", "$"), result)
    return fetch(state.get("OutputPath", "$"), output, variables), way, now


def work(state: State, value: Json, variables: Variables, now: float, tries: int) -> tuple[Json, float]:
    """What a state does before its output is shaped: its result, and when it is there."""
    match state.type:
        case "Wait":
            seconds = state.get("Seconds")
            return None, now + (evaluate(seconds, {"input": value}, variables) if state.jsonata else seconds)
        case "Pass":
            return pass_result(state, value, variables), now
        case "Task":
            return task(state, value, variables, now, tries)
        case "Parallel":
            return parallel(state, arguments(state, value, variables), variables, now)
        case "Map":
            return map_items(state, value, variables, now)
    raise NotImplementedError(state.type)


def pass_result(state: State, value: Json, variables: Variables) -> Json:
    if state.jsonata:
        return None
    if state.get("Result") is not None:
        return state.get("Result")
    return template(state.get("Parameters"), value, variables) if state.get("Parameters") is not None else value


def arguments(state: State, value: Json, variables: Variables) -> Json:
    """What a Task or a Parallel hands on."""
    if state.jsonata:
        given = state.get("Arguments")
        return value if given is None else evaluate(given, {"input": value}, variables)
    given = state.get("Parameters")
    return value if given is None else template(given, value, variables)


def task(state: State, value: Json, variables: Variables, now: float, tries: int) -> tuple[Json, float]:
    given = arguments(state, value, variables)
    script = given["script"]
    limit = state.get("TimeoutSeconds")
    if limit is not None and limit < script["seconds"]:
        raise Failed("States.Timeout", now + limit)
    end = script["ends"][min(tries, len(script["ends"]) - 1)]
    if end != "ok":
        raise Failed(end, now + script["seconds"])
    return {"a": given["a"] + 1, "items": [], "tries": tries}, now + script["seconds"]


def parallel(state: State, value: Json, variables: Variables, now: float) -> tuple[Json, float]:
    outputs, failures, ends = [], [], [now]
    for branch in state.get("Branches"):
        try:
            output, end = machine(branch, value, variables, now)
            outputs.append(output)
            ends.append(end)
        except Failed as failure:
            failures.append(failure)
    if failures:
        raise min(failures, key=lambda failure: failure.at)
    return outputs, max(ends)


def map_items(state: State, value: Json, variables: Variables, now: float) -> tuple[Json, float]:
    """Items start in order, as soon as fewer than MaxConcurrency run; the first failure in time ends the Map."""
    if state.jsonata:
        items = evaluate(state.get("Items"), {"input": value}, variables)
    else:
        items = fetch(state.get("ItemsPath", "$"), value, variables)
    limit = state.get("MaxConcurrency", 0) or len(items)
    running: list[float] = []  # when those that run end
    failures: list[Failed] = []
    outputs = []
    last = now
    for item in items:
        start = now if len(running) < limit else heapq.heappop(running)
        if failures and min(failure.at for failure in failures) < start:
            break
        try:
            output, end = machine(state.get("ItemProcessor"), item, variables, start)
            outputs.append(output)
        except Failed as failure:
            failures.append(failure)
            end = failure.at
        heapq.heappush(running, end)
        last = max(last, end)
    if failures:
        raise min(failures, key=lambda failure: failure.at)
    return outputs, last


# -------------------------------------------------------------------------------------------------------------- choice


def holds(state: State, rule: dict[str, Json], value: Json, variables: Variables) -> bool:
    if state.jsonata:
        return bool(evaluate(rule["Condition"], {"input": value}, variables))
    if "And" in rule:
        return all(holds(state, part, value, variables) for part in rule["And"])
    if "Or" in rule:
        return any(holds(state, part, value, variables) for part in rule["Or"])
    if "Not" in rule:
        return not holds(state, rule["Not"], value, variables)
    if "IsPresent" in rule:
        return present(rule["Variable"], value, variables) == rule["IsPresent"]
    found = fetch(rule["Variable"], value, variables)
    for operator, test in (
        ("NumericEquals", lambda a, b: a == b),
        ("NumericGreaterThan", lambda a, b: a > b),
        ("NumericLessThanEquals", lambda a, b: a <= b),
    ):
        if operator in rule:
            return isinstance(found, (int, float)) and test(found, rule[operator])
    raise NotImplementedError(rule)


# ------------------------------------------------------------------------------------------------- paths and templates


def fetch(path: str | None, value: Json, variables: Variables) -> Json:
    """`$.a.b`, `$name`, `$name.a`; null is the empty object."""
    if path is None:
        return {}
    root, *fields = path.split(".")
    found = value if root == "$" else variables[root[1:]]
    for field in fields:
        found = found[field]
    return found


def present(path: str, value: Json, variables: Variables) -> bool:
    try:
        fetch(path, value, variables)
    except (KeyError, TypeError):
        return False
    return True


def put(raw: Json, path: str | None, result: Json) -> Json:
    """ResultPath: the input with the result at that place; null: the input alone."""
    if path is None:
        return raw
    _, *fields = path.split(".")
    if not fields:
        return result
    inner = raw.get(fields[0], {}) if isinstance(raw, dict) else {}
    return {**raw, fields[0]: put(inner if isinstance(inner, dict) else {}, ".".join(["$", *fields[1:]]), result)}


def template(given: Json, value: Json, variables: Variables) -> Json:
    if isinstance(given, dict):
        return {
            name.removesuffix(".$"): fetch(part, value, variables)
            if name.endswith(".$")
            else template(part, value, variables)
            for name, part in given.items()
        }
    return [template(part, value, variables) for part in given] if isinstance(given, list) else given


def assign(fields: dict[str, Json], scope: Json, variables: Variables, *, jsonata: bool) -> None:
    """All values are evaluated with the variables as they were, then set at once."""
    given = fields.get("Assign", {})
    variables.update(evaluate(given, scope, variables) if jsonata else template(given, scope, variables))


def evaluate(given: Json, scope: dict[str, Json], variables: Variables) -> Json:
    """JSONata of four shapes: `{% path %}`, `{% path + 3 %}`, `{% path > 3 %}`, `{% $merge([path, {'name': path}]) %}`,
    where a path is `$states.input.a`, `$states.result`, `$states.errorOutput.Error` or `$name`."""
    if isinstance(given, dict):
        return {name: evaluate(part, scope, variables) for name, part in given.items()}
    if isinstance(given, list):
        return [evaluate(part, scope, variables) for part in given]
    if not (isinstance(given, str) and given.startswith("{%")):
        return given
    return expression(given.removeprefix("{%").removesuffix("%}").strip(), scope, variables)


def expression(text: str, scope: dict[str, Json], variables: Variables) -> Json:
    if merged := re.fullmatch(r"\$merge\(\[(\S+), \{'(\w+)': (\S+)\}\]\)", text):
        return {**query(merged[1], scope, variables), merged[2]: query(merged[3], scope, variables)}
    if sum_ := re.fullmatch(r"(\S+) \+ (\d+)", text):
        return query(sum_[1], scope, variables) + int(sum_[2])
    if compared := re.fullmatch(r"(\S+) > (\d+)", text):
        return query(compared[1], scope, variables) > int(compared[2])
    return query(text, scope, variables)


def query(path: str, scope: dict[str, Json], variables: Variables) -> Json:
    root, *fields = path.split(".")
    found = scope if root == "$states" else variables[root[1:]]
    for field in fields:
        found = found[field]
    return found
