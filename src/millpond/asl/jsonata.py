"""JSONata as Step Functions speaks it: `{% ... %}` strings anywhere in a field, evaluated with `$states` and variables.

A plain path over objects (`$states.input.a.b`, `$order.id`) compiles to dictionary look-ups; all else goes to the
library, one compiled expression a thread (it is not safe to share), with bounds on time and depth; what might not
respect them is evaluated in a process of its own (`apart`). Only what an expression mentions is handed over, because
handing over costs time linear in its size. Undefined is an error, as it is in Step Functions; null is a value. Errors
of the library come in the words of the reference implementation (`jsonata_words`). The extra functions are AWS's:
$partition $range $hash $random $uuid $parse; there is no $eval.

**Limits**: numbers that JSONata computes with are doubles; integers beyond 2^53 keep all digits on plain paths only.

May import: millpond.errors, asl.model, asl.paths, asl.intrinsics, asl.apart, asl.jsonata_words.
"""

from __future__ import annotations

import functools
import random
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Final, Protocol, cast

from millpond.asl import apart, intrinsics, jsonata_words
from millpond.asl.model import ABSENT, Json
from millpond.asl.paths import Compiled, EvaluationError, PathSyntaxError, Scope, Values, compact, parse_json

MILLISECONDS = 1_000
DEPTH = 900  # nested evaluations; a thread's stack of 8 MB bears three times as many
_CACHED = 2_000  # compiled expressions a thread


class Undefined:
    """The type of `UNDEFINED`: an expression that matched nothing."""


UNDEFINED: Final = Undefined()


def is_expression(value: Json) -> bool:
    """Is this field a JSONata expression? AWS allows no space around the delimiters."""
    return isinstance(value, str) and value.startswith("{%") and value.endswith("%}") and len(value) >= 4


def source(value: str) -> str:
    """The text between the delimiters, trimmed, as AWS quotes it in errors."""
    return value[2:-2].strip()


# ------------------------------------------------------------------------------------------------------------ compiling


def template(value: Json, field: str) -> Compiled:
    """Compile a field: each `{% %}` string in it is evaluated. `field` is its name in errors (`Output/total`).

    The closure raises EvaluationError(States.QueryEvaluationError). Raises PathSyntaxError.
    """
    compiled = _template(value, field)
    return compiled if compiled is not None else lambda scope: value


def _template(value: Json, field: str) -> Compiled | None:
    if isinstance(value, str):
        return expression(value, field) if is_expression(value) else None
    if isinstance(value, dict):
        pairs = [(key, item, _template(item, f"{field}/{key}")) for key, item in value.items()]
        if all(part is None for _, _, part in pairs):
            return None
        return lambda scope: {key: part(scope) if part else item for key, item, part in pairs}
    if isinstance(value, list):
        parts = [(item, _template(item, f"{field}[{index}]")) for index, item in enumerate(value)]
        if all(part is None for _, part in parts):
            return None
        return lambda scope: [part(scope) if part else item for item, part in parts]
    return None


def typed(value: Json, field: str, kind: str) -> Compiled:
    """Compile a field whose value must be of a JSONata type: array, object, string, number, boolean, null."""
    compiled = template(value, field)
    text = source(value) if isinstance(value, str) and is_expression(value) else compact(value)

    def check(scope: Scope) -> Json:
        result = compiled(scope)
        if type_name(result) != kind:
            raise _failed(
                text,
                field,
                f"returned an unexpected result type. Expected '{kind}', but was '{type_name(result)}' "
                f"for value: {compact(result)}",
            )
        return result

    return check


