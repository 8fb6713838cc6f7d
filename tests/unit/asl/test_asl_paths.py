"""JSONPath, payload templates, result paths, intrinsic functions."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from millpond.asl import intrinsics, paths
from millpond.asl.model import Json

CASES = Path(__file__).parents[3].parent / "shared" / "cases" / "asl"
DOCUMENT: Json = {"a": {"b": [1, 2, {"c": None}]}, "with-dash": 1, "quoted name": 2, "s": "text", "empty": []}
DOCUMENT.update({"@at": 3, "ns:tag": {"#text": 4}, "words": ["x", "two"]})  # type: ignore[union-attr]
SCOPE = paths.Values(input=DOCUMENT, context={"Execution": {"Name": "run"}}, variables={"x": {"y": [5]}})

FOUND = {
    "$": DOCUMENT,
    "$$.Execution.Name": "run",
    "$x.y[0]": 5,
    "$.a.b[2].c": None,
    "$.a['b'][-1]": {"c": None},
    "$.with-dash": 1,
    '$["quoted name"]': 2,
    "$.a.b[*]": [1, 2, {"c": None}],
    "$.a.b[0:2]": [1, 2],
    "$..c": [None],
    "$.nope[*]": [],
    "$.s[*]": [],
    "$.a.b[?(@.c == null)]": [{"c": None}],
    "$.a.b.length()": 3,
    "$.@at": 3,
    "$.ns:tag.#text": 4,
    "$.a.b[?(@ nin [1, 3])]": [2, {"c": None}],
    "$.words[?(@.length() > 1)]": ["two"],
}


@pytest.mark.parametrize("path", FOUND)
def test_path(path: str) -> None:
    assert paths.path(path)(SCOPE) == FOUND[path]


@pytest.mark.parametrize("path", ["$.nope", "$.a.nope.c", "$.a.b[9]", "$.s.t", "$.s[0]", "$.a[0]", "$nope", "$$.Nope"])
def test_a_definite_path_that_leads_nowhere(path: str) -> None:
    with pytest.raises(paths.PathNotFound) as caught:
        paths.path(path)(SCOPE)
    assert caught.value.cause.startswith(f"Invalid path '{path}' : ")


REASONS = {
    "$.nope": "No results for path: $['nope']",
    "$.a.nope.c": "Missing property in path $['a']['nope']",
    "$.a.b[9].c": "No results for path: $['a']['b'][9]['c']",
    "$.a[0]": "Filter: [0] can only be applied to arrays. Current context is: ",
    "$.s.t": (
        "Expected to find an object with property ['t'] in path $['s'] but found "
        "'com.fasterxml.jackson.databind.node.TextNode'. This is not a json object according to the JsonProvider: "
    ),
}


@pytest.mark.parametrize("path", REASONS)
def test_the_reason_is_jayways(path: str) -> None:
    with pytest.raises(paths.PathNotFound) as caught:
        paths.path(path)(SCOPE)
    assert caught.value.reason.startswith(REASONS[path])


@pytest.mark.parametrize("template", [{"v.$": "$"}, {"v.$": "$.a"}, {"v.$": "$.a[*]"}])
def test_nothing_can_be_read_from_null(template: Json) -> None:
    with pytest.raises(paths.EvaluationError) as caught:
        paths.template(template)(paths.Values(input=None))
    assert caught.value.cause == "Unable to apply Path transformation to null or empty input."


def test_an_argument_that_leads_nowhere() -> None:
    with pytest.raises(paths.EvaluationError) as caught:
        paths.template({"v.$": "States.Format('{}', $.nope)"})(paths.Values(input={"a": 1}))
    assert caught.value.error == "States.Runtime"
    assert caught.value.cause == (
        "The function 'States.Format('{}', $.nope)' had the following error: "
        "The JsonPath argument for the field '$.nope' could not be found in the input '{\"a\":1}'"
    )


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "1e400", "{", "[" * 100_000, "'a'"])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(paths.EvaluationError) as caught:
        paths.expression("States.StringToJson($)")(paths.Values(input=text))
    assert caught.value.error == "States.IntrinsicFailure"


@pytest.mark.parametrize("path", ["", "a.b", "$.", "$.a[", "$.a[?(", "$..", "States.Nope()", "$.a b'"])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(paths.PathSyntaxError):
        paths.expression(path)


def test_template() -> None:
    template: Json = {"k": 1, "v.$": "$.s", "deep": [{"n.$": "States.ArrayLength($.a.b)"}], "same": DOCUMENT}
    assert paths.template(template)(SCOPE) == {"k": 1, "v": "text", "deep": [{"n": 3}], "same": DOCUMENT}


def test_a_constant_template_is_shared_not_copied() -> None:
    constant: Json = {"a": [1, {"b": 2}]}
    assert paths.template(constant)(SCOPE) is constant


def test_template_error_names_the_field_and_shows_the_input() -> None:
    with pytest.raises(paths.EvaluationError) as caught:
        paths.template({"v.$": "$.nope"})(paths.Values(input={"ä": 1}))
    assert caught.value.error == "States.Runtime"
    assert caught.value.cause == (
        "The JSONPath '$.nope' specified for the field 'v.$' could not be found in the input '{\"ä\":1}'"
    )


def test_result_path_copies_only_its_way() -> None:
    raw: Json = {"a": {"b": 1}, "other": {"big": []}}
    placed = paths.placing("$.a.c.d")(raw, 7)
    assert placed == {"a": {"b": 1, "c": {"d": 7}}, "other": {"big": []}}
    assert raw == {"a": {"b": 1}, "other": {"big": []}}
    assert placed["other"] is raw["other"]  # type: ignore[index,call-overload]


def test_result_path_ends() -> None:
    assert paths.placing(None)({"a": 1}, 2) == {"a": 1}
    assert paths.placing("$")({"a": 1}, 2) == 2
    assert paths.placing("$.l[1]")({"l": [1, 2]}, 9) == {"l": [1, 9]}
    with pytest.raises(paths.EvaluationError) as caught:
        paths.placing("$.a.b")({"a": 1}, 2)
    assert caught.value.error == "States.ResultPathMatchFailure"
    assert caught.value.cause == 'Unable to apply step "b" to input 1'
    with pytest.raises(paths.PathSyntaxError):
        paths.placing("$.a[*]")


CALLS: dict[str, Any] = {
    "States.Format('{} and \\{\\} it\\'s {}', $.s, $.a.b[2])": "text and {} it's {c=null}",
    "States.Format($.s)": "text",
    "States.ArrayPartition($.a.b, 2)": [[1, 2], [{"c": None}]],
    "States.ArrayContains($.a.b, 2)": True,
    "States.ArrayContains(States.Array(1, true), 1.5)": False,
    "States.ArrayRange(1, 9, 2)": [1, 3, 5, 7, 9],
    "States.ArrayRange(3, 1, -1)": [3, 2, 1],
    "States.ArrayUnique(States.Array(1, 2, 1, 'a', 'a'))": [1, 2, "a"],
    "States.StringSplit('1+2.3=4', '+.=')": ["1", "2", "3", "4"],
    "States.MathAdd(1, 1.5)": 3,
    "States.MathRandom(1, 2)": 1,
    "States.MathRandom(0, 9000000000000000000, 7)": 6576291378540379136,
    "States.ArrayRange(1, -9000000000000000000, 1)": [],
    "States.JsonMerge($x, $.a, false)": {"y": [5], "b": [1, 2, {"c": None}]},
    "States.Base64Decode(States.Base64Encode('ü'))": "ü",
    "States.ArrayLength($.a.b[?(@ == ')')])": 0,
}


@pytest.mark.parametrize("call", CALLS)
def test_intrinsic(call: str) -> None:
    assert paths.expression(call)(SCOPE) == CALLS[call]


@pytest.mark.parametrize(
    "call",
    [
        "States.ArrayGetItem($.a.b, 3)",
        "States.ArrayGetItem($.a.b, -1)",
        "States.StringToJson('{')",
        "States.ArrayPartition($.a.b, 0)",
        "States.ArrayRange(1, 2000, 1)",
        "States.JsonMerge($x, $.a, true)",
        "States.Hash('a', 'SHA-3')",
        "States.Base64Decode('%')",
        "States.Format('{}')",
        "States.MathAdd('a', 1)",
        "States.ArrayRange(1, 9000000000000000000, 1)",
        "States.ArrayRange(0, 99999999999999999999999, 1)",
        "States.MathRandom(0, 1e300)",
    ],
)
def test_intrinsic_failure(call: str) -> None:
    with pytest.raises(paths.EvaluationError) as caught:
        paths.expression(call)(SCOPE)
    assert caught.value.error == "States.IntrinsicFailure"
    assert caught.value.cause.startswith(f"The function '{call}' had the following error: ")


VALUES = (
    *(
        "$.a",
        "$.s",
        "$.empty",
        "$",
        "$.nope",
        "$x",
        "$.a.b[*]",
        "1",
        "-5",
        "1.5",
        "1e300",
        "99999999999",
        "null",
        "true",
    ),
    *("'x'", "''", "'a,b'", "'{}'", "'MD5'", "9223372036854775807", "-9223372036854775808"),
)


def random_call(draw: random.Random, depth: int) -> str:
    if not depth or draw.random() < 0.2:
        return draw.choice(VALUES)
    name, function = draw.choice(list(intrinsics.FUNCTIONS.items()))
    count = draw.randint(function.least, max(function.most, function.least + 2 * (function.most < 0)))
    return f"States.{name}({', '.join(random_call(draw, depth - 1) for _ in range(count))})"


def test_random_calls_give_a_value_or_an_error() -> None:
    """Nothing else, and at once: one such call drew random numbers for ever."""
    draw = random.Random(7)
    failed = 0
    for _ in range(3_000):
        try:
            json.dumps(paths.expression(random_call(draw, 3))(SCOPE))
        except (paths.EvaluationError, paths.PathSyntaxError):
            failed += 1
    assert 1_000 < failed < 2_900


@pytest.mark.parametrize(
    "call", ["States.UUID(1)", "States.Format()", "States.Hash('a')", "States.Array(1", "States.Array(,)"]
)
def test_intrinsic_syntax(call: str) -> None:
    with pytest.raises(paths.PathSyntaxError):
        paths.expression(call)


def test_recorded_intrinsic_functions() -> None:
    if not CASES.is_dir():
        pytest.skip(f"{CASES} is absent: no recorded intrinsic function was compared")
    compared = 0
    for case in json.loads((CASES / "intrinsic_functions.json").read_text()):
        (state,) = case["definition"]["States"].values()
        if "Parameters" not in state or "$$" in json.dumps(state) or "MathRandom" in json.dumps(state):
            continue
        assert paths.template(state["Parameters"])(paths.Values(input=case["input"])) == case["expected_output"]
        compared += 1
    assert compared > 40


def test_a_deep_scan_of_something_deep() -> None:
    document: Json = {"a": 1}
    for _ in range(400):
        document = {"b": document}
    assert paths.path("$..a")(paths.Values(input=document)) == [1]
    for _ in range(5_000):
        document = {"b": document}
    with pytest.raises(paths.PathNotFound):
        paths.path("$..a")(paths.Values(input=document))
