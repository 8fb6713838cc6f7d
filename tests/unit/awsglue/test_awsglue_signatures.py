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
    """Module, name, parameters ("" for a name alone), and the difference that is explained ("absent" for one that is
    not here)."""
    lines = [line for line in FACTS.read_text().splitlines() if line.strip() and not line.startswith("#")]
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("!"):
            continue
        module, _, signature = line.partition(" ")
        name, _, parameters = signature.partition("(")
        ours, _, why = after[1:].strip().removeprefix("ours:").partition(" -- ") if after.startswith("!") else [""] * 3
        assert bool(ours) == bool(why), f"the difference of {signature} is not explained"
        yield module, name, parameters.removesuffix(")").replace("THRESHOLDS", THRESHOLDS), ours.strip()


@functools.cache
def statements(module: str) -> list[ast.stmt]:
    """A module's top; what only type checkers import (and the module gives lazily) is part of it."""
    file = ROOT / "src" / Path(*module.split("."))
    path = file.with_suffix(".py") if file.with_suffix(".py").is_file() else file / "__init__.py"
    body = ast.parse(path.read_text()).body if path.is_file() else []
    return [inner for one in body for inner in (one.body if isinstance(one, ast.If) else [one])]


def found(module: str, name: str) -> tuple[str, ast.stmt | None]:
    """What a name is in a module, and which module defines it: this one, or another of ours that it is taken from."""
    for one in statements(module):
        if name in defined(one):
            return module, one
        if isinstance(one, ast.ImportFrom) and (one.module or "").startswith("awsglue"):
            for alias in one.names:
                if (alias.asname or alias.name) == name:
                    return found(one.module or "", alias.name)
    return module, None


def defined(statement: ast.stmt) -> list[str]:
    """The names that a statement gives a value, those of `self` among them."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef):
        return [statement.name]
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return []
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return [ast.unparse(each).removeprefix("self.") for one in targets for each in getattr(one, "elts", [one])]


def member_of(module: str, owner: ast.ClassDef, name: str) -> ast.stmt | None:
    """What a class, or its nearest base, has under a name: a method, or an attribute's assignment."""
    for one in owner.body:
        inner = [one, *(ast.walk(one) if isinstance(one, ast.FunctionDef) and one.name == "__init__" else [])]
        for each in inner:
            if isinstance(each, ast.stmt) and name in defined(each):
                return each
    for base in owner.bases:
        there, known = found(module, ast.unparse(base))
        if isinstance(known, ast.ClassDef) and (inherited := member_of(there, known, name)):
            return inherited
    return None


DEFAULTS = {"NOTHING": "{}", "UNKNOWN": "UnknownType()"}  # what is never changed may be one object


def parameters_of(function: ast.FunctionDef) -> list[str]:
    """`name=default` of each parameter but self."""
    given = function.args
    names = [one.arg for one in given.args]
    defaults = [None] * (len(names) - len(given.defaults)) + [ast.unparse(one) for one in given.defaults]
    made = [
        name if default is None else f"{name}={DEFAULTS.get(default, default)}"
        for name, default in zip(names, defaults, strict=True)
    ]
    made = made[1:] if names[:1] in (["self"], ["cls"]) else made
    return [
        *made,
        *([f"*{given.vararg.arg}"] if given.vararg else []),
        *([f"**{given.kwarg.arg}"] if given.kwarg else []),
    ]


def expected(parameters: str, difference: str) -> list[str]:
    """AWS's parameters with the explained difference: `name=default` in the place of AWS's, `+more` behind it, or
    several in the place of all."""
    wanted = [one for one in re.split(r",\s*", parameters) if one]
    if difference.startswith("+"):
        return [*wanted, *re.split(r",\s*", difference[1:])]
    if "," in difference or len(wanted) == 1:
        return re.split(r",\s*", difference) if difference else wanted
    if difference:
        name = difference.partition("=")[0]
        return [difference if one.partition("=")[0] == name else one for one in wanted]
    return wanted


@pytest.mark.parametrize(("module", "name", "parameters", "difference"), list(facts()), ids=lambda one: str(one)[:60])
def test_the_signature_is_awss(module: str, name: str, parameters: str, difference: str) -> None:
    owner, _, member = name.removesuffix(" attribute").partition(".")
    where, there = found(module, owner)
    if difference == "absent":
        assert there is None, f"{module} has {owner}: take its explanation away"
        return
    assert there is not None, f"{module} has no {owner}"
    if member:
        assert isinstance(there, ast.ClassDef)
        there = member_of(where, there, member)
        assert there is not None, f"{module}.{owner} has no {member}"
    if isinstance(there, ast.FunctionDef) and not name.endswith(" attribute"):  # a property is an attribute
        assert parameters_of(there) == expected(parameters, difference)


def test_editors_find_types() -> None:
    for package in ("awsglue", "awsgluedq", "awsglueml"):
        assert (ROOT / "src" / package / "py.typed").is_file()
