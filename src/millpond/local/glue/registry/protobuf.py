"""Protobuf definitions, proto2 and proto3: their syntax (the language specification on protobuf.dev), nothing more.

AWS's registry takes neither `extensions` nor `group` (AWS docs, "AWS Glue Schema registry"); nor does this.
"""

from __future__ import annotations

import re

from millpond.local.glue.registry import SchemaError

TOKENS = re.compile(
    r"""\s+|//[^\n]*|/\*.*?\*/|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<word>\.?[A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)*)|(?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|\d[\d.eE+-]*))"""
    r"""|(?P<sign>[{}\[\]()<>=;,:+-])""",
    re.DOTALL | re.ASCII,
)
KEYS = frozenset({"int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64"})
KEYS |= {"sfixed32", "sfixed64", "bool", "string"}
LARGEST = 2**29 - 1
RESERVED = range(19_000, 20_000)  # field numbers of the implementation
DEEPEST = 60


def parse(text: str) -> frozenset[str]:
    """The names of the messages and enums at the top. Raises SchemaError."""
    return _Parser(_tokens(text)).file()


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    while at < len(text):
        if (found := TOKENS.match(text, at)) is None:
            raise SchemaError(f"unexpected '{text[at]}'")
        if found.lastgroup:
            tokens.append((found.lastgroup, found[0]))
        at = found.end()
    return [*tokens, ("end", "the end")]


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens, self.at, self.proto3, self.depth = tokens, 0, False, 0

    @property
    def next(self) -> str:
        return self.tokens[self.at][1]

    def take(self, kind: str = "") -> str:
        found, text = self.tokens[self.at]
        if found == "end" or (kind and found != kind):
            raise SchemaError(f"expected {'a ' + kind if kind else 'more'}, found {text[:100]}")
        self.at += 1
        return text

    def sign(self, text: str) -> bool:
        if self.tokens[self.at] == ("sign", text):
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.sign(text):
            raise SchemaError(f"expected '{text}', found {self.next[:100]}")

    def file(self) -> frozenset[str]:
        if self.next == "syntax":
            self.take()
            self.expect("=")
            syntax = self.take("text")[1:-1]
            self.expect(";")
            if syntax not in ("proto2", "proto3"):
                raise SchemaError(f"the syntax {syntax[:100]} is not supported")
            self.proto3 = syntax == "proto3"
        names: set[str] = set()
        while self.tokens[self.at][0] != "end":
            self.statement(names)
        if not names:
            raise SchemaError("it declares no message")
        return frozenset(names)

    def statement(self, names: set[str]) -> None:
        if self.sign(";"):
            return
        match word := self.take("word"):
            case "import" | "package" | "option":
                while self.next != ";":
                    self.take()
                self.expect(";")
            case "message" | "enum":
                self.named(word, names)
            case "service":
                self.take("word")
                self.skipped()
            case _:
                raise SchemaError(f"'{word[:100]}' cannot begin a declaration")

    def named(self, word: str, names: set[str]) -> None:
        name = self.take("word")
        if "." in name or name in names:
            raise SchemaError(f"the name {name[:100]} is not free")
        names.add(name)
        self.depth += 1
        if self.depth > DEEPEST:
            raise SchemaError("it is nested too deeply")
        if word == "message":
            self.message()
        else:
            self.enum()
        self.depth -= 1

    def skipped(self) -> None:
        """A block whose inside does not matter."""
        self.expect("{")
        depth = 1
        while depth:
            text = self.take()
            depth += (text == "{") - (text == "}")

    def message(self) -> None:
        self.expect("{")
        inner: set[str] = set()
        numbers: set[int] = set()
        fields: set[str] = set()
        while not self.sign("}"):
            self.member(inner, numbers, fields)

    def member(self, inner: set[str], numbers: set[int], fields: set[str]) -> None:
        if self.sign(";"):
            return
        word = self.next
        following = self.tokens[self.at + 1]
        if word in ("message", "enum") and following[0] == "word" and self.tokens[self.at + 2][1] == "{":
            self.take()
            self.named(word, inner)
        elif word in ("option", "reserved") and following[1] != "=":
            while self.take() != ";":
                pass
        elif word == "oneof" and self.tokens[self.at + 2][1] == "{":
            self.take()
            self.take("word")
            self.expect("{")
            while not self.sign("}"):
                self.field(numbers, fields, inside=True)
        elif word in ("extensions", "extend", "group"):
            raise SchemaError(f"{word} is not supported")
        else:
            self.field(numbers, fields)

    def field(self, numbers: set[int], fields: set[str], *, inside: bool = False) -> None:
        label = self.next
        if label in ("optional", "required", "repeated") and self.tokens[self.at + 1][0] == "word":
            self.take()
            if inside or (label == "required" and self.proto3):
                raise SchemaError(f"{label} is not allowed here")
        elif label != "map" and not inside and not self.proto3:
            raise SchemaError(f"a field of proto2 needs a label: {label[:100]}")
        self.kind()
        name = self.take("word")
        self.expect("=")
        number = self.take("number")
        value = int(number, 0) if re.fullmatch(r"0[xX][0-9a-fA-F]{1,8}|0|[1-9]\d{0,9}", number, re.ASCII) else 0
        if not 0 < value <= LARGEST or value in RESERVED or value in numbers:
            raise SchemaError(f"the field number {number[:100]} cannot be used")
        if name in fields:
            raise SchemaError(f"the field {name[:100]} is declared twice")
        numbers.add(value)
        fields.add(name)
        self.options()
        self.expect(";")

    def kind(self) -> None:
        word = self.take("word")
        if word == "group":
            raise SchemaError("group is not supported")
        if word == "map" and self.sign("<"):
            if (key := self.take("word")) not in KEYS:
                raise SchemaError(f"a map cannot have keys of {key[:100]}")
            self.expect(",")
            self.take("word")
            self.expect(">")

    def options(self) -> None:
        if self.sign("["):
            while self.take() != "]":
                pass

    def enum(self) -> None:
        self.expect("{")
        values: list[int] = []
        while not self.sign("}"):
            if self.sign(";"):
                continue
            word = self.take("word")
            if word in ("option", "reserved") and self.next != "=":
                while self.take() != ";":
                    pass
                continue
            self.expect("=")
            number = self.take("number")
            if re.fullmatch(r"-?(0[xX][0-9a-fA-F]{1,8}|\d{1,10})", number, re.ASCII) is None:
                raise SchemaError(f"the value {number[:100]} of an enum is not a whole number")
            values.append(int(number, 16 if "x" in number.lower() else 10))
            self.options()
            self.expect(";")
        if not values or (self.proto3 and values[0] != 0):
            raise SchemaError("the first value of an enum is zero")