def type_name(value: Json) -> str:
    """The JSONata name of a value's type."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _failed(text: str, field: str, what: str) -> EvaluationError:
    cause = f"The JSONata expression '{text}' specified for the field '{field}' {what}"
    return EvaluationError(cause, error="States.QueryEvaluationError", location=field)


def expression(value: str, field: str) -> Compiled:
    """Compile one `{% %}` string. Raises PathSyntaxError."""
    text = source(value)
    evaluate = _plain(text) or _general(text)

    def run(scope: Scope) -> Json:
        try:
            result = evaluate(scope)
        except _LibraryError as error:
            raise _failed(text, field, f"threw an error during evaluation. {error}") from None
        except _UnsupportedResult:
            raise _failed(text, field, "returned an unsupported result type.") from None
        if result is UNDEFINED:
            raise _failed(text, field, "returned nothing (undefined).")
        return cast("Json", result)

    return run


_Evaluate = Callable[[Scope], "Json | Undefined"]

# ---------------------------------------------------------------------------------------------------------- plain paths

_PLAIN = re.compile(r"\$([^\W\d]\w*)((?:\.(?:[^\W\d]\w*|`[^`]+`))*)")
_NAME = re.compile(r"\.(?:([^\W\d]\w*)|`([^`]+)`)")
_KEYWORDS = frozenset({"and", "or", "in", "true", "false", "null", "function"})
_MEMBERS: Mapping[str, Callable[[Scope], object]] = {
    "input": lambda scope: scope.input,
    "context": lambda scope: scope.context,
    "result": lambda scope: scope.result,
    "errorOutput": lambda scope: scope.error_output,
}


def _plain(text: str) -> _Evaluate | None:
    """A closure for `$name.a.b`, or None. It hands over to the library when an array is on the way."""
    found = _PLAIN.fullmatch(text)
    if not found:
        return None
    root = found[1]
    steps = tuple(plain or quoted for plain, quoted in _NAME.findall(found[2]))
    if _KEYWORDS.intersection(steps):
        return None
    read: Callable[[Scope], object]
    if root == "states":
        if not steps or steps[0] not in _MEMBERS:
            return None
        read, steps = _MEMBERS[steps[0]], steps[1:]
    else:
        read = lambda scope: scope.variables.get(root, ABSENT)  # noqa: E731

    def walk(scope: Scope) -> Json | Undefined:
        value = read(scope)
        for step in steps:
            if value.__class__ is not dict:
                return _off_the_path(text, value, scope)
            value = cast("dict[str, Json]", value).get(step, ABSENT)
        if value is ABSENT:
            return _off_the_path(text, value, scope)
        return cast("Json", value)

    return walk


def _off_the_path(text: str, value: object, scope: Scope) -> Json | Undefined:
    # An array maps over its items; `$sum` without a call is a function: both are the library's business.
    return _general(text)(scope) if isinstance(value, list) or value is ABSENT else UNDEFINED


# ---------------------------------------------------------------------------------------------------------- the library

_ANY_VARIABLE = re.compile(r"\$([^\W\d]\w*)")
_STATES = re.compile(r"\$states\b(?:\s*\.\s*([^\W\d]\w*))?")
_INPUT = re.compile(r"\$states\s*\.\s*input\b(?:\s*\.\s*([^\W\d]\w*))?")


@functools.lru_cache(maxsize=4096)
def _general(text: str) -> _Evaluate:
    parse(text)  # syntax errors come out now
    is_wild = apart.is_wild(text)
    if is_wild:
        apart.warm()
    wanted = frozenset(_ANY_VARIABLE.findall(text)) - {"states"}
    members = frozenset(_STATES.findall(text))
    if "" in members:
        members = frozenset(_MEMBERS)
    keys = _keys_of_input(text)
    asks_time = _asks_time(text)

    def evaluate(scope: Scope) -> Json | Undefined:
        if "eval" in wanted:
            raise _LibraryError("T1006: Attempted to invoke a non-function")
        bindings: dict[str, Json] = {name: scope.variables[name] for name in wanted if name in scope.variables}
        if asks_time:
            bindings[_AT] = int(scope.now() * 1000)
        if members:
            states = {name: _MEMBERS[name](scope) for name in members if name in _MEMBERS}
            given = states.get("input")
            if keys is not None and isinstance(given, dict):
                states["input"] = {key: given[key] for key in keys if key in given}
            bindings["states"] = cast("Json", {name: value for name, value in states.items() if value is not ABSENT})
        return (_apart if is_wild else _within)(text, bindings, scope)

    return evaluate


def parse(text: str) -> None:
    """Check the syntax of an expression without its delimiters. A long one is parsed apart: the library recurses, and
    10,000 `+` in a row overflow a thread's stack. Raises PathSyntaxError."""
    if len(text) <= apart.LONGEST_TAME:
        compiled(text)
        return
    try:
        found = apart.parse(text)
    except (apart.Died, OSError) as error:
        raise PathSyntaxError(f"The expression cannot be parsed: {error}") from None
    if "error" in found:
        raise PathSyntaxError(str(found["error"]))


