"""Step Functions Local's mock configuration file: what is read, what is refused, where."""

from __future__ import annotations

import json

import pytest

from millpond.asl import mocks
from millpond.asl.mocks import Returned, Thrown
from millpond.asl.source import Source
from millpond.errors import DefinitionError, MillpondError

# The shape of the example in AWS's guide, "Configuration file for mocked service integrations".
CONFIG = {
    "StateMachines": {
        "Orders": {
            "TestCases": {
                "Happy": {"Charge": "Charged", "Tell": "Told"},
                "Retried": {"Charge": "ChargedAtLast"},
            }
        }
    },
    "MockedResponses": {
        "Charged": {"0": {"Return": {"StatusCode": 200, "Payload": {"ok": True}}}},
        "ChargedAtLast": {
            "0": {"Throw": {"Error": "Lambda.ResourceNotReadyException", "Cause": "not ready"}},
            "1-2": {"Throw": {"Error": "Lambda.TimeoutException", "Cause": "late"}},
            "3": {"Return": "a value of any type"},
        },
        "Told": {"0": {"Return": None}},
    },
}


def findings(document: object) -> list[tuple[str, str]]:
    with pytest.raises(DefinitionError) as caught:
        mocks.read(json.dumps(document), "m.json")
    return [(finding.location, finding.message) for finding in caught.value.diagnostics]


def responses(**entries: object) -> dict[str, object]:
    return {"StateMachines": {}, "MockedResponses": {"R": entries}}


def test_the_documented_example() -> None:
    config = mocks.read(json.dumps(CONFIG))
    assert not config.warnings
    charge = config.case("Orders", "Retried").responses["Charge"]
    assert [charge.at(number) for number in range(4)] == [
        Thrown("Lambda.ResourceNotReadyException", "not ready"),
        Thrown("Lambda.TimeoutException", "late"),
        Thrown("Lambda.TimeoutException", "late"),
        Returned("a value of any type"),
    ]
    assert config.case("Orders", "Happy").responses["Tell"].at(0) == Returned(None)


def test_a_call_without_a_number_fails_the_state() -> None:
    missing = mocks.read(json.dumps(CONFIG)).case("Orders", "Happy").responses["Charge"].at(1)
    assert isinstance(missing, Thrown) and missing.error == "States.Runtime"
    assert missing.cause == "The mocked response 'Charged' has no entry for call 1 of the state; its entries: 0."


def test_names_that_are_not_there_tell_what_is() -> None:
    config = mocks.read(json.dumps(CONFIG), "m.json")
    with pytest.raises(MillpondError, match=r"m\.json has no state machine 'Order'") as machine:
        config.case("Order", "Happy")
    with pytest.raises(MillpondError, match="no test case 'Sad' of 'Orders'") as case:
        config.case("Orders", "Sad")
    assert (machine.value.help, case.value.help) == ("its state machines: Orders", "its test cases: Happy, Retried")


def test_what_step_functions_local_takes_is_a_warning() -> None:
    text = '{"$schema": 1,\n "StateMachines": {"M": {"TestCases": {"C": {"A": "Nope"}}}}}'
    config = mocks.read(text, "m.json")
    assert [(str(found.span), found.severity) for found in config.warnings] == [
        ("m.json:1:13", "WARNING"),
        ("m.json:2:51", "WARNING"),
    ]
    nothing = config.case("M", "C").responses["A"].at(0)
    assert isinstance(nothing, Thrown) and "its entries: none" in (nothing.cause or "")
    assert mocks.read(json.dumps(responses())).warnings == ()  # an entry without calls


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        ([], [("", "the mock configuration must be a JSON object")]),
        ({}, [("", "'StateMachines' is missing")]),
        ({"StateMachines": {"M": {}}}, [("/StateMachines/M", "'TestCases' of the state machine 'M' is missing")]),
        (
            {"StateMachines": {"M": {"TestCases": {"C": []}}}},
            [("/StateMachines/M/TestCases/C", "the test case 'C' must be a JSON object")],
        ),
        (
            {"StateMachines": {"M": {"TestCases": {"C": {"A": {}}}}}},
            [("/StateMachines/M/TestCases/C/A", "'A' must be the name of a mocked response")],
        ),
        (responses(x={"Return": 1}), [("/MockedResponses/R/x", "'x' is no number of a call")]),
        (responses(**{"2-1": {"Return": 1}}), [("/MockedResponses/R/2-1", "'2-1' is no number of a call")]),
        (
            responses(**{"0-2": {"Return": 1}, "2": {"Return": 2}}),
            [("/MockedResponses/R/2", "call 2 is already answered by an entry above")],
        ),
        (responses(**{"0": {}}), [("/MockedResponses/R/0", "one of 'Return' and 'Throw' is wanted")]),
        (
            responses(**{"0": {"Return": 1, "Throw": {"Error": "E"}}}),
            [("/MockedResponses/R/0", "one of 'Return' and 'Throw' is wanted")],
        ),
        (
            responses(**{"0": {"Throw": {"Cause": "C"}}, "1": 5}),
            [
                ("/MockedResponses/R/0/Throw", "'Throw' wants the strings 'Error' and 'Cause'"),
                ("/MockedResponses/R/1", "the entry '1' must be a JSON object"),
            ],
        ),
    ],
)
def test_what_is_refused(document: object, wrong: list[tuple[str, str]]) -> None:
    assert findings(document) == wrong


@pytest.mark.parametrize(
    ("text", "place"), [('{\n "StateMachines": {,}}', "m.json:2:20"), ("", "m.json:1:1"), ("nope", "m.json:1:1")]
)
def test_text_that_is_not_json(text: str, place: str) -> None:
    with pytest.raises(DefinitionError, match="the file is not JSON") as caught:
        mocks.read(text, "m.json")
    assert str(caught.value.diagnostics[0].span) == place


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(DefinitionError):
        mocks.read("[" * 100_000 + "]" * 100_000)


def test_places_in_a_text() -> None:
    text = '{\n  "a": {"b": [1, {"c\\"d": "}, {"}]},\n\t"e": null, "e": 2\n}'
    source = Source(text, "f")
    places = {
        (): "f:1:1",
        ("a",): "f:2:3",
        ("a", "b", 0): "f:2:15",
        ("a", "b", 1, 'c"d'): "f:2:27",
        ("a", "b", 9): "f:2:9",
        ("e",): "f:3:18",
    }
    assert {at: str(source.span(at)) for at in places} == places
    assert source.duplicates == (("e",),)
    assert source.excerpt(source.span(("e",))) == '"e": null, "e": 2\n                ^'
    assert source.excerpt(source.at_offset(0)) == "{\n^"


def test_a_long_line_is_cut_around_the_place() -> None:
    text = json.dumps({"a": "x" * 500, "b": 1, "c": "y" * 500})
    line, caret = Source(text).excerpt(Source(text).span(("b",))).split("\n")
    assert len(line) == 100 and line[caret.index("^")] == "1"


def test_what_stands_twice_is_told() -> None:
    text = '{"StateMachines": {}, "MockedResponses": {"R": {"0": {"Return": 1}, "0": {"Return": 2}}}}'
    (warning,) = mocks.read(text).warnings
    assert (warning.severity, warning.message) == ("WARNING", "'0' stands here twice: the last one counts")
