"""JSONPath as Step Functions speaks it: paths, payload templates, result paths.

Everything is compiled once to a closure over a `Scope` and called many times. A reference path (`$.a.b[0]['c d']`,
`$$.Execution.Name`, `$variable.field`) becomes a few dictionary look-ups; only wildcards, slices, filters and deep
scans enter the JSONPath library. Semantics are Jayway's, which AWS uses, and so are the reasons in errors: a definite
path gives its value or fails; an indefinite path gives a list, empty when nothing matches (recorded: also where its
definite beginning, `$.a` of `$.a[*].b`, leads nowhere). Nothing can be read from null. Intrinsic functions are in
`intrinsics`.

May import: millpond.errors, asl.model, asl.intrinsics, asl.apart, asl.jackson.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

from millpond.asl import apart, jackson
from millpond.asl.model import ABSENT, Absent, Json
from millpond.errors import MillpondError

if TYPE_CHECKING:
    import jsonpath

Step = str | int


class Scope(Protocol):
    """What an expression sees. `context` may be built when it is first asked for."""

    @property
    def input(self) -> Json: ...

    @property
    def context(self) -> Json: ...

    @property
    def variables(self) -> Mapping[str, Json]: ...

    @property
    def result(self) -> Json | Absent:
        """JSONata's `$states.result`: what a Task, Parallel or Map gave."""
        ...

    @property
    def error_output(self) -> Json | Absent:
        """JSONata's `$states.errorOutput`, inside a Catch."""
        ...

    def random(self) -> float:
        """A number in [0, 1): the clock's, so that tests are exact."""
        ...

    def now(self) -> float:
        """Epoch seconds: the clock's."""
        ...


Compiled = Callable[[Scope], Json]


@dataclass(slots=True)
class Values:
    """A plain Scope."""

    input: Json = None
    context: Json = None
    variables: Mapping[str, Json] = field(default_factory=dict)
    result: Json | Absent = ABSENT
    error_output: Json | Absent = ABSENT

    def random(self) -> float:
        import random

        return random.random()

    def now(self) -> float:
        import time

        return time.time()


class PathSyntaxError(MillpondError):
    """This text is no JSONPath and no intrinsic function call."""


class EvaluationError(MillpondError):
    """An expression had no value at run time: `error` is AWS's name, the message its cause without the state's name.

    `location` is the field of a JSONata expression (`Output/total`), for the EvaluationFailed event.
    """

    def __init__(self, cause: str, *, error: str = "States.Runtime", location: str | None = None) -> None:
        super().__init__(cause)
        self.error, self.cause, self.location = error, cause, location


class PathNotFound(EvaluationError):
    """A definite path that leads nowhere. `path` is as written, `reason` is Jayway's sentence."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"Invalid path '{path}' : {reason}")
        self.path, self.reason = path, reason

    def at_field(self, name: str, document: Json) -> EvaluationError:
        """The same error in the words for a field: a template's `value.$`, `ErrorPath`, `CausePath`."""
        shown = compact(document)
        return EvaluationError(
            f"The JSONPath '{self.path}' specified for the field '{name}' could not be found in the input '{shown}'"
        )


NULL_INPUT = "Unable to apply Path transformation to null or empty input."


