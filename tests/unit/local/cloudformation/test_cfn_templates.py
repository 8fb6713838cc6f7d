"""Cases as files: a template and what its resources evaluate to before deploy, or how it is refused."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from millpond.local.cloudformation.intrinsics import UNKNOWN
from millpond.local.cloudformation.prepare import Preparation, Prepared
from millpond.local.cloudformation.template import line_of, parse
from millpond.local.service import AwsError

CASES = Path(__file__).parents[3] / "cases" / "cloudformation" / "templates"
FILES = sorted(path for path in CASES.iterdir() if not path.name.endswith(".expected.json"))


def prepare(room: Any, body: str, parameters: dict[str, str] | None = None) -> Prepared:
    made = Preparation(room.service.records, room.cloud.client, "us-east-1", "000000000000", 4566)
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in (parameters or {}).items()]
    request = {"TemplateBody": body, "Parameters": given, "Capabilities": ["CAPABILITY_AUTO_EXPAND"]}
    return made.make(request, stack_id="id", stack_name="case", previous=None, resources={}, direct=True)


def shown(value: Any) -> Any:
    """UNKNOWN as text, to be compared with JSON."""
    if value is UNKNOWN:
        return repr(UNKNOWN)
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    return [shown(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_case(room: Any, path: Path) -> None:
    expected = json.loads(path.with_name(f"{path.stem}.expected.json").read_text())
    body = path.read_text()
    if "error" in expected:
        with pytest.raises(AwsError) as caught:
            prepare(room, body, parameters_of(body))
        assert caught.value.code == "ValidationError"
        assert expected["error"] in caught.value.message
        return
    prepared = prepare(room, body, parameters_of(body))
    assert {name: shown(item.properties) for name, item in prepared.plan.evaluated.items()} == expected


def parameters_of(body: str) -> dict[str, str]:
    try:
        return parse(body).get("Metadata", {}).get("Case", {}).get("Parameters", {})
    except AwsError:
        return {}


def test_every_case_has_its_expectation() -> None:
    assert len(FILES) > 25
    assert {path.stem for path in FILES} == {
        p.name.removesuffix(".expected.json") for p in CASES.glob("*.expected.json")
    }


def test_json_errors_have_a_place() -> None:
    with pytest.raises(AwsError, match=r"JSON not well-formed. \(line 2, column 3\)"):
        parse('{"Resources": {\n  x}}')


def test_yaml_errors_have_a_place() -> None:
    with pytest.raises(AwsError, match=r"YAML not well-formed. \(line 3"):
        parse("Resources:\n  A: 1\n - b: 2\n")


def test_duplicate_keys_in_json() -> None:
    with pytest.raises(AwsError, match="Duplicate key 'A'"):
        parse('{"Resources": {"A": 1, "A": 2}}')


def test_billion_laughs() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    begun = time.process_time()
    with pytest.raises(AwsError, match="after expanding aliases"):
        parse("Metadata:\n" + "\n".join(f"  {line}" for line in lines))
    assert time.process_time() - begun < 5  # CPU, and far from the hours that expansion would take


def test_a_knot_of_aliases() -> None:
    with pytest.raises(AwsError, match="Template format error"):
        parse("Metadata: &a\n  b: *a\n")


def test_aliases_and_merges_work() -> None:
    found = parse("Metadata:\n  base: &b {x: 1}\n  more:\n    <<: *b\n    y: 2\nResources: {}")
    assert found["Metadata"]["more"] == {"x": 1, "y": 2}


def test_line_of_json_and_yaml() -> None:
    assert line_of('{\n "Resources": {\n  "A": {\n   "Type": "x"}}}', ("Resources", "A", "Type")) == 4
    assert line_of("Resources:\n  A:\n    - x\n    - y\n", ("Resources", "A", 1)) == 4
    assert line_of("Resources: {}", ("Outputs",)) == 0


def test_sam_becomes_plain_resources(room: Any) -> None:
    body = """
Transform: AWS::Serverless-2016-10-31
Globals: {Function: {Timeout: 7}}
Parameters: {Env: {Type: String, Default: dev}}
Resources:
  Clean:
    Type: AWS::Serverless::Function
    Properties:
      Handler: index.handler
      Runtime: python3.12
      InlineCode: "def handler(e, c): return 1"
      Environment: {Variables: {ENV: !Ref Env}}
      Policies: [AWSLambdaBasicExecutionRole]
      Events: {Nightly: {Type: Schedule, Properties: {Schedule: rate(1 day)}}}
  Flow:
    Type: AWS::Serverless::StateMachine
    Properties:
      Definition: {StartAt: A, States: {A: {Type: Succeed}}}
      Role: arn:aws:iam::000000000000:role/x
"""
    made = Preparation(room.service.records, room.cloud.client, "us-east-1", "000000000000", 4566)
    request = {"TemplateBody": body, "Capabilities": ["CAPABILITY_AUTO_EXPAND", "CAPABILITY_IAM"]}
    prepared = made.make(request, stack_id="id", stack_name="case", previous=None, resources={}, direct=True)
    kinds = sorted(item.type for item in prepared.plan.evaluated.values())
    assert kinds == [
        "AWS::Events::Rule",
        "AWS::IAM::Role",
        "AWS::Lambda::Function",
        "AWS::Lambda::Permission",
        "AWS::StepFunctions::StateMachine",
    ]
    assert prepared.plan.evaluated["Clean"].properties["Timeout"] == 7
    assert prepared.plan.evaluated["Clean"].properties["Environment"] == {"Variables": {"ENV": "dev"}}
