"""A project becomes one template: references, roles, assets, the flow's definition."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from millpond import project, stack
from millpond.errors import ProjectError

PIPELINE = """
from millpond import Parameter, asl, blocks, glue, lambda_, s3, secrets, sns, states, athena

login = Parameter(name="Login", secret=True)
lake = s3.Bucket(name="lake")
raw = glue.Database(name="raw")
secret = secrets.Secret(name="login", value=login.ref)
db = glue.Connection(name="db", url="jdbc:postgresql://h:5432/d", secret=secret)
crawler = glue.Crawler(name="raw", database=raw, s3=(lake.url("raw/"),))
job = glue.Job(name="join-all", script="jobs/join.py", arguments={"--target": lake.url("mart/")}, connections=(db,))
hello = lambda_.Function(name="hello", code="functions/hello")
alerts = sns.Topic(name="alerts", emails=("a@example.com",))
steps = {
    "Crawl": blocks.crawl(crawler),
    "Join": blocks.run(job),
    "Tell": blocks.publish(alerts, subject="done", message="see s3://${LakeBucket}/"),
}
flow = states.StateMachine(
    name="nightly",
    definition=asl.Machine(start_at="Crawl", states=blocks.sequence(steps), query_language="JSONata"),
)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "shop"\n[tool.millpond]\n')
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "join.py").write_text("print('join')\n")
    (tmp_path / "functions" / "hello").mkdir(parents=True)
    (tmp_path / "functions" / "hello" / "handler.py").write_text("def handler(event, context): return event\n")
    return tmp_path


def build(root: Path) -> stack.Bundle:
    return stack.build(project.load(root))


def test_references_become_intrinsics(root: Path) -> None:
    resources = build(root).template["Resources"]
    job = resources["JoinAllJob"]["Properties"]
    assert job["DefaultArguments"]["--target"] == {"Fn::Sub": "s3://${LakeBucket}/mart/"}
    assert job["Name"] == {"Fn::Sub": "${AWS::StackName}-join-all"}
    assert job["Role"] == {"Fn::GetAtt": ["JoinAllJobRole", "Arn"]}
    assert resources["LoginSecret"]["Properties"]["SecretString"] == {"Ref": "Login"}
    assert resources["RawCrawler"]["Properties"]["DatabaseName"] == {"Ref": "RawDatabase"}


def test_secret_parameter_is_never_shown(root: Path) -> None:
    assert build(root).template["Parameters"]["Login"]["NoEcho"] is True


def test_flow_is_a_definition_with_substitutions(root: Path) -> None:
    made = build(root).template["Resources"]["NightlyStateMachine"]["Properties"]
    definition = json.loads(made["DefinitionString"])
    join = definition["States"]["Join"]
    assert join["Arguments"]["JobName"] == "${JoinAllJob}"
    assert join["Comment"] == "pipeline.py:15"
    assert join["Next"] == "Tell"
    assert made["DefinitionSubstitutions"]["JoinAllJob"] == {"Ref": "JoinAllJob"}
    assert set(made["DefinitionSubstitutions"]) == {"JoinAllJob", "RawCrawler", "AlertsTopic", "LakeBucket"}


def test_flow_role_names_what_the_flow_calls(root: Path) -> None:
    policy = build(root).template["Resources"]["NightlyStateMachineRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    granted = {action: statement["Resource"] for statement in policy["Statement"] for action in statement["Action"]}
    assert set(granted) == {
        "glue:StartCrawler",
        "glue:GetCrawler",
        "glue:StartJobRun",
        "glue:GetJobRun",
        "glue:GetJobRuns",
        "glue:BatchStopJobRun",
        "sns:Publish",
    }
    assert granted["sns:Publish"] == [{"Ref": "AlertsTopic"}]
    assert all("*" not in json.dumps(resource) for resource in granted.values())


def test_same_project_gives_the_same_bytes(root: Path) -> None:
    first, second = build(root), build(root)
    assert first.body == second.body
    assert [asset.key for asset in first.assets] == [asset.key for asset in second.assets]


def test_a_flow_that_calls_nothing_has_no_policy_and_no_substitutions(root: Path) -> None:
    """CloudFormation takes neither an empty Statement nor empty DefinitionSubstitutions."""
    quiet = 'states.StateMachine(name="quiet", definition=asl.Machine(start_at="A", states={"A": asl.Succeed()}))\n'
    (root / "pipeline.py").write_text(PIPELINE + "quiet = " + quiet)
    resources = build(root).template["Resources"]
    assert "Policies" not in resources["QuietStateMachineRole"]["Properties"]
    assert "DefinitionSubstitutions" not in resources["QuietStateMachine"]["Properties"]


def test_assets_keep_their_path_and_zip_their_folder(root: Path) -> None:
    assets = {asset.key.split("/", 2)[2]: asset for asset in build(root).assets}
    assert set(assets) == {"jobs/join.py", "functions/hello.zip"}
    assert zipfile.ZipFile(BytesIO(assets["functions/hello.zip"].content)).namelist() == ["handler.py"]


def test_changed_script_changes_the_template(root: Path) -> None:
    before = build(root).body
    (root / "jobs" / "join.py").write_text("print('other')\n")
    assert build(root).body != before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("s3://${LakeBucket}/", "${NoSuchThing}", "NoSuchThing"),
        ('"jobs/join.py"', '"jobs/none.py"', "jobs/none.py"),
        ('"jobs/join.py"', '"../outside.py"', "outside the project"),
        ('code="functions/hello"', 'code="functions/hello", uses=("root",)', "root"),
        ("blocks.run(job)", 'blocks.call("ec2:runInstances", {})', "no IAM rule"),
    ],
)
def test_mistakes_are_named(root: Path, old: str, new: str, message: str) -> None:
    (root / "pipeline.py").write_text(PIPELINE.replace(old, new))
    with pytest.raises(ProjectError, match=message.replace(".", r"\.")):
        build(root)


