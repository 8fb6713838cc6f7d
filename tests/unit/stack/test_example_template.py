"""The example's template is one that CloudFormation takes: cfn-lint finds no errors in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from millpond import project, stack

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "customer_segmentation"


@pytest.mark.slow
def test_cfn_lint_finds_no_errors(tmp_path: Path) -> None:
    template = tmp_path / "template.json"
    template.write_text(stack.build(project.load(EXAMPLE)).body)
    linter = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([str(linter), "--non-zero-exit-code", "error", str(template)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_role_may_do_everything() -> None:
    """Least privilege: no wildcard actions; `*` as a resource only where AWS knows no narrower one."""
    wide = []
    for name, resource in stack.build(project.load(EXAMPLE)).template["Resources"].items():
        for policy in resource["Properties"].get("Policies", []) if resource["Type"] == "AWS::IAM::Role" else []:
            for statement in policy["PolicyDocument"]["Statement"]:
                assert not any("*" in action for action in statement["Action"]), (name, statement)
                if statement["Resource"] in ("*", ["*"]):
                    wide += statement["Action"]
    assert set(wide) <= {"glue:GetJobBookmark", "glue:ResetJobBookmark", "glue:GetClassifier", "glue:GetCrawler"}
