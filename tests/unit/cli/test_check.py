"""`millpond check`: all findings at once, each at its place; exit codes; formats."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from millpond.cli import run

REPOSITORY = Path(__file__).resolve().parents[3]
GOOD = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}
BAD = """{
  "StartAt": "Join",
  "States": {
    "Join": {
      "Type": "Task",
      "Resource": "arn:aws:states:::glue:startJobRun.sync",
      "Parameters": {"JobNam": "join"},
      "Next": "Nowhere"
    },
    "Done": {"Type": "Succeed"}
  }
}
"""
PIPELINE = """from millpond import asl, asset, blocks, glue, lambda_, s3, states

lake = s3.Bucket(name="lake")
join = glue.Job(name="join", script="jobs/join.py", arguments={"--to": "${Nothing}"})
check = lambda_.Function(name="check", code="functions/check", handler="main.handler")

flow = states.StateMachine(
    name="nightly",
    definition=asl.Machine(
        start_at="Join",
        query_language="JSONata",
        states={
            "Join": blocks.run(join, {"--other": "${Gone.Arn}"}, next="Copy"),
            "Copy": asl.Pass(next="Nowhere", output=asset("jobs/absent.py")),
            "Check": asl.Task(resource="arn:aws:states:::aws-sdk:glue:startJobb", arguments={}),
        },
    ),
)
"""


def written(folder: Path, text: str, name: str = "flow.asl.json") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    code = run(["check", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    written(tmp_path, '[project]\nname = "small"\n[tool.millpond]\n', "pyproject.toml")
    written(tmp_path, PIPELINE, "pipeline.py")
    return tmp_path


def test_a_good_definition_is_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(written(tmp_path, json.dumps(GOOD)))]) == 0
    assert capsys.readouterr().out == "no errors, no warnings in 1 state machine\n"


def test_findings_of_a_file_have_place_excerpt_and_caret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, BAD)
    assert run(["check", str(path)]) == 2
    out = capsys.readouterr().out.splitlines()
    at = next(index for index, line in enumerate(out) if "Nowhere at" in line)
    assert (
        out[at] == f"{path}:8:15: error MISSING_TRANSITION_TARGET: Missing 'Next' target: Nowhere at /States/Join/Next"
    )
    assert out[at + 1 : at + 3] == ['    "Next": "Nowhere"', "            ^"]
    assert sum(": error " in line for line in out) == 4  # target, unreachable, wrong and missing argument
    assert out[-1] == "4 errors, no warnings in 1 state machine"


def test_findings_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = found(capsys, str(written(tmp_path, BAD)))
    assert (code, report["errors"], report["machines"]) == (2, 4, 1)
    (target,) = [each for each in report["findings"] if "Nowhere" in each["message"]]
    assert target == {
        "severity": "ERROR",
        "code": "MISSING_TRANSITION_TARGET",
        "message": "Missing 'Next' target: Nowhere",
        "file": str(tmp_path / "flow.asl.json"),
        "line": 8,
        "column": 15,
        "location": "/States/Join/Next",
        "help": None,
    }


def test_annotations_for_github(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, BAD)
    assert run(["check", "--format", "github", str(path)]) == 2
    assert f"::error file={path},line=8,col=15,title=MISSING_TRANSITION_TARGET::Missing" in capsys.readouterr().out


def test_text_that_is_not_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = found(capsys, str(written(tmp_path, '{"StartAt": "A",\n oops}')))
    (finding,) = report["findings"]
    assert (code, finding["code"], finding["line"], finding["column"]) == (2, "INVALID_JSON_DESCRIPTION", 2, 3)
    assert "Source" not in finding["message"]


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", "[" * 100_000, '{"StartAt": 1, "States": {"A": []}}', "\udcff"]
)
def test_hostile_files_end_in_findings(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "flow.asl.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    code, report = found(capsys, str(path))
    assert code == 2 and report["errors"] >= 1


def test_what_works_on_aws_only_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = {"Type": "Task", "Resource": "arn:aws:states:::batch:submitJob.sync", "End": True}
    task["Parameters"] = {"JobName": "a", "JobQueue": "b", "JobDefinition": "c"}
    path = written(tmp_path, json.dumps({"StartAt": "A", "States": {"A": task}}))
    code, report = found(capsys, str(path))
    (finding,) = report["findings"]
    assert (code, finding["severity"], finding["code"]) == (0, "WARNING", "NOT_CARRIED_HERE")
    assert finding["message"].endswith("the state fails with Batch.NotImplementedException")
    assert run(["check", "--strict", str(path)]) == 1


def test_express_has_rules_of_its_own(tmp_path: Path) -> None:
    task = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "End": True}
    task["Parameters"] = {"QueueUrl": "q", "MessageBody": "m"}
    path = str(written(tmp_path, json.dumps({"StartAt": "A", "States": {"A": task}})))
    assert (run(["check", path]), run(["check", "--express", path])) == (0, 2)


def test_a_substituted_resource_is_believed(tmp_path: Path) -> None:
    task = {"Type": "Task", "Resource": "${CheckArn}", "End": True}
    assert run(["check", str(written(tmp_path, json.dumps({"StartAt": "A", "States": {"A": task}})))]) == 0


def test_a_mock_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, '{"StateMachines": {\n "M": {"TestCases": {"C": {"A": "Nope"}}}}}', "MockConfigFile.json")
    code, report = found(capsys, str(path))
    (finding,) = report["findings"]
    assert (code, finding["severity"], finding["line"]) == (0, "WARNING", 2)
    path.write_text('{"StateMachines": {"M": 3}}')
    assert found(capsys, str(path))[0] == 2


def test_a_project_tells_everything_at_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = found(capsys, str(project))
    assert (code, report["resources"], report["machines"]) == (2, 4, 1)
    told = {(each["code"], each["line"], each["message"].partition(",")[0][:60]) for each in report["findings"]}
    assert told == {
        ("MISSING_FILE", 4, "the script jobs/join.py of JoinJob is not there"),
        ("UNKNOWN_REFERENCE", 4, "${Nothing}"),
        ("MISSING_FILE", 5, "the folder functions/check of CheckFunction is not there"),
        ("UNKNOWN_REFERENCE", 13, "${Gone.Arn}"),
        ("MISSING_FILE", 14, "the asset jobs/absent.py"),
        ("MISSING_TRANSITION_TARGET", 14, "Missing 'Next' target: Nowhere"),
        ("MISSING_TRANSITION_TARGET", 15, 'State "Check" is not reachable.'),
        ("SCHEMA_VALIDATION_FAILED", 15, "The resource provided arn:aws:states:::aws-sdk:glue:startJob"),
    }


def test_a_project_that_raises_is_one_finding(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(project, "from millpond import s3\n1 / 0\n", "pipeline.py")
    code, report = found(capsys, str(project))
    (finding,) = report["findings"]
    assert (code, finding["line"], finding["message"]) == (2, 2, "ZeroDivisionError: division by zero")


def test_the_example_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = found(capsys, str(REPOSITORY / "examples" / "customer_segmentation"))
    assert (code, report["findings"], report["machines"]) == (0, [], 1)


def test_nothing_to_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(tmp_path / "absent.json")]) == 2
    assert "millpond check [PROJECT | FILE.asl.json]" in capsys.readouterr().err
    assert run(["check", str(tmp_path)]) == 2  # a folder without a project


def test_it_reaches_no_network_and_loads_no_server() -> None:
    program = (
        "import sys, socket\n"
        "def no(*a, **k): raise SystemExit('a socket')\n"
        "socket.socket.connect = no\n"
        "from millpond.local.states import validate\n"
        'import io; sys.stdin = io.StringIO(\'[{"definition": "{}", "type": "STANDARD"}]\')\n'
        "validate.main()\n"
        "heavy = {'moto', 'boto3', 'uvicorn', 'starlette', 'duckdb'} & set(sys.modules)\n"
        "sys.exit(f'{heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