def test_requirements_are_installed_beside_the_code(root: Path) -> None:
    (root / "functions" / "hello" / "requirements.txt").write_text("# nothing is needed\n")
    package = next(asset for asset in build(root).assets if asset.key.endswith(".zip"))
    assert zipfile.ZipFile(BytesIO(package.content)).namelist() == ["handler.py", "requirements.txt"]
    assert len(list((root / ".millpond" / "build").iterdir())) == 1


def test_triggers_and_workflows(root: Path) -> None:
    more = """
tell = glue.Job(name="tell", script="jobs/join.py", kind="pythonshell")
week = glue.Workflow(name="week", properties={"bucket": lake.ref}, concurrency=1)
begin = glue.Trigger(name="begin", workflow=week, schedule="cron(0 2 * * ? *)", starts=(job, crawler))
then = glue.Trigger(name="then", workflow=week, after=(job, (crawler, "FAILED")), any_end=True,
                    starts=(glue.Start(tell, arguments={"--to": lake.url("x/")}, timeout=5),))
hand = glue.Trigger(name="hand", starts=(tell,))
"""
    (root / "pipeline.py").write_text(PIPELINE + more)
    resources = build(root).template["Resources"]
    week = {"Ref": "WeekWorkflow"}
    name = {"Fn::Sub": "${AWS::StackName}-week"}
    assert resources["WeekWorkflow"]["Properties"] == {
        "Name": name, "DefaultRunProperties": {"bucket": {"Ref": "LakeBucket"}}, "MaxConcurrentRuns": 1,
    }  # fmt: skip
    begin, then = resources["BeginTrigger"]["Properties"], resources["ThenTrigger"]["Properties"]
    assert (begin["Type"], begin["Schedule"], begin["WorkflowName"]) == ("SCHEDULED", "cron(0 2 * * ? *)", week)
    assert begin["Actions"] == [{"JobName": {"Ref": "JoinAllJob"}}, {"CrawlerName": {"Ref": "RawCrawler"}}]
    assert begin["StartOnCreation"] is then["StartOnCreation"] is True
    assert then["Predicate"] == {
        "Logical": "ANY",
        "Conditions": [
            {"LogicalOperator": "EQUALS", "JobName": {"Ref": "JoinAllJob"}, "State": "SUCCEEDED"},
            {"LogicalOperator": "EQUALS", "CrawlerName": {"Ref": "RawCrawler"}, "CrawlState": "FAILED"},
        ],
    }
    (action,) = then["Actions"]
    assert action["Arguments"] == {"--to": {"Fn::Sub": "s3://${LakeBucket}/x/"}} and action["Timeout"] == 5
    hand = resources["HandTrigger"]["Properties"]
    assert hand["Type"] == "ON_DEMAND" and "StartOnCreation" not in hand
    tell = resources["TellJob"]["Properties"]
    assert tell["MaxCapacity"] == 0.0625 and "WorkerType" not in tell
    assert "PutWorkflowRunProperties" in json.dumps(resources["TellJobRole"])


def test_a_trigger_has_one_cause(root: Path) -> None:
    wrong = 'both = glue.Trigger(name="b", starts=(job,), schedule="cron(0 2 * * ? *)", after=(job,))\n'
    (root / "pipeline.py").write_text(PIPELINE + wrong)
    with pytest.raises(ProjectError, match="one of schedule, after and events"):
        project.load(root)