class NullInput(PathNotFound):
    """A path into null, which AWS says in other words than all others."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "The input is null")
        self.cause = NULL_INPUT
        self.args = (NULL_INPUT,)

    def at_field(self, name: str, document: Json) -> EvaluationError:
        return EvaluationError(NULL_INPUT)


def _writer() -> Callable[[Json], str]:
    """The standard library's encoder, made once: `dumps`, and `encode` within it, make one at each call, which costs
    more than a small value does. Where Python has no such encoder in C, `encode`."""

    def refuse(value: object) -> Json:
        raise TypeError(f"{type(value).__name__} is not JSON")

    make, texts = getattr(json.encoder, "c_make_encoder", None), getattr(json.encoder, "encode_basestring", None)
    if make is None or texts is None:
        return json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
    pieces = make(None, refuse, texts, None, ":", ",", False, False, True)
    join = "".join
    return lambda value: join(pieces(value, 0))


_write = _writer()


def compact(value: Json) -> str:
    """JSON text as AWS writes it: no spaces, unicode as is. Raises RecursionError some 950 levels deep."""
    return _write(value)


_decode = json.JSONDecoder(parse_constant=jackson.not_json, parse_float=jackson.within_range).decode


def parse_json(text: str) -> Json:
    """Strict JSON: no NaN, no Infinity, no number beyond a double. Raises ValueError, RecursionError."""
    value: Json = _decode(text)
    return value


# ----------------------------------------------------------------------------------------------------------- tokenising

_DOTTED = re.compile(r"\.([^.\[\]()*?@,:'\"\s]+)")
_DOTTED_READ = re.compile(r"\.([^.\[\]()*?,'\"\s]+)")  # `@` and `:` have no meaning outside reference paths
_INDEX = re.compile(r"\[\s*(-?\d+)\s*\]")
_QUOTED = re.compile(r"""\[\s*'((?:[^'\\]|\\.)*)'\s*\]|\[\s*"((?:[^"\\]|\\.)*)"\s*\]""")
_VARIABLE = re.compile(r"\$([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)")
_FUNCTION = re.compile(r"\.(length|min|max|sum|avg|keys)\(\)$")


def reference_steps(path: str, dotted: re.Pattern[str] = _DOTTED) -> tuple[Step, ...] | None:
    """The steps of a reference path (after `$`, `$$` or `$name`), or None when the path is not that simple."""
    steps: list[Step] = []
    at = 0
    while at < len(path):
        if found := dotted.match(path, at):
            steps.append(found[1])
        elif found := _INDEX.match(path, at):
            steps.append(int(found[1]))
        elif found := _QUOTED.match(path, at):
            quoted = found[1] if found[1] is not None else found[2]
            steps.append(re.sub(r"\\(.)", r"\1", quoted))
        else:
            return None
        at = found.end()
    return tuple(steps)


def _root(path: str) -> tuple[str, str]:
    """The root (`$`, `$$` or a variable's name) and the rest of a path."""
    if path.startswith("$$"):
        return "$$", path[2:]
    if found := _VARIABLE.match(path):
        return found[1], path[found.end() :]
    if path.startswith("$"):
        return "$", path[1:]
    raise PathSyntaxError(f"'{path}' is not a JSONPath: it must begin with $")


def _bracketed(steps: Sequence[Step]) -> str:
    """Jayway's way to write a path: `$['a'][0]`."""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f"['{step}']" for step in steps)


# ------------------------------------------------------------------------------------------------------------ compiling


@functools.lru_cache(maxsize=4096)
def path(text: str) -> Compiled:
    """Compile a path: `$...` reads the input, `$$...` the context object, `$name...` a variable.

    The closure raises PathNotFound. Raises PathSyntaxError.
    """
    root, rest = _root(text)
    read = _reader(root, text)
    if not rest:
        return read
    if found := _FUNCTION.search(rest):
        return _calling(found[1], path(text[: len(text) - len(found[0])]), text)
    steps = reference_steps(rest, _DOTTED_READ)
    if steps is not None:
        return _walk(read, steps, text)
    return _querying(read, rest, text)


def _reader(root: str, text: str) -> Compiled:
    if root == "$":
        return lambda scope: scope.input
    if root == "$$":
        return lambda scope: scope.context

    def variable(scope: Scope) -> Json:
        try:
            return scope.variables[root]
        except KeyError:
            raise PathNotFound(text, f"Variable '{root}' is not assigned") from None

    return variable


def _walk(read: Compiled, steps: tuple[Step, ...], text: str) -> Compiled:
    def walk(scope: Scope) -> Json:
        value = read(scope)
        try:
            for step in steps:
                # dict[str] and list[int] succeed; every other pairing is a TypeError, KeyError or IndexError.
                if value.__class__ is str:
                    raise TypeError
                value = value[step]  # type: ignore[index]
        except (TypeError, KeyError, IndexError):
            raise _not_found(read(scope), steps, text) from None
        return value

    return walk


