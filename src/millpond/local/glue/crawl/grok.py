r"""Grok: `%{PATTERN:column:type}` over lines of text, for custom classifiers and for the built-in formats of logs.

A pattern becomes one regular expression; every named field is a column, `string` unless a type is given (byte,
boolean, double, short, int, long, float: AWS docs, "Writing grok custom classifiers"). `UNWANTED` is no column. The
names of patterns are those that AWS lists; custom ones stand a line each, name and expression.

Our decisions: a classifier is as certain as the share of lines that it fits; a line is searched, as the SerDe does,
not matched from its first to its last character; the built-in formats want whole lines, and nine of ten. Lines are
cut at 2,048 characters, 200 are read, for at most 5 s.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from awsglue._grok import GrokError, defined, expanded
from millpond.local.glue.crawl.hive import Column, Columns, unique

__all__ = ["Grok", "GrokError", "compiled", "defined", "known_log", "lines_of"]

LINES = 200
LONGEST = 2048
SECONDS = 5.0  # of real time, for the lines of one object
HEAD = 1 << 18  # characters that are looked at
SURE = 0.9  # share of lines of a built-in format


@dataclass(frozen=True, slots=True)
class Grok:
    """A pattern, ready: `columns` in the order of their fields."""

    expression: re.Pattern[str]
    columns: Columns

    def certainty(self, lines: Sequence[str], *, whole: bool = False) -> float:
        """The share of the lines that it fits; `whole`: from their first character to their last."""
        fits = self.expression.fullmatch if whole else self.expression.search
        found, until = 0, time.monotonic() + SECONDS
        for line in lines:
            found += fits(line) is not None
            if time.monotonic() > until:  # a pattern that tries too much: what was not looked at does not fit
                break
        return found / len(lines) if lines else 0.0


@lru_cache(maxsize=64)
def compiled(pattern: str, custom: str = "") -> Grok:
    """A grok pattern, with custom patterns beside the built-in ones. GrokError."""
    expression, fields = expanded(pattern, custom)
    return Grok(expression, unique(Column(name.lower(), kind, name) for name, kind in fields))


# -- the built-in formats of logs (AWS docs, "Adding classifiers to a crawler": names and order) ---------------------

RUBY = r"[DFEWIA], \[%{TIMESTAMP_ISO8601:timestamp} #%{POSINT:pid:int}\] *%{WORD:loglevel} -- %{DATA:progname}: "
LOGS: tuple[tuple[str, str], ...] = (
    ("combined_apache", "%{COMBINEDAPACHELOG}"),
    ("apache", "%{COMMONAPACHELOG}"),
    (
        "linux_kernel",
        r"%{SYSLOGTIMESTAMP:timestamp} %{SYSLOGHOST:logsource} kernel: "
        r"(?:\[ *%{NUMBER:uptime}\] )?%{GREEDYDATA:message}",
    ),
    (
        "microsoft_log",
        "%{IPORHOST:clientip}, +%{NOTSPACE:username}, +%{DATE_US:date}, +%{TIME:time}, +%{NOTSPACE:service},"
        " +%{NOTSPACE:servername}, +%{IPORHOST:serverip}, +%{INT:timetaken:int}, +%{INT:bytesreceived:long},"
        " +%{INT:bytessent:long}, +%{INT:status:int}, +%{INT:windowsstatus:int}, +%{WORD:method}, +%{NOTSPACE:target},"
        " +%{NOTSPACE:parameters},?",
    ),
    ("ruby_logger", RUBY + "%{GREEDYDATA:message}"),
    (
        "squid",
        r"%{NUMBER:timestamp} +%{INT:duration:int} %{IPORHOST:clientip} %{WORD:cacheresult}/%{INT:status:int}"
        r" %{INT:bytes:long} %{WORD:method} %{NOTSPACE:url} %{NOTSPACE:user} %{NOTSPACE:hierarchy}"
        r" %{NOTSPACE:contenttype}",
    ),
    (
        "redismonlog",
        r"%{NUMBER:timestamp} \[%{INT:database:int} (?:%{IPORHOST:client}:%{POSINT:port:int}|lua|unix:\S+)\]"
        r' "%{WORD:command}"%{GREEDYDATA:params}',
    ),
    (
        "redislog",
        r"(?:\[%{POSINT:pid:int}\]|%{POSINT:processid:int}:%{WORD:role}) (?<timestamp>%{MONTHDAY} %{MONTH}"
        r"(?: %{YEAR})? %{TIME}) [.*#-] %{GREEDYDATA:message}",
    ),
)


def lines_of(text: str, *, complete: bool) -> list[str]:
    """The lines that classifiers look at: not blank, the first ones, cut to a length."""
    head = text.removeprefix("\ufeff")[:HEAD]
    rows = head.splitlines()
    if (not complete or len(text) > HEAD) and len(rows) > 1:
        rows.pop()
    return [row[:LONGEST] for row in rows if row.strip()][:LINES]


def known_log(lines: Sequence[str]) -> tuple[str, str] | None:
    """Classification and pattern of the first built-in format that the lines have."""
    for classification, pattern in LOGS:
        grok = compiled(pattern)
        if lines and grok.expression.fullmatch(lines[0]) and grok.certainty(lines, whole=True) >= SURE:
            return classification, pattern
    return None
