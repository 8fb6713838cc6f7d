"""The only error vocabulary of Millpond: where, what, and what to do next.

`MillpondError` is the root of every error that a user may see. A place is data (`Span`), a finding is a `Diagnostic`,
text is rendered once, by the caller that shows it.

May import: nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a file: `line` and `column` start at 1; 0 means unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return ":".join([self.file, *(str(n) for n in (self.line, self.column) if n)])


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding of a check: `code` is stable, `at` is a path into the checked document, `help` is what to do."""

    code: str
    message: str
    at: tuple[str | int, ...] = ()
    severity: Literal["ERROR", "WARNING"] = "ERROR"
    span: Span | None = None
    help: str = ""

    @property
    def location(self) -> str:
        """The place as AWS writes it: `/States/Join/Next`."""
        return "".join(f"[{part}]" if isinstance(part, int) else f"/{part}" for part in self.at)


class MillpondError(Exception):
    """Something that the user can act on. `help` is the next step, in words or as a command."""

    exit_code = 2

    def __init__(self, message: str, *, help: str = "", span: Span | None = None) -> None:
        super().__init__(message)
        self.message, self.help, self.span = message, help, span


class ProjectError(MillpondError):
    """The project cannot be read or is not valid: exit code 2."""


class DefinitionError(MillpondError):
    """A document has findings; `diagnostics` holds all of them."""

    def __init__(self, message: str, diagnostics: tuple[Diagnostic, ...] = ()) -> None:
        super().__init__(message)
        self.diagnostics = diagnostics


class CloudError(MillpondError):
    """The cloud (local or AWS) refused: exit code 3. `code` is AWS's error code."""

    exit_code = 3

    def __init__(self, code: str, message: str, *, help: str = "") -> None:
        super().__init__(f"{code}: {message}", help=help)
        self.code = code