def _not_found(value: Json, steps: tuple[Step, ...], text: str) -> PathNotFound:
    """Jayway's reasons."""
    if value is None:
        return NullInput(text)
    for position, step in enumerate(steps):
        before, last = steps[:position], position == len(steps) - 1
        if isinstance(step, str):
            if not isinstance(value, dict):
                return PathNotFound(text, _no_object(value, step, before))
            if step not in value:
                reason = "No results for path:" if last else "Missing property in path"
                return PathNotFound(text, f"{reason} {_bracketed(steps[: position + 1])}")
            value = value[step]
        elif not isinstance(value, list):
            return PathNotFound(
                text, f"Filter: [{step}] can only be applied to arrays. Current context is: {compact(value)}"
            )
        elif not -len(value) <= step < len(value):
            return PathNotFound(text, f"No results for path: {_bracketed(steps)}")
        else:
            value = value[step]
    return PathNotFound(text, "No results")


_NODES: Mapping[type, str] = {
    type(None): "NullNode",
    bool: "BooleanNode",
    int: "IntNode",
    float: "DoubleNode",
    str: "TextNode",
    list: "ArrayNode",
}


def _no_object(value: Json, step: str, before: Sequence[Step]) -> str:
    node = f"com.fasterxml.jackson.databind.node.{_NODES[type(value)]}"
    provider = "com.jayway.jsonpath.spi.json.JacksonJsonNodeJsonProvider"
    return (
        f"Expected to find an object with property ['{step}'] in path {_bracketed(before)} but found '{node}'. "
        f"This is not a json object according to the JsonProvider: '{provider}'."
    )


def _querying(read: Compiled, rest: str, text: str) -> Compiled:
    """An indefinite path: always a list. One that may take long (regular expressions, several deep scans, a filter
    that asks the whole document) is evaluated apart."""
    compiled = library(rest)
    is_wild = _WILD.search(rest) is not None
    if is_wild:
        apart.warm()

    def query(scope: Scope) -> Json:
        document = read(scope)
        if document is None:
            raise NullInput(text)
        if not isinstance(document, dict | list):
            return []
        if is_wild:
            return _found_apart(rest, document, text)
        try:
            return cast("list[Json]", compiled.findall(document))
        except RecursionError:
            raise PathNotFound(text, "It is nested too deeply") from None

    return query


_WILD = re.compile(r"=~|match\s*\(|search\s*\(|\.\..*\.\.|\[\s*\?.*\$|\[\s*\?.*\[\s*\?")


def _found_apart(rest: str, document: Json, text: str) -> list[Json]:
    try:
        return apart.find("$" + rest, document)
    except (apart.Died, OSError) as died:
        raise PathNotFound(text, f"It could not be evaluated: {died}") from None


@functools.cache
def _environment() -> jsonpath.JSONPathEnvironment:
    """The library, which looks no deeper than 100 levels for `..` by itself; payloads may be deeper."""
    import jsonpath

    class Deep(jsonpath.JSONPathEnvironment):
        max_recursion_depth = 5_000

    return Deep()


_NOT_IN = re.compile(r"(@[\w.]*)\s+nin\s+(\[[^\]]*\])")  # Jayway's filter operators, as the library says them
_LENGTH = re.compile(r"(@[\w.]*)\.length\(\)")


@functools.lru_cache(maxsize=1024)
def library(rest: str) -> jsonpath.JSONPath | jsonpath.CompoundJSONPath:
    """The library's path for what follows the root."""
    import jsonpath

    try:
        return _environment().compile("$" + _NOT_IN.sub(r"!(\1 in \2)", _LENGTH.sub(r"length(\1)", rest)))
    except (jsonpath.JSONPathError, RecursionError) as error:
        raise PathSyntaxError(f"'${rest}' is not a valid JSONPath: {error}") from None


def _calling(name: str, of: Compiled, text: str) -> Compiled:
    function = _FUNCTIONS[name]

    def call(scope: Scope) -> Json:
        try:
            return function(of(scope))
        except (TypeError, ValueError, ZeroDivisionError):
            raise PathNotFound(
                text, f"Aggregation function attempted to calculate value using empty array: {name}"
            ) from None

    return call


def _numbers(value: Json) -> list[float]:
    if not isinstance(value, list):
        raise TypeError
    return [item for item in value if isinstance(item, int | float) and not isinstance(item, bool)]


def _length(value: Json) -> Json:
    return len(value) if isinstance(value, list | dict | str) else None


