"""JSONata: values, undefined and null, bounds, AWS's functions, and the fast path against the library."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from millpond.asl import apart, jsonata, paths
from millpond.asl.model import Json

SCOPE = paths.Values(
    input={"a": {"b": [1]}, "n": None, "l": [{"v": 1}, {"v": [2, 3]}], "with-dash": {"x": 7}, "f": False},
    context={"Execution": {"Name": "run"}},
    variables={"x": {"y": "z"}, "list": [1, 2]},
    result={"Id": 1},
)


def run(expression: str) -> Json:
    return jsonata.template(expression, "Output")(SCOPE)


FOUND: dict[str, Any] = {
    "{% $states.input.a.b %}": [1],
    "{% $states.input.n %}": None,
    "{% $states.input.f %}": False,
    "{% $states.input.`with-dash`.x %}": 7,
    "{% $states.input.l.v %}": [1, 2, 3],
    "{% $states.context.Execution.Name %}": "run",
    "{% $states.result.Id + 1 %}": 2,
    "{% $x.y & '!' %}": "z!",
    "{% $list %}": [1, 2],
    "{% $sum($list) %}": 3,
    "{% $partition([1..5], 2) %}": [[1, 2], [3, 4], [5]],
    "{% $range(1, 10, 4) %}": [1, 5, 9],
    "{% $hash('a', 'MD5') %}": "0cc175b9c0f1b6a831c399e269772661",
    "{% $parse('[1,null]') %}": [1, None],
    "{% $random(42) %}": 0.7275636800328681,
    " {% 1 %}": " {% 1 %}",
    "{%1%}": 1,
}


@pytest.mark.parametrize("expression", FOUND)
def test_value(expression: str) -> None:
    assert run(expression) == FOUND[expression]


@pytest.mark.parametrize("expression", ["$states.input.nope", "$states.input.a.nope.c", "$nope", "$states.errorOutput"])
def test_undefined_is_an_error(expression: str) -> None:
    with pytest.raises(paths.EvaluationError) as caught:
        jsonata.template({"x": ["{% " + expression + " %}"]}, "Output")(SCOPE)
    assert caught.value.error == "States.QueryEvaluationError"
    assert caught.value.location == "Output/x[0]"
    assert caught.value.cause == (
        f"The JSONata expression '{expression}' specified for the field 'Output/x[0]' returned nothing (undefined)."
    )


@pytest.mark.parametrize("expression", ["$eval('1')", "$nope()", "1 + 'a'", "$parse('{')", "$partition([1], 0)"])
def test_evaluation_error(expression: str) -> None:
    with pytest.raises(paths.EvaluationError, match="threw an error during evaluation"):
        run("{% " + expression + " %}")


@pytest.mark.parametrize("expression", ["$sum", "$f := function($x){$x}"])
def test_a_function_is_no_result(expression: str) -> None:
    with pytest.raises(paths.EvaluationError, match="returned an unsupported result type"):
        run("{% " + expression + " %}")


@pytest.mark.parametrize(
    "expression", ["($f := function($x){$f($x)}; $f(1))", "($f := function($x){$f($x) + 1}; $f(1))"]
)
def test_what_never_ends_is_ended(expression: str) -> None:
    with pytest.raises(paths.EvaluationError, match="threw an error"):
        run("{% " + expression + " %}")


@pytest.mark.parametrize(
    "expression",
    [
        "$reduce([1..200], function($a, $b){$a & $a}, 'x')",  # doubles a string
        "$length($pad('x', 1000000000))",
        "$length($formatInteger(10000000000, 'I'))",  # overflows the library's stack
        "$map([1..1000000], function($x){$map([1..1000], function($y){$x * $y})})",
    ],
)
def test_what_explodes_harms_nobody(expression: str) -> None:
    with pytest.raises(paths.EvaluationError, match=r"threw an error during evaluation\. (U1001|D1001)"):
        run("{% " + expression + " %}")
    assert run("{% ($a := 1; $a + 1) %}") == 2


def test_a_long_chain_does_not_end_the_process() -> None:
    with pytest.raises(paths.PathSyntaxError, match="cannot be parsed"):
        jsonata.template("{% " + "+".join(["1"] * 450_000) + " %}", "Output")
    assert run("{% " + "+".join(["1"] * 3_000) + " %}") == 3_000


TAME = (
    "$states.input.a + 1",
    "$states.input.a.b & '-' & $uuid()",
    "$map($states.input.items, function($v, $i) { {'id': $v.id, 'n': $i} })",
    "$count($states.input.items[price > 10 and $contains(name, 'x')])",
    "$states.input.a / 2 > $x.y ? [1..10] : $parse($states.result.Body)",
    "$states.input.items ~> $filter(function($v) { $v.ok })",
)
WILD = (
    "($a := 1; $a)",
    "[1..1000000]",
    "$reduce($x, function($a, $b) { $a + $b })",
    "$f(1)",
    "(function($f) { $f($f) })(function($f) { $f($f) })",
    "$match($x, /a/)",
    "$map($x, $pad)",
    "$map($x, function($v) { $map($x, function($w) { $v & $w }) })",
    "$x.($x.($ & $))",
    "/a/",
)


@pytest.mark.parametrize(("expression", "wild"), [*((text, False) for text in TAME), *((text, True) for text in WILD)])
def test_which_expressions_are_evaluated_apart(expression: str, wild: bool) -> None:
    assert apart.is_wild(expression) is wild


@pytest.mark.parametrize("wild", ["$pad('x', 1)", "$uppercase('x')"])
def test_what_the_library_cannot_take(wild: str) -> None:
    scope = paths.Values(input={"big": 10**30, "half": "a\ud83d"})
    both = "[$states.input.big, $states.input.half & ''" + f", {wild}]"
    big, half, _ = jsonata.expression("{% " + both + " %}", "Output")(scope)  # type: ignore[misc]
    assert (big, half) == (1e30, "a\ufffd")
    assert jsonata.expression("{% $states.input.big %}", "Output")(scope) == 10**30


def test_a_worker_that_cannot_start_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_pool", apart._Pool())
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(paths.EvaluationError, match="the process for expressions ended with 1 before it began"):
        run("{% ($w := 1; $w) %}")


def test_random_numbers_come_from_the_scope() -> None:
    class Scope(paths.Values):
        def random(self) -> float:
            return 0.25

    assert jsonata.expression("{% $random() %}", "Output")(Scope()) == 0.25
    apart_, again = (jsonata.expression("{% ($r := $random(); $r) %}", "Output")(Scope()) for _ in range(2))
    assert apart_ == again


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$millis()", 1_000_000),
        ("$now()", "1970-01-01T00:16:40.000Z"),
        ("$now('[Y] [z]', '+0200')", "1970 GMT+02:00"),
        ("$toMillis($now()) - $millis()", 0),
    ],
)
def test_the_time_is_the_scopes(expression: str, value: Json) -> None:
    class Scope(paths.Values):
        def now(self) -> float:
            return 1_000.0

    assert jsonata.expression("{% " + expression + " %}", "Output")(Scope()) == value
    assert jsonata.expression("{% ($w := " + expression + "; $w) %}", "Output")(Scope()) == value


CASES = Path(__file__).parents[2] / "cases" / "asl" / "jsonata.txt"
LINES = CASES.read_text().splitlines()
INPUT = next(json.loads(line.removeprefix("# input: ")) for line in LINES if line.startswith("# input: "))


@pytest.mark.parametrize("line", [line for line in LINES if not line.startswith("# ")])
def test_as_the_reference_implementation(line: str) -> None:
    expression, fails, expected = re.fullmatch(r"(.*?) =([>!]) (.*)", line).groups()  # type: ignore[union-attr]
    try:
        value = jsonata.expression("{% " + expression + " %}", "Output")(paths.Values(input=INPUT))
    except (paths.EvaluationError, paths.PathSyntaxError) as error:
        assert (fails, str(error)[-len(expected) :]) == ("!", expected)
    else:
        assert (fails, value) == (">", json.loads(expected))


def test_a_time_without_a_zone_is_utc_wherever_the_laptop_is() -> None:
    times = ["1970-01-01T00:00:01", "1970-01-01T00:00:02.5Z", "1970-01-01T01:00:03+01:00", "1970-01-01"]
    expressions = [*(f'$toMillis("{one}")' for one in times), f"$map({json.dumps(times)}, $toMillis)"]
    code = f"""if True:
        import json
        from millpond.asl import jsonata, paths
        scope = paths.Values()
        print(json.dumps([jsonata.expression("{{%" + one + "%}}", "x")(scope) for one in {expressions!r}]))"""
    env = {**os.environ, "TZ": "Pacific/Auckland"}
    answer = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True).stdout
    assert json.loads(answer) == [1000, 2500, 3000, 0, [1000, 2500, 3000, 0]]


@pytest.mark.parametrize("expression", ["{% ( %}", "{% %}", "{% 1 + %}"])
def test_syntax(expression: str) -> None:
    with pytest.raises(paths.PathSyntaxError):
        jsonata.template(expression, "Output")


def test_typed() -> None:
    assert jsonata.typed("{% $list %}", "Items", "array")(SCOPE) == [1, 2]
    with pytest.raises(paths.EvaluationError) as caught:
        jsonata.typed("{% $x %}", "Items", "array")(SCOPE)
    assert caught.value.cause == (
        "The JSONata expression '$x' specified for the field 'Items' returned an unexpected result type. "
        "Expected 'array', but was 'object' for value: {\"y\":\"z\"}"
    )


@pytest.mark.parametrize(
    "path", ["$states.input.a", "$states.input.l", "$states.input.a.b", "$x.y", "$states.input.l.v"]
)
def test_plain_paths_agree_with_the_library(path: str) -> None:
    plain, general = jsonata._plain(path), jsonata._general(path)
    assert plain is not None and plain(SCOPE) == general(SCOPE)


def test_only_what_is_mentioned_is_handed_over() -> None:
    # A value that the library cannot take proves that it never got there.
    scope = paths.Values(input={"a": 1, "b": object()}, variables={"unused": object()})  # type: ignore[dict-item]
    assert jsonata.template("{% $states.input.a + 1 %}", "Output")(scope) == 2


def test_from_many_threads() -> None:
    compiled, results = jsonata.template("{% $sum($list) + $count($states.input.l) %}", "Output"), []
    threads = [threading.Thread(target=lambda: results.append(compiled(SCOPE))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [5] * 8


@pytest.mark.parametrize("expression", ["{% $states %}", "{% $lookup($states, 'input') %}", "{% $merge([$states]) %}"])
def test_states_itself_has_the_whole_input(expression: str) -> None:
    value = jsonata.template(expression, "Output")(SCOPE)
    assert isinstance(value, dict)
    assert value.get("input", value) == SCOPE.input