def parsed(text: str) -> dict[str, Json]:
    """What a worker answers to `parse`: `error`, or nothing."""
    try:
        compiled(text)
    except PathSyntaxError as error:
        return {"error": str(error)}
    return {}


def _within(text: str, bindings: dict[str, Json], scope: Scope) -> Json | Undefined:
    """Evaluate in this process."""
    expression = compiled(text)
    try:
        return expression.evaluate(bindings, scope)
    except (OverflowError, UnicodeEncodeError):
        return expression.evaluate(cast("dict[str, Json]", _fitting(bindings)), scope)


def _fitting(value: Json) -> Json:
    """The same with what the library cannot take replaced: integers of more than 64 bits, halves of characters."""
    match value:
        case bool():
            return value
        case int() if not -(1 << 63) <= value < 1 << 63:
            try:
                return float(value)
            except OverflowError:
                raise _LibraryError(f"D1001: Number out of range: {value}") from None
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_fitting(item) for item in value]
        case dict():
            return {str(_fitting(key)): _fitting(item) for key, item in value.items()}
        case _:
            return value


def _apart(text: str, bindings: dict[str, Json], scope: Scope) -> Json | Undefined:
    """Evaluate in a worker, see `apart`."""
    try:
        found = apart.evaluate(text, bindings, scope.random() if "random" in text else 0.0)
    except apart.Died as died:
        raise _LibraryError(str(died)) from None
    except OSError as error:
        raise _LibraryError(f"No process could be started to evaluate it: {error}") from None
    if "error" in found:
        raise _LibraryError(str(found["error"]))
    if "function" in found:
        raise _UnsupportedResult
    return found.get("value", UNDEFINED)


def answer(text: str, bindings: dict[str, Json], source: random.Random) -> dict[str, Json]:
    """What a worker answers: `value`, `error`, `function`, or nothing for undefined."""
    try:
        value = _within(text, bindings, _Seeded(source))
    except _LibraryError as error:
        return {"error": str(error)}
    except _UnsupportedResult:
        return {"function": True}
    except MemoryError:
        return {"error": apart.TAKES_MUCH}
    return {} if isinstance(value, Undefined) else {"value": value}


class _Seeded(Values):
    """A scope that only has random numbers."""

    def __init__(self, source: random.Random) -> None:
        super().__init__()
        self._source = source

    def random(self) -> float:
        return self._source.random()


def _keys_of_input(text: str) -> frozenset[str] | None:
    """The only keys of the input that an expression can reach, or None when it may reach all."""
    keys = frozenset(_INPUT.findall(text))
    bare = "" in _STATES.findall(text)  # `$states` itself, or `$states.*`
    reaches_all = bare or "" in keys or "%" in text or len(_INPUT.findall(text)) != len(re.findall(r"\binput\b", text))
    return None if reaches_all else keys


class _LibraryError(Exception):
    """The library refused: `T1006: Attempted to invoke a non-function`."""


class _UnsupportedResult(Exception):
    """The expression gave a function."""


class _Compiled(Protocol):
    def evaluate(self, bindings: dict[str, Json], scope: Scope) -> Json | Undefined: ...


_local = threading.local()


def compiled(text: str) -> _Compiled:
    """This thread's compiled form of an expression (without delimiters). Raises PathSyntaxError."""
    cache: dict[str, _Compiled] | None = getattr(_local, "cache", None)
    if cache is None:
        cache = _local.cache = {}
    known = cache.get(text)
    if known is None:
        if len(cache) >= _CACHED:
            cache.clear()
        known = cache[text] = _binding()(text)
    return known


@functools.cache
def _binding() -> Callable[[str], _Compiled]:
    """The installed library: both import as `jsonata`, only the Rust one has UNDEFINED."""
    import jsonata

    return _Rust if hasattr(jsonata, "UNDEFINED") else _Python


