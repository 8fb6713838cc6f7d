"""Random programs of the Amazon States Language, for hypothesis: whole, runnable, and full of faults.

Every state's input is an object with a number `a` and a list `items` of such objects, so that each path that a program
names exists. Steps only go forward, so that each program ends. Everything that takes time takes a time of its own, so
that it is never open which of two failures comes first; an immediate failure waits a moment before.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Json = Any
Draw = Callable[[st.SearchStrategy[Any]], Any]

TASK = "arn:aws:states:::glue:startJobRun.sync"
ERRORS = ("Boom", "Bang", "States.TaskFailed", "Custom.Error")
DEPTH = 4


class Writer:
    """Writes one program: `draw` decides, `numbers` makes names and times unique."""

    def __init__(self, draw: Draw) -> None:
        self.draw, self.numbers = draw, itertools.count(1)
        self._times = random.Random(0)

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def maybe(self) -> bool:
        return bool(self.draw(st.booleans()))

    def seconds(self) -> int:
        """A time of its own: sums of a few of them do not meet either."""
        return self._times.randrange(1, 10**7)

    def machine(self, depth: int, scope: tuple[str, ...]) -> dict[str, Json]:
        """A chain of one to four states behind one that assigns the machine's own variable."""
        own = f"v{next(self.numbers)}"
        names = [f"S{next(self.numbers)}" for _ in range(self.draw(st.integers(1, 4)))]
        first = {"Type": "Pass", "Assign": {own: self.draw(st.integers(0, 9))}, "Next": names[0]}
        states: dict[str, Json] = {f"S{next(self.numbers)}": first}
        scope = (*scope, own)
        for index, name in enumerate(names):
            self.state(states, name, names[index + 1 :], depth, scope, own)
        return {"StartAt": next(iter(states)), "States": states}

    def state(
        self, states: dict[str, Json], name: str, later: list[str], depth: int, scope: tuple[str, ...], own: str
    ) -> None:
        kinds = ["Pass", "Task", "Task", "Wait"]
        kinds += ["Choice"] * 2 if later else ["Succeed", "Fail"]
        kinds += ["Parallel", "Map"] if depth < DEPTH else []
        kind = self.pick(*kinds)
        if kind == "Fail":  # not at once
            failing = f"{name}f"
            states[name] = {"Type": "Wait", "Seconds": self.seconds(), "Next": failing}
            states[failing] = {"Type": "Fail", "Error": self.pick(*ERRORS), "Cause": "meant"}
            return
        made: dict[str, Json] = {"Type": kind}
        if self.maybe():
            made["QueryLanguage"] = "JSONata"
        jsonata = "QueryLanguage" in made
        write = getattr(self, f"{'jsonata' if jsonata else 'path'}_{kind.lower()}")
        write(made, later, depth, scope)
        if kind not in ("Choice", "Succeed"):
            made |= {"Next": later[0]} if later else {"End": True}
            if self.maybe() and kind != "Fail":
                made["Assign"] = {own: "{% $states.input.a %}"} if jsonata else {f"{own}.$": f"${self.pick(*scope)}"}
        if kind in ("Task", "Parallel", "Map"):
            self.faults(made, later, own, jsonata=jsonata)
        states[name] = made

    def faults(self, made: dict[str, Json], later: list[str], own: str, *, jsonata: bool) -> None:
        if self.maybe():
            made["Retry"] = [self.retrier() for _ in range(self.draw(st.integers(1, 2)))]
        if later and self.maybe():
            catcher: dict[str, Json] = {"ErrorEquals": [self.pick(*ERRORS, "States.ALL")], "Next": self.pick(*later)}
            if jsonata:
                catcher["Output"] = "{% $merge([$states.input, {'err': $states.errorOutput.Error}]) %}"
                if self.maybe():
                    catcher["Assign"] = {own: "{% $states.errorOutput.Error %}"}
            else:
                catcher["ResultPath"] = self.pick("$.err", None)
            made["Catch"] = [catcher]

    def retrier(self) -> dict[str, Json]:
        retrier = {"ErrorEquals": [self.pick(*ERRORS, "States.Timeout")], "MaxAttempts": self.draw(st.integers(0, 2))}
        if self.maybe():
            retrier |= {"IntervalSeconds": self.draw(st.integers(1, 5)), "BackoffRate": self.pick(1.0, 2.0, 1.5)}
        return retrier

    def script(self) -> dict[str, Json]:
        ends = self.draw(st.lists(st.sampled_from(("ok", *ERRORS)), min_size=1, max_size=3))
        return {"seconds": self.seconds(), "ends": [*ends, "ok"] if self.maybe() else ends}

    # JSONPath ---------------------------------------------------------------------------------------------------------

    def path_pass(self, made: dict[str, Json], later: list[str], depth: int, scope: tuple[str, ...]) -> None:
        match self.pick("result", "parameters", "through"):
            case "result":
                made |= {"Result": {"b": self.draw(st.integers(0, 9))}, "ResultPath": self.pick("$.r", "$.q.s", None)}
            case "parameters":
                made["Parameters"] = {
                    "a.$": "$.a",
                    "items.$": "$.items",
                    "kept": {"v.$": f"${self.pick(*scope)}", "n": [1, None, "x"]},
                }
        if self.maybe():
            made.setdefault("ResultPath", "$.p")

    def path_wait(self, made: dict[str, Json], later: list[str], depth: int, scope: tuple[str, ...]) -> None:
        made["Seconds"] = self.seconds()

    def path_succeed(self, made: dict[str, Json], later: list[str], depth: int, scope: tuple[str, ...]) -> None:
        made["OutputPath"] = self.pick("$", "$.a", "$.items")

    def path_choice(self, made: dict[str, Json], later: list[str], depth: int, scope: tuple[str, ...]) -> None:
        rules = [self.rule(2) | {"Next": self.pick(*later)} for _ in range(self.draw(st.integers(1, 2)))]
        made |= {"Choices": rules, "Default": later[0]}

    def rule(self, depth: int) -> dict[str, Json]:
        match self.pick("compare", "present", *(("And", "Or", "Not") if depth else ())):
            case "compare":
                operator = self.pick("NumericEquals", "NumericGreaterThan", "NumericLessThanEquals")
                return {"Variable": "$.a", operator: self.draw(st.integers(0, 5))}
            case "present":
                return {"Variable": self.pick("$.r", "$.err", "$.a", "$.nope"), "IsPresent": self.maybe()}
            case "Not":
                return {"Not": self.rule(depth - 1)}
            case both:
                return {both: [self.rule(depth - 1), self.rule(depth - 1)]}

    def path_task(self, made: dict[str, Json], later: list[str], depth: int, scope: tuple[str, ...]) -> None:
        made |= {"Resource": TASK, "Parameters": {"a.$": "$.a", "script": self.script()}}
        if self.maybe():
            made["ResultSelector"] = {"a.$": "$.a", "items": [], "n.$": "$.tries"}
        made["ResultPath"] = self.pick("$", "$.r", None)
        self.limit(made, made["Parameters"]["script"])

    def limit(self, made: dict[str, Json], script: dict[str, Json]) -> None:
        if self.maybe():
            made["TimeoutSeconds"] = self.pick(script["seconds"] * 2, max(1, script["seconds"] // 2))

    def path_parallel(self, made: dict[str, Json], later: list[str], depth: int, scope: tuple[str, ...]) -> None:
        made |= {"Branches": self.branches(depth, scope), "ResultPath": "$.r"}

    def path_map(self, made: dict[str, Json], later: list[str], depth: int, scope: tuple[str, ...]) -> None:
        made |= {"ItemsPath": "$.items", "ItemProcessor": self.machine(depth + 1, scope), "ResultPath": "$.r"}
        made["MaxConcurrency"] = self.draw(st.integers(0, 2))

    def branches(self, depth: int, scope: tuple[str, ...]) -> list[Json]:
        return [self.machine(depth + 1, scope) for _ in range(self.draw(st.integers(1, 3)))]

    # JSONata ----------------------------------------------------------------------------------------------------------

    def jsonata_pass(self, made: dict[str, Json], later: list[str], depth: int, scope: tuple[str, ...]) -> None:
        if self.maybe():
            made["Output"] = {
                "a": f"{{% $states.input.a + {self.draw(st.integers(0, 3))} %}}",
                "items": "{% $states.input.items %}",
                "v": f"{{% ${self.pick(*scope)} %}}",
            }

    def jsonata_wait(self, made: dict[str, Json], later: list[str], depth: int, scope: tuple[str, ...]) -> None:
        made["Seconds"] = f"{{% $states.input.a + {self.seconds()} %}}"

    def jsonata_succeed(self, made: dict[str, Json], later: list[str], depth: int, scope: tuple[str, ...]) -> None:
        pass

    def jsonata_choice(self, made: dict[str, Json], later: list[str], depth: int, scope: tuple[str, ...]) -> None:
        condition = f"{{% $states.input.a > {self.draw(st.integers(0, 5))} %}}"
        made |= {"Choices": [{"Condition": condition, "Next": self.pick(*later)}], "Default": later[0]}

    def jsonata_task(self, made: dict[str, Json], later: list[str], depth: int, scope: tuple[str, ...]) -> None:
        made |= {"Resource": TASK, "Arguments": {"a": "{% $states.input.a %}", "script": self.script()}}
        if self.maybe():
            made["Output"] = "{% $merge([$states.input, {'r': $states.result}]) %}"
        self.limit(made, made["Arguments"]["script"])

    def jsonata_parallel(self, made: dict[str, Json], later: list[str], depth: int, scope: tuple[str, ...]) -> None:
        made |= {"Branches": self.branches(depth, scope)}
        made["Output"] = "{% $merge([$states.input, {'r': $states.result}]) %}"

    def jsonata_map(self, made: dict[str, Json], later: list[str], depth: int, scope: tuple[str, ...]) -> None:
        made |= {"Items": "{% $states.input.items %}", "ItemProcessor": self.machine(depth + 1, scope)}
        made["MaxConcurrency"] = self.draw(st.integers(0, 2))
        made["Output"] = "{% $merge([$states.input, {'r': $states.result}]) %}"


@st.composite
def programs(draw: Draw) -> tuple[dict[str, Json], Json]:
    """(definition, input)."""
    return Writer(draw).machine(1, ()), draw(inputs(3))


def inputs(depth: int) -> st.SearchStrategy[Json]:
    items = st.lists(inputs(depth - 1), max_size=3) if depth else st.just([])
    return st.fixed_dictionaries({"a": st.integers(0, 5), "items": items})
