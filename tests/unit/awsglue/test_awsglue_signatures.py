"""Every public name of AWS's job libraries is here, with its parameters: tests/cases/awsglue/signatures.txt.

The sources are read, not imported: pyspark is not where the unit tests run.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FACTS = ROOT / "tests" / "cases" / "awsglue" / "signatures.txt"
THRESHOLDS = "transformation_ctx='', info='', stageThreshold=0, totalThreshold=0"


def facts() -> Iterator[tuple[str, str, str, str]]:
    """Module, name, parameters ("" for a name alone), and the difference that is explained."""
    lines = [line for line in FACTS.read_text().splitlines() if line.strip() and not line.startswith("#")]
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("!"):
            continue
        module, _, signature = line.partition(" ")
        name, _, parameters = signature.partition("(")
        ours, _, why = after.removeprefix("! ours:").partition(" -- ") if after.startswith("!") else ("", "", "")
        assert bool(ours) == bool(why), f"the difference of {signature} is not explained"
        yield module, name, parameters.removesuffix(")").replace("THRESHOLDS", THRESHOLDS), ours.strip()


@functools.cache
def names_of(module: str) -> dict[str, ast.stmt]:
    """What a module defines, or takes from another of ours."""
    file = ROOT / "src" / Path(*module.split("."))
    path = file.with_suffix(".py") if file.with_suffix(".py").is_file() else file / "__init__.py"
    found: dict[str, ast.stmt] = {}
    for one in ast.parse(path.read_text()).body:
        if isinstance(one, ast.ClassDef | ast.FunctionDef):
            found[one.name] = one
        elif isinstance(one, ast.ImportFrom) and (one.module or "").startswith("awsglue"):
            there = names_of(one.module or "")
            found |= {alias.name: there[alias.name] for alias in one.names if alias.name in there}
    return found


def method(module: str, owner: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    """A class's method, or the nearest base's."""
    for one in owner.body:
        if isinstance(one, ast.FunctionDef) and one.name == name:
            return one
    for base in owner.bases:
        known = names_of(module).get(ast.unparse(base))
        if isinstance(known, ast.ClassDef) and (found := method(module, known, name)):
            return found
    return None


def parameters_of(function: ast.FunctionDef) -> list[str]:
    """`name=default` of each parameter but self; an unchangeable empty mapping is `{}`."""
    given = function.args
    names = [one.arg for one in given.args]
    defaults = [None] * (len(names) - len(given.defaults)) + [ast.unparse(one) for one in given.defaults]
    made = [
        name if default is None else f"{name}={'{}' if default == 'NOTHING' else default}"
        for name, default in zip(names, defaults, strict=True)
    ]
    made = made[1:] if names[:1] in (["self"], ["cls"]) else made
    return [
        *made,
        *([f"*{given.vararg.arg}"] if given.vararg else []),
        *([f"**{given.kwarg.arg}"] if given.kwarg else []),
    ]


def expected(parameters: str, difference: str) -> list[str]:
    """AWS's parameters with the explained difference: `name=default` in the place of AWS's, or `+more` behind it."""
    wanted = [one for one in re.split(r",\s*", parameters) if one]
    if difference.startswith("+"):
        return [*wanted, *re.split(r",\s*", difference[1:])]
    if difference:
        name = difference.partition("=")[0]
        return [difference if one.partition("=")[0] == name else one for one in wanted]
    return wanted


@pytest.mark.parametrize(("module", "name", "parameters", "difference"), list(facts()), ids=lambda one: str(one)[:60])
def test_the_signature_is_awss(module: str, name: str, parameters: str, difference: str) -> None:
    owner, _, member = name.partition(".")
    there = names_of(module).get(owner)
    assert there is not None, f"{module} has no {owner}"
    if member:
        assert isinstance(there, ast.ClassDef)
        there = method(module, there, member)
        assert there is not None, f"{module}.{owner} has no {member}"
    if isinstance(there, ast.FunctionDef):
        assert parameters_of(there) == expected(parameters, difference)


def test_editors_find_types() -> None:
    for package in ("awsglue", "awsgluedq", "awsglueml"):
        assert (ROOT / "src" / package / "py.typed").is_file()
