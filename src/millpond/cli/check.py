"""`millpond check`: everything that is wrong with a project or with definition files, before anything runs."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from millpond.errors import Diagnostic
    from millpond.findings import Report


class Format(StrEnum):
    """How findings are written."""

    text = "text"
    json = "json"
    github = "github"


def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PROJECT | FILE]...", help="Projects' folders, *.asl.json files, mock configurations."),
    ] = None,
    express: Annotated[bool, typer.Option("--express", help="The files are Express workflows.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 when there are only warnings.")] = False,
    form: Annotated[
        Format, typer.Option("--format", help="text; json for editors and scripts; github for annotations in CI.")
    ] = Format.text,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Show everything that is wrong, at once. Reaches no network and needs no local AWS.

    A project: that pipeline.py loads, that every reference and file is there, that AWS would take each flow. A file:
    that it is a definition which AWS would take, or a valid mock configuration of Step Functions Local. Warnings are
    what AWS takes but is probably not meant, and what works on AWS only.

    Exit codes: 0 nothing or only warnings; 2 errors; with --strict 1 for warnings alone.

    \b
      millpond check                           the project around this folder
      millpond check flow.asl.json --express   one definition
      millpond check . --format github         annotations in GitHub Actions
    """
    from millpond import findings

    report = findings.of(paths or [Path()], express=express)
    match Format.json if as_json else form:
        case Format.json:
            print(json.dumps(_document(report), indent=2))
        case Format.github:
            print("\n".join(map(_annotation, report.findings)))
        case Format.text:
            _write(report)
    if report.errors:
        raise typer.Exit(2)
    if strict and report.warnings:
        raise typer.Exit(1)


def _write(report: Report) -> None:
    for finding in report.findings:
        where = f" at {finding.location}" if finding.location else ""
        print(f"{finding.span or '?'}: {finding.severity.lower()} {finding.code}: {finding.message}{where}")
        excerpt = report.excerpts.get(finding.span, "") if finding.span else ""
        for line in excerpt.splitlines():
            print(f"    {line}")
        if finding.help:
            print(f"    {finding.help}")
    looked = [_counted(report.machines, "state machine"), _counted(report.resources, "resource")]
    found = [_counted(report.errors, "error"), _counted(report.warnings, "warning")]
    print(f"{', '.join(found)} in {' and '.join(looked if report.resources else looked[:1])}")


def _counted(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _document(report: Report) -> dict[str, Any]:
    return {
        "machines": report.machines,
        "resources": report.resources,
        "errors": report.errors,
        "warnings": report.warnings,
        "findings": [_finding(finding) for finding in report.findings],
    }


def _finding(finding: Diagnostic) -> dict[str, Any]:
    span = finding.span
    return {
        "severity": finding.severity,
        "code": finding.code,
        "message": finding.message,
        "file": span.file if span else None,
        "line": span.line or None if span else None,
        "column": span.column or None if span else None,
        "location": finding.location or None,
        "help": finding.help or None,
    }


def _annotation(finding: Diagnostic) -> str:
    """A workflow command of GitHub Actions."""
    span = finding.span
    at = f"file={span.file},line={span.line or 1},col={span.column or 1}" if span else ""
    message = finding.message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{finding.severity.lower()} {at},title={finding.code}::{message}"
