"""getResolvedOptions: a job's arguments from sys.argv; and what else AWS's module of this name exports."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from awsglue.job import Job

# Glue's own arguments: always in the result, None when they were not passed; a script may not ask for them (AWS docs,
# "Accessing parameters using getResolvedOptions").
CHOSEN = (Job.job_bookmark_options(), Job.encryption_type_options())
RESERVED = (*Job.job_bookmark_range_options(), *Job.id_params(), *Job.data_lineage_options())
TEMPORARY = ("RedshiftTempDir", "TempDir")


class GlueArgumentError(Exception):
    """An argument that the script asks for was not passed, is ambiguous, or is Glue's own."""


class GlueArgumentParser(argparse.ArgumentParser):
    """A parser that raises GlueArgumentError where argparse would end the process."""

    def error(self, msg: str) -> NoReturn:  # type: ignore[override]  # AWS's name of it
        raise GlueArgumentError(msg)


def getResolvedOptions(args: Sequence[str], options: Sequence[str], allow_abbrev: bool | None = None) -> dict[str, Any]:
    """The values of `options` (names without dashes) in `args` (sys.argv); GlueArgumentError when one is missing.

    An unambiguous prefix of a name is accepted up to Glue 5.1; from 6.0 on only when `allow_abbrev` is True. A dash in
    a name is an underscore in the result. `TempDir` and what Glue itself passes are there, or None.
    """
    if allow_abbrev is None:
        allow_abbrev = float(os.environ.get("GLUE_VERSION", "0")) < 6.0
    parser = GlueArgumentParser(prog="", add_help=False, allow_abbrev=allow_abbrev)
    own = {name.removeprefix("--") for name in (*(one[0] for one in CHOSEN), *RESERVED)}
    if taken := [name for name in options if name in own]:
        raise GlueArgumentError(f"Using reserved arguments {', '.join(taken)}")
    for name, *values in CHOSEN:
        parser.add_argument(name, choices=values, required=False)
    for name in (*RESERVED, *(f"--{name}" for name in TEMPORARY)):
        parser.add_argument(name, required=False)
    for name in dict.fromkeys(options):
        if name not in TEMPORARY:
            parser.add_argument(f"--{name}", required=True)
    known, _ = parser.parse_known_args(_joined(list(args)[1:]))
    found = vars(known)
    found["TempDir"] = found["RedshiftTempDir"] = found["RedshiftTempDir"] or found["TempDir"]
    return found


def makeOptions(sc: Any, py_obj: Any) -> NoReturn:
    """AWS's library makes an object of its Java part of a dict."""
    raise NotImplementedError("makeOptions: this library has no Java part; every method takes a dict as it is")


def callsite() -> str:
    """Where the script called this library: the nearest file and line outside of it, as error records name it."""
    inside = os.path.dirname(__file__)
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def iteritems(d: Mapping[Any, Any], **kwargs: Any) -> Iterator[tuple[Any, Any]]:
    """Keys and values, as Python 2 had it."""
    return iter(d.items(**kwargs))


def iterkeys(d: Mapping[Any, Any], **kwargs: Any) -> Iterator[Any]:
    """Keys, as Python 2 had it."""
    return iter(d.keys(**kwargs))


def itervalues(d: Mapping[Any, Any], **kwargs: Any) -> Iterator[Any]:
    """Values, as Python 2 had it."""
    return iter(d.values(**kwargs))


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
