"""Step Functions' intrinsic functions for JSONPath states: `States.Format('{} rows', $.count)` and its seventeen peers.

A call is parsed once into a closure. Arguments are nested calls, paths, strings in single quotes (escapes: quote,
braces, backslash), numbers, true, false, null. A call that fails raises EvaluationError(States.IntrinsicFailure).
Limits are AWS's: 10,000 characters to encode, decode or hash; 1,000 items in a range.

May import: millpond.errors, asl.model, asl.paths.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from millpond.asl import paths
from millpond.asl.model import Json
from millpond.asl.paths import Compiled, EvaluationError, PathSyntaxError, Scope

_NAME = re.compile(r"\s*States\.([A-Za-z0-9]+)\s*\(")
_WORD = re.compile(r"\s*(true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(?=[,)])")
_STRING = re.compile(r"\s*'((?:[^'\\]|\\['{}\\])*)'\s*(?=[,)])")
_CLOSERS = {"(": ")", "[": "]"}
LONGEST = 10_000
MOST_ITEMS = 1_000
LARGEST = (1 << 63) - 1
LONGEST_FORMATTED = 16 << 20  # characters; no state may give 262,144 bytes
DEEPEST = 10


def call(text: str) -> Compiled:
    """Compile an intrinsic function call. Raises PathSyntaxError: unknown function, wrong number of arguments."""
    compiled, end = _call(text, 0, 0)
    if text[end:].strip():
        raise PathSyntaxError(f"'{text}' is not an intrinsic function call")
    return compiled


@dataclass(frozen=True, slots=True)
class _Function:
    """`least` and `most` arguments; -1: no limit."""

    run: Callable[[list[Json], Scope], Json]
    least: int
    most: int


def _call(text: str, at: int, depth: int) -> tuple[Compiled, int]:
    found = _NAME.match(text, at)
    if not found or depth >= DEEPEST:
        raise PathSyntaxError(f"'{text}' is not a valid intrinsic function call")
    name, begin, at = found[1], found.start(), found.end()
    arguments: list[Compiled] = []
    while not (closing := re.compile(r"\s*\)\s*").match(text, at)):
        if arguments:
            comma = re.compile(r"\s*,").match(text, at)
            if not comma:
                raise PathSyntaxError(f"'{text}': expected ',' or ')' at {at}")
            at = comma.end()
        argument, at = _argument(text, at, depth, raw=name == "Format" and not arguments)
        arguments.append(argument)
    function = FUNCTIONS.get(name)
    if function is None:
        raise PathSyntaxError(f"There is no intrinsic function States.{name}")
    if len(arguments) < function.least or (function.most >= 0 and len(arguments) > function.most):
        raise PathSyntaxError(f"States.{name} takes another number of arguments: {len(arguments)} given")
    return _calling(text[begin : closing.end()].strip(), function, arguments), closing.end()


def _calling(text: str, function: _Function, arguments: list[Compiled]) -> Compiled:
    def evaluate(scope: Scope) -> Json:
        try:
            values = [argument(scope) for argument in arguments]
        except paths.PathNotFound as missing:
            shown = paths.compact(scope.input)
            reason = f"The JsonPath argument for the field '{missing.path}' could not be found in the input '{shown}'"
            raise EvaluationError(f"The function '{text}' had the following error: {reason}") from None
        try:
            return function.run(values, scope)
        except _Wrong as wrong:
            cause = f"The function '{text}' had the following error: {wrong}"
            raise EvaluationError(cause, error="States.IntrinsicFailure") from None

    return evaluate


def _argument(text: str, at: int, depth: int, *, raw: bool) -> tuple[Compiled, int]:
    if _NAME.match(text, at):
        return _call(text, at, depth + 1)
    if found := _STRING.match(text, at):
        # Format tells `{}` from `\{\}`, so its template keeps the escapes.
        literal: Json = found[1] if raw else re.sub(r"\\(['{}\\])", r"\1", found[1])
        return (lambda scope: literal), found.end()
    if found := _WORD.match(text, at):
        word: Json = json.loads(found[1])
        return (lambda scope: word), found.end()
    end = _end_of_path(text, at)
    return paths.path(text[at:end].strip()), end


def _end_of_path(text: str, at: int) -> int:
    """Where a path argument ends: the comma or parenthesis outside its brackets and quotes."""
    closers: list[str] = []
    quote = ""
    for position in range(at, len(text)):
        character = text[position]
        if quote:
            quote = "" if character == quote and text[position - 1] != "\\" else quote
        elif character in "'\"" and closers:
            quote = character
        elif closers and character == closers[-1]:
            closers.pop()
        elif character in _CLOSERS:
            closers.append(_CLOSERS[character])
        elif character in ",)" and not closers:
            return position
    raise PathSyntaxError(f"'{text}' is not a valid intrinsic function call: it does not end")


# -------------------------------------------------------------------------------------------------------- the functions


class _Wrong(Exception):
    """Arguments that a function cannot take; the text is the reason."""


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"A string was expected but was: {paths.compact(value)}")
    return value


def _list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise _Wrong(f"An array was expected but was: {paths.compact(value)}")
    return value


def _integer(value: Json) -> int:
    """AWS rounds what is not an integer to the nearest one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Wrong(f"A number was expected but was: {paths.compact(value)}")
    number = value if isinstance(value, int) else math.floor(value + 0.5)
    if not -LARGEST - 1 <= number <= LARGEST:
        raise _Wrong(f"The number is out of range: {paths.compact(value)}")
    return number


