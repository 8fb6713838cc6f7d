"""getResolvedOptions: a job's arguments from sys.argv."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any, NoReturn

# What Glue passes to each job by itself; in the result when it was passed, asked for or not.
OPTIONAL = (
    "job-bookmark-option",
    "job-bookmark-from",
    "job-bookmark-to",
    "JOB_ID",
    "JOB_RUN_ID",
    "SECURITY_CONFIGURATION",
)
TEMPORARY = ("RedshiftTempDir", "TempDir")


class GlueArgumentError(Exception):
    """An argument that the script asks for was not passed, or is ambiguous."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise GlueArgumentError(message)


def getResolvedOptions(args: Sequence[str], options: Sequence[str], allow_abbrev: bool | None = None) -> dict[str, Any]:
    """The values of `options` (names without dashes) in `args` (sys.argv); GlueArgumentError when one is missing.

    An unambiguous prefix of a name is accepted up to Glue 5.1, from 6.0 on only with `allow_abbrev` (release notes).
    `TempDir` is there, or None; arguments that Glue itself passes are there when they were passed.
    """
    if allow_abbrev is None:
        allow_abbrev = float(os.environ.get("GLUE_VERSION", "0")) < 6.0
    parser = _Parser(prog="", add_help=False, allow_abbrev=allow_abbrev)
    for name in options:
        if name in OPTIONAL:
            raise GlueArgumentError(f"Using reserved arguments --{name}")
        parser.add_argument(f"--{name}", required=name not in TEMPORARY)
    for name in (*OPTIONAL, *TEMPORARY):
        if name not in options:
            parser.add_argument(f"--{name}", required=False, default=argparse.SUPPRESS)
    known, _ = parser.parse_known_args(_joined(list(args)[1:]))
    found = vars(known)
    found.setdefault("TempDir", found.get("RedshiftTempDir"))
    return {name.replace("-", "_") if name in OPTIONAL else name: value for name, value in found.items()}


def _joined(args: list[str]) -> list[str]:
    """`--name value` as `--name=value`: a value may begin with dashes, or be negative."""
    joined, at = [], 0
    while at < len(args):
        word = args[at]
        if word.startswith("--") and "=" not in word and at + 1 < len(args):
            joined.append(f"{word}={args[at + 1]}")
            at += 2
        else:
            joined.append(word)
            at += 1
    return joined