class _Rust:
    """An expression compiled by jsonata-rs."""

    def __init__(self, text: str) -> None:
        import jsonata

        self._text, self._undefined, self._error = text, jsonata.UNDEFINED, jsonata.JsonataError
        self._scope: Scope | None = None
        self._is_function: _Rust | None = None
        self._shift = 0  # of positions in errors
        try:
            self._compiled = jsonata.Jsonata(text)
            if told := _told(text):
                self._compiled, self._shift = jsonata.Jsonata(f"({told}{text}\n)"), len(told) + 1
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a Rust panic is a BaseException
            raise PathSyntaxError(_sentence(error, text)) from None
        self._compiled.set_output_convert_nulls(False)
        self._compiled.set_runtime_bounds(MILLISECONDS, DEPTH)
        for name, function in FUNCTIONS.items():
            if f"${name}" in text:
                self._compiled.register_function(name, functools.partial(self._call, function))

    def _call(self, function: Callable[[list[Json], Scope], Json], *arguments: Json) -> Json:
        assert self._scope is not None
        return function(list(arguments), self._scope)

    def evaluate(self, bindings: dict[str, Json], scope: Scope) -> Json | Undefined:
        self._scope = scope
        try:
            result = self._compiled.evaluate(None, bindings)
        except (KeyboardInterrupt, SystemExit, MemoryError, OverflowError, UnicodeEncodeError):
            raise
        except BaseException as error:  # a Rust panic is a BaseException
            raise _LibraryError(_sentence(error, self._text, self._shift)) from None
        finally:
            self._scope = None
        if result is self._undefined:
            return UNDEFINED
        if (result is None or (self._text.startswith("/") and isinstance(result, str))) and self._gives_function(
            bindings, scope
        ):
            raise _UnsupportedResult
        return cast("Json", result)

    def _gives_function(self, bindings: dict[str, Json], scope: Scope) -> bool:
        """The library shows a function as None, like null, and a regular expression as its text."""
        if self._text in ("null", "") or self._text.startswith("$type("):
            return False
        if self._is_function is None:
            # The library takes no regular expression behind "((".
            self._is_function = _Rust(f"$type({self._text})" if self._text[0] == "/" else f"$type(({self._text}))")
        return self._is_function.evaluate(bindings, scope) == "function"


class _PurePython(Protocol):
    """What jsonata-python's Jsonata offers; the installed type information is the Rust library's."""

    def create_frame(self) -> _Frame: ...

    def register_lambda(self, name: str, function: Callable[..., Json]) -> None: ...

    def evaluate(self, data: Json, frame: _Frame) -> object: ...


class _Frame(Protocol):
    def set_runtime_bounds(self, timeout: int, depth: int) -> None: ...

    def bind(self, name: str, value: Json) -> None: ...


class _Python:
    """An expression compiled by jsonata-python, where jsonata-rs has no wheel."""

    def __init__(self, text: str) -> None:
        import jsonata

        self._text = text
        try:
            # An object leaves out what is undefined and keeps null, which this library otherwise confuses.
            self._compiled = cast("_PurePython", jsonata.Jsonata(f'{{"value": ({text})}}'))
        except Exception as error:
            raise PathSyntaxError(_sentence(error, text)) from None

    def evaluate(self, bindings: dict[str, Json], scope: Scope) -> Json | Undefined:
        frame = self._compiled.create_frame()
        frame.set_runtime_bounds(MILLISECONDS, DEPTH)
        for name, value in bindings.items():
            frame.bind(name, value)
        for name, function in FUNCTIONS.items():
            if f"${name}" in self._text:
                self._compiled.register_lambda(name, functools.partial(_spread, function, scope))
        try:
            result = self._compiled.evaluate(None, frame)
        except Exception as error:
            raise _LibraryError(_sentence(error, self._text)) from None
        if not isinstance(result, dict) or "value" not in result:
            return UNDEFINED
        value = result["value"]
        if value is not None and not isinstance(value, bool | int | float | str | list | dict):
            raise _UnsupportedResult
        return value


def _spread(function: Callable[[list[Json], Scope], Json], scope: Scope, *arguments: Json) -> Json:
    return function(list(arguments), scope)