def _short(value: Json) -> str:
    text = _text(value)
    if len(text) > LONGEST:
        raise _Wrong(f"The string is longer than {LONGEST} characters")
    return text


def _java(value: Json) -> str:
    """A value inside States.Format, as Java prints it."""
    match value:
        case str():
            return value
        case dict():
            return "{" + ", ".join(f"{key}={_java(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(_java(item) for item in value) + "]"
        case _:
            return paths.compact(value)


_PLACES = re.compile(r"\\(['{}\\])|(\{\})")


def _format(values: list[Json], scope: Scope) -> Json:
    template, rest = _text(values[0]), values[1:]
    places = sum(1 for found in _PLACES.finditer(template) if found[2])
    if places != len(rest):
        raise _Wrong(f"The template has {places} placeholders but {len(rest)} values were given")
    shown = [_java(value) for value in rest]
    if sum(map(len, shown)) > LONGEST_FORMATTED:
        raise _Wrong("The formatted string is too long")
    texts = iter(shown)
    return _PLACES.sub(lambda found: next(texts) if found[2] else found[1], template)


def _string_to_json(values: list[Json], scope: Scope) -> Json:
    text = _text(values[0])
    if not text.strip():
        return None
    try:
        return paths.parse_json(text)
    except (ValueError, RecursionError):
        raise _Wrong(f"The string is not valid JSON: {text}") from None


def _partition(values: list[Json], scope: Scope) -> Json:
    items, size = _list(values[0]), _integer(values[1])
    if size <= 0:
        raise _Wrong("The chunk size must be a positive integer")
    return [items[at : at + size] for at in range(0, len(items), size)]


def _range(values: list[Json], scope: Scope) -> Json:
    first, last, step = (_integer(value) for value in values)
    if step == 0:
        raise _Wrong("The step must not be zero")
    if (last - first) // step >= MOST_ITEMS:
        raise _Wrong(f"The range has more than {MOST_ITEMS} items")
    return list(range(first, last + (1 if step > 0 else -1), step))


def _get_item(values: list[Json], scope: Scope) -> Json:
    items, index = _list(values[0]), _integer(values[1])
    if not 0 <= index < len(items):
        raise _Wrong(f"The index {index} is out of bounds for an array of {len(items)} items")
    return items[index]


def _unique(values: list[Json], scope: Scope) -> Json:
    first: dict[str, Json] = {}
    for item in _list(values[0]):
        first.setdefault(json.dumps(item, sort_keys=True), item)
    return list(first.values())


def _contains(values: list[Json], scope: Scope) -> Json:
    wanted = json.dumps(values[1], sort_keys=True)
    return any(json.dumps(item, sort_keys=True) == wanted for item in _list(values[0]))


