"""Finding and importing a project; what is wrong is said with a place."""

from __future__ import annotations

from pathlib import Path

import pytest

from millpond import project
from millpond.errors import ProjectError


def write(root: Path, pipeline: str, settings: str = "") -> Path:
    (root / "pyproject.toml").write_text(f'[project]\nname = "shop"\n[tool.millpond]\n{settings}')
    (root / "pipeline.py").write_text(pipeline)
    return root


def test_project_is_found_from_a_folder_below(tmp_path: Path) -> None:
    write(tmp_path, "from millpond import s3\nlake = s3.Bucket(name='lake')\n")
    below = tmp_path / "jobs" / "deep"
    below.mkdir(parents=True)
    found = project.load(below)
    assert found.root == tmp_path
    assert [resource.logical_id for resource in found.resources] == ["LakeBucket"]


def test_resources_in_lists_and_dicts_count_once(tmp_path: Path) -> None:
    code = "from millpond import s3\na = s3.Bucket(name='a')\nall = [a, {'b': s3.Bucket(name='b')}]\n"
    assert [r.name for r in project.load(write(tmp_path, code)).resources] == ["a", "b"]


def test_no_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"no Millpond project"):
        project.load(tmp_path)


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("x = 1\nraise ValueError('no')\n", r"pipeline\.py:2: ValueError: no"),
        ("x = (\n", r"pipeline\.py:1:\d+: SyntaxError"),
        ("import nothing_here\n", r"pipeline\.py:1: ModuleNotFoundError"),
    ],
)
def test_errors_of_the_users_code_have_a_place(tmp_path: Path, code: str, place: str) -> None:
    with pytest.raises(ProjectError, match=place):
        project.load(write(tmp_path, code))


def test_two_resources_of_one_name(tmp_path: Path) -> None:
    code = "from millpond import s3\na = s3.Bucket(name='a-b')\nb = s3.Bucket(name='a.b')\n"
    with pytest.raises(ProjectError, match="ABBucket"):
        project.load(write(tmp_path, code))


def test_name_must_do_for_a_stack(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="stack"):
        project.load(write(tmp_path, "", 'name = "no_underscores"\n'))