def _sentence(error: BaseException, text: str, shift: int = 0) -> str:
    """`T1006: Attempted to invoke a non-function`; our own functions' errors without Python's class name."""
    code = getattr(error, "code", None) or getattr(error, "error", None)
    words = re.sub(r"^(_Wrong|ValueError): ", "", str(error))
    position = getattr(error, "position", None)
    return jsonata_words.sentence(code, words, text, None if position is None else max(0, position - shift))


_AT = "__at"  # a variable for $now and $millis: both tell the time at which the evaluation began


def _asks_time(text: str) -> bool:
    return "$now" in text or "$millis" in text


def _told(text: str) -> str:
    """What the library has to be told first: the limit of $match, which it forgets, the time of our clock, and that a
    timestamp without a zone is UTC's, as on AWS, not the laptop's."""
    return (
        (_MATCH if "$match" in text else "")
        + (_TIME if _asks_time(text) else "")
        + (_zone(text) if "$toMillis" in text else "")
    )


_MATCH = """
    $__match := $match;
    $match := function($s, $p, $n)<s-fn?:a<o>> {(
        $n < 0 ? $error("D3040: Third argument of match function must evaluate to a positive number");
        $found := $__match($s, $p);
        $exists($n) ? $found[[0..$n - 1]] : $found
    )};
"""
_TIME = f"""
    $millis := function()<:n> {{ ${_AT} }};
    $now := function($picture, $timezone)<s?s?:s> {{ $fromMillis(${_AT}, $picture, $timezone) }};
"""


def _zone(text: str) -> str:
    # As an argument of $map it is given the item's index too, which is not a picture.
    is_value = re.search(r"\$toMillis\b(?!\s*\()", text)
    return rf"""
    $__toMillis := $toMillis;
    $toMillis := function($t, $p)<x-x?:n> {{
        {'$type($p) = "string"' if is_value else "$exists($p)"} ? $__toMillis($t, $p)
        : $__toMillis($type($t) = "string" and $contains($t, /^[^T]*T[^Z+-]*$/) ? $t & "Z" : $t)
    }};
"""


# ------------------------------------------------------------------------------------------------ AWS's extra functions


def _parse(values: list[Json], scope: Scope) -> Json:
    try:
        return parse_json(cast("str", values[0]))
    except (ValueError, RecursionError):
        raise ValueError(f"Unable to parse the string as JSON: {values[0]}") from None


def _random(values: list[Json], scope: Scope) -> Json:
    """A number in [0, 1); the same seed gives the same number."""
    return intrinsics.java_double(int(cast("float", values[0]))) if values else scope.random()


_KINDS: Mapping[str, Callable[[Json], bool]] = {
    "a": lambda value: isinstance(value, list),
    "n": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "s": lambda value: isinstance(value, str),
}


def _signed(name: str, kinds: str, run: Callable[[list[Json], Scope], Json]) -> Callable[[list[Json], Scope], Json]:
    """A function that checks its arguments as JSONata's own do: `kinds` has one letter for each, `?` for optional."""
    wanted = kinds.rstrip("?")
    least = len(wanted) - (kinds != wanted)

    def call(values: list[Json], scope: Scope) -> Json:
        fitting = next((n for n, kind in enumerate(wanted) if n >= len(values) or not _KINDS[kind](values[n])), None)
        wrong = fitting if fitting is not None and (fitting < len(values) or fitting < least) else None
        if wrong is None and len(values) > len(wanted):
            wrong = len(wanted)
        if wrong is not None:
            raise ValueError(f'T0410: Argument {wrong + 1} of function "{name}" does not match function signature')
        return run(values, scope)

    return call


FUNCTIONS: Mapping[str, Callable[[list[Json], Scope], Json]] = {
    "partition": _signed("partition", "an", intrinsics.FUNCTIONS["ArrayPartition"].run),
    "range": _signed("range", "nnn", intrinsics.FUNCTIONS["ArrayRange"].run),
    "hash": _signed("hash", "ss", intrinsics.FUNCTIONS["Hash"].run),
    "random": _signed("random", "n?", _random),
    "uuid": _signed("uuid", "", lambda values, scope: str(uuid.uuid4())),
    "parse": _signed("parse", "s", _parse),
}