def _encode(values: list[Json], scope: Scope) -> Json:
    return base64.b64encode(_short(values[0]).encode()).decode()


def _decode(values: list[Json], scope: Scope) -> Json:
    try:
        return base64.b64decode(_short(values[0]), validate=True).decode()
    except (binascii.Error, ValueError):
        raise _Wrong("The string is not valid Base64") from None


DIGESTS = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


def _hash(values: list[Json], scope: Scope) -> Json:
    data, algorithm = values[0], DIGESTS.get(_text(values[1]))
    if algorithm is None:
        raise _Wrong(f"The hash algorithm must be one of: {', '.join(DIGESTS)}")
    text = _short(data) if isinstance(data, str) else paths.compact(data)
    return hashlib.new(algorithm, text.encode(), usedforsecurity=False).hexdigest()


def _merge(values: list[Json], scope: Scope) -> Json:
    left, right, deep = values
    if not isinstance(left, dict) or not isinstance(right, dict):
        raise _Wrong("The first two arguments must be JSON objects")
    if deep is not False:
        raise _Wrong("Only the shallow merging mode is supported: the third argument must be false")
    return left | right


def _random(values: list[Json], scope: Scope) -> Json:
    start, end = _integer(values[0]), _integer(values[1])
    if end <= start:
        raise _Wrong("The end of the range must be greater than its start")
    if len(values) < 3:
        return start + int(scope.random() * (end - start))
    seed = _integer(values[2])
    if end - start >= 1 << 31:  # more than Java's nextInt can draw
        return start + int(java_double(seed) * (end - start))
    return start + _java_random(seed, end - start)


def _java_random(seed: int, bound: int) -> int:
    """java.util.Random(seed).nextInt(bound): documented constants, so that a seed means the same everywhere."""
    state = (seed ^ 0x5DEECE66D) & ((1 << 48) - 1)
    while True:
        state = (state * 0x5DEECE66D + 0xB) & ((1 << 48) - 1)
        bits = state >> 17
        if bound & (bound - 1) == 0:
            return (bound * bits) >> 31
        value = bits % bound
        if bits - value + bound - 1 < 1 << 31:
            return value


def java_double(seed: int) -> float:
    """java.util.Random(seed).nextDouble(): a number in [0, 1)."""
    state, drawn = (seed ^ 0x5DEECE66D) & ((1 << 48) - 1), []
    for _ in range(2):
        state = (state * 0x5DEECE66D + 0xB) & ((1 << 48) - 1)
        drawn.append(state)
    return ((drawn[0] >> 22 << 27) + (drawn[1] >> 21)) / (1 << 53)


def _add(values: list[Json], scope: Scope) -> Json:
    return _integer(values[0]) + _integer(values[1])


def _split(values: list[Json], scope: Scope) -> Json:
    text, delimiters = _text(values[0]), _text(values[1])
    if not delimiters:
        return [text]
    return [part for part in re.split(f"[{re.escape(delimiters)}]", text) if part]


FUNCTIONS: Mapping[str, _Function] = {
    "Array": _Function(lambda values, scope: values, 0, -1),
    "ArrayPartition": _Function(_partition, 2, 2),
    "ArrayContains": _Function(_contains, 2, 2),
    "ArrayRange": _Function(_range, 3, 3),
    "ArrayGetItem": _Function(_get_item, 2, 2),
    "ArrayLength": _Function(lambda values, scope: len(_list(values[0])), 1, 1),
    "ArrayUnique": _Function(_unique, 1, 1),
    "Base64Encode": _Function(_encode, 1, 1),
    "Base64Decode": _Function(_decode, 1, 1),
    "Hash": _Function(_hash, 2, 2),
    "JsonMerge": _Function(_merge, 3, 3),
    "StringToJson": _Function(_string_to_json, 1, 1),
    "JsonToString": _Function(lambda values, scope: paths.compact(values[0]), 1, 1),
    "MathRandom": _Function(_random, 2, 3),
    "MathAdd": _Function(_add, 2, 2),
    "StringSplit": _Function(_split, 2, 2),
    "UUID": _Function(lambda values, scope: str(uuid.uuid4()), 0, 0),
    "Format": _Function(_format, 1, -1),
}