def _keys(value: Json) -> Json:
    return list(value) if isinstance(value, dict) else None


_FUNCTIONS: Mapping[str, Callable[[Json], Json]] = {
    "length": _length,
    "keys": _keys,
    "min": lambda value: min(_numbers(value)),
    "max": lambda value: max(_numbers(value)),
    "sum": lambda value: sum(_numbers(value)),
    "avg": lambda value: sum(_numbers(value)) / len(_numbers(value)),
}


@functools.lru_cache(maxsize=4096)
def expression(text: str) -> Compiled:
    """Compile what may stand behind a `.$` field: a path or an intrinsic function call. Raises PathSyntaxError."""
    if text.startswith("$"):
        return path(text)
    from millpond.asl import intrinsics

    return intrinsics.call(text)


def is_path(text: str) -> bool:
    """Does this text compile as a path?"""
    try:
        path(text)
    except PathSyntaxError:
        return False
    return True


# ------------------------------------------------------------------------------------------------------------ templates


def template(value: Json) -> Compiled:
    """Compile a payload template (Parameters, ResultSelector, ItemSelector, Assign): `name.$` fields are evaluated.

    The closure raises EvaluationError in AWS's words. Raises PathSyntaxError, whose message names the field.
    """
    compiled = _template(value)
    return compiled if compiled is not None else lambda scope: value


def _template(value: Json) -> Compiled | None:
    """None when nothing in it needs evaluation: constants are shared, not copied."""
    if isinstance(value, dict):
        return _object_template(value)
    if isinstance(value, list):
        parts = [(item, _template(item)) for item in value]
        if all(part is None for _, part in parts):
            return None
        return lambda scope: [part(scope) if part else item for item, part in parts]
    return None


def _object_template(value: dict[str, Json]) -> Compiled | None:
    fields: list[tuple[str, Json, Compiled | None]] = []
    for key, item in value.items():
        if key.endswith(".$"):
            fields.append((key[:-2], None, _template_field(key, item)))
        else:
            fields.append((key, item, _template(item)))
    if all(part is None for _, _, part in fields):
        return None
    return lambda scope: {key: part(scope) if part else item for key, item, part in fields}


def _template_field(key: str, item: Json) -> Compiled:
    if not isinstance(item, str):
        raise PathSyntaxError(f"The value for the field '{key}' must be a STRING that contains a JSONPath")
    try:
        compiled = expression(item)
    except PathSyntaxError:
        raise PathSyntaxError(
            f"The value for the field '{key}' must be a valid JSONPath or a valid intrinsic function call"
        ) from None

    whole_input = item == "$"

    def evaluate(scope: Scope) -> Json:
        try:
            value = compiled(scope)
        except PathNotFound as missing:
            raise missing.at_field(key, scope.input) from None
        if value is None and whole_input:
            raise EvaluationError(NULL_INPUT)
        return value

    return evaluate


# --------------------------------------------------------------------------------------------------------- result paths

Placing = Callable[[Json, Json], Json]


@functools.lru_cache(maxsize=4096)
def placing(text: str | None) -> Placing:
    """Compile a ResultPath to `place(raw_input, result) -> output`; the input is copied only along the path.

    `None` keeps the input, `"$"` replaces it. Raises PathSyntaxError when it is no reference path into the input.
    """
    if text is None:
        return lambda raw, result: raw
    if text == "$":
        return lambda raw, result: result
    root, rest = _root(text)
    steps = reference_steps(rest)
    if root != "$" or not steps:
        raise PathSyntaxError(f"'{text}' is not a reference path")
    return lambda raw, result: _put(raw, steps, result)


def _put(at: Json, steps: tuple[Step, ...], result: Json) -> Json:
    if not steps:
        return result
    step, rest = steps[0], steps[1:]
    if isinstance(step, str) and isinstance(at, dict | None):
        copy = dict(at or {})
        copy[step] = _put(copy.get(step), rest, result)
        return copy
    if isinstance(step, int) and isinstance(at, list) and -len(at) <= step < len(at):
        items = list(at)
        items[step] = _put(items[step], rest, result)
        return items
    raise EvaluationError(
        f'Unable to apply step "{step}" to input {compact(at)}', error="States.ResultPathMatchFailure"
    )
