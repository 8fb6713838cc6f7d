r"""Grok: `%{PATTERN:column:type}` over lines of text, for grokLog readers and for the endpoint's classifiers.

A pattern becomes one regular expression; every named field is a column, `string` unless a type is given (byte,
boolean, double, short, int, long, float: AWS docs, "Writing grok custom classifiers"). `UNWANTED` is no column. The
names of patterns are those that AWS lists; custom ones stand a line each, name and expression. No Spark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

LARGEST = 60_000  # characters of an expanded pattern
DEEPEST = 30
TYPES = {
    **{name: name for name in ("boolean", "double", "int", "float", "string", "date")},
    **{"byte": "tinyint", "short": "smallint", "long": "bigint"},
}
UNWANTED = "UNWANTED"
NAME = re.compile(r"[A-Za-z_]\w*")

# Name and expression, as AWS's list has them; where its expression is one for Java only, or a page long, ours.
PATTERNS_TEXT = r"""
USERNAME [a-zA-Z0-9._-]+
USER %{USERNAME:UNWANTED}
INT (?:[+-]?(?:[0-9]+))
BASE10NUM (?<![0-9.+-])(?>[+-]?(?:(?:[0-9]+(?:\.[0-9]+)?)|(?:\.[0-9]+)))
NUMBER (?:%{BASE10NUM:UNWANTED})
BASE16NUM (?<![0-9A-Fa-f])(?:[+-]?(?:0x)?(?:[0-9A-Fa-f]+))
BASE16FLOAT \b(?<![0-9A-Fa-f.])(?:[+-]?(?:0x)?(?:(?:[0-9A-Fa-f]+(?:\.[0-9A-Fa-f]*)?)|(?:\.[0-9A-Fa-f]+)))\b
BOOLEAN (?i:true|false)
POSINT \b(?:[1-9][0-9]*)\b
NONNEGINT \b(?:[0-9]+)\b
WORD \b\w+\b
NOTSPACE \S+
SPACE \s*
DATA .*?
GREEDYDATA .*
QUOTEDSTRING (?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`)
UUID [A-Fa-f0-9]{8}-(?:[A-Fa-f0-9]{4}-){3}[A-Fa-f0-9]{12}
MAC (?:%{CISCOMAC:UNWANTED}|%{WINDOWSMAC:UNWANTED}|%{COMMONMAC:UNWANTED})
CISCOMAC (?:(?:[A-Fa-f0-9]{4}\.){2}[A-Fa-f0-9]{4})
WINDOWSMAC (?:(?:[A-Fa-f0-9]{2}-){5}[A-Fa-f0-9]{2})
COMMONMAC (?:(?:[A-Fa-f0-9]{2}:){5}[A-Fa-f0-9]{2})
HEX16 [0-9A-Fa-f]{1,4}
IPV6LONG (?:(?:%{HEX16}:){7}(?:%{HEX16}|:)|(?:%{HEX16}:){6}%{IPV4:UNWANTED})
IPV6SHORT (?:(?:%{HEX16}:){1,6}(?::%{HEX16}){1,6}|(?:%{HEX16}:){1,7}:|:(?:(?::%{HEX16}){1,7}|:))
IPV6 (?<![:\w])(?:%{IPV6LONG}|%{IPV6SHORT})(?:%\w+)?
IPV4 (?<![0-9])(?:(?:25[0-5]|2[0-4][0-9]|[0-1]?[0-9]{1,2})[.]){3}(?:25[0-5]|2[0-4][0-9]|[0-1]?[0-9]{1,2})(?![0-9])
IP (?:%{IPV6:UNWANTED}|%{IPV4:UNWANTED})
HOSTNAME \b(?:[0-9A-Za-z][0-9A-Za-z_-]{0,62})(?:\.(?:[0-9A-Za-z][0-9A-Za-z_-]{0,62}))*(?:\.?|\b)
HOST %{HOSTNAME:UNWANTED}
IPORHOST (?:%{HOSTNAME:UNWANTED}|%{IP:UNWANTED})
HOSTPORT (?:%{IPORHOST}:%{POSINT:PORT})
PATH (?:%{UNIXPATH}|%{WINPATH})
UNIXPATH (?>/(?>[\w_%!$@:.,~-]+|\\.)*)+
TTY (?:/dev/(?:pts|tty(?:[pq])?)(?:\w+)?/?(?:[0-9]+))
WINPATH (?>[A-Za-z]+:|\\)(?:\\[^\\?*]*)+
URIPROTO [A-Za-z]+(?:\+[A-Za-z+]+)?
URIHOST %{IPORHOST}(?::%{POSINT:port})?
URIPATH (?:/[A-Za-z0-9$.+!*'(){},~:;=@#%_\-]*)+
URIPARAM \?[A-Za-z0-9$.+!*'|(){},~@#%&/=:;_?\-\[\]]*
URIPATHPARAM %{URIPATH}(?:%{URIPARAM})?
URI %{URIPROTO}://(?:%{USER}(?::[^@]*)?@)?(?:%{URIHOST})?(?:%{URIPATHPARAM})?
MONTH \b(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|%{LATERMONTH})\b
LATERMONTH (?:Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)
MONTHNUM (?:0?[1-9]|1[0-2])
MONTHNUM2 (?:0[1-9]|1[0-2])
MONTHDAY (?:(?:0[1-9])|(?:[12][0-9])|(?:3[01])|[1-9])
DAY (?:Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?)
YEAR (?>\d\d){1,2}
HOUR (?:2[0123]|[01]?[0-9])
MINUTE (?:[0-5][0-9])
SECOND (?:(?:[0-5]?[0-9]|60)(?:[:.,][0-9]+)?)
TIME (?<![0-9])%{HOUR}:%{MINUTE}(?::%{SECOND})?(?![0-9])
DATE_US %{MONTHNUM}[/-]%{MONTHDAY}[/-]%{YEAR}
DATE_EU %{MONTHDAY}[./-]%{MONTHNUM}[./-]%{YEAR}
DATESTAMP_US %{DATE_US}[- ]%{TIME}
DATESTAMP_EU %{DATE_EU}[- ]%{TIME}
ISO8601_TIMEZONE (?:Z|[+-]%{HOUR}(?::?%{MINUTE}))
ISO8601_SECOND (?:%{SECOND}|60)
TIMESTAMP_ISO8601 %{YEAR}-%{MONTHNUM}-%{MONTHDAY}[T ]%{HOUR}:?%{MINUTE}(?::?%{SECOND})?%{ISO8601_TIMEZONE}?
TZ (?:[PMCE][SD]T|UTC)
DATESTAMP_RFC822 %{DAY} %{MONTH} %{MONTHDAY} %{YEAR} %{TIME} %{TZ}
DATESTAMP_RFC2822 %{DAY}, %{MONTHDAY} %{MONTH} %{YEAR} %{TIME} %{ISO8601_TIMEZONE}
DATESTAMP_OTHER %{DAY} %{MONTH} %{MONTHDAY} %{TIME} %{TZ} %{YEAR}
DATESTAMP_EVENTLOG %{YEAR}%{MONTHNUM2}%{MONTHDAY}%{HOUR}%{MINUTE}%{SECOND}
CISCOTIMESTAMP %{MONTH} %{MONTHDAY} %{TIME}
SYSLOGTIMESTAMP %{MONTH} +%{MONTHDAY} %{TIME}
PROG (?:[\w._/%-]+)
SYSLOGPROG %{PROG:program}(?:\[%{POSINT:pid}\])?
SYSLOGHOST %{IPORHOST}
SYSLOGFACILITY <%{NONNEGINT:facility}.%{NONNEGINT:priority}>
HTTPDATE %{MONTHDAY}/%{MONTH}/%{YEAR}:%{TIME} %{INT}
QS %{QUOTEDSTRING:UNWANTED}
SYSLOGBASE %{SYSLOGTIMESTAMP:timestamp} (?:%{SYSLOGFACILITY} )?%{SYSLOGHOST:logsource} %{SYSLOGPROG}:
MESSAGESLOG %{SYSLOGBASE} %{DATA}
REQUESTLINE (?:%{WORD:verb} %{NOTSPACE:request}(?: HTTP/%{NUMBER:httpversion})?|%{DATA:rawrequest})
APACHEWHO %{IPORHOST:clientip} %{USER:ident} %{USER:auth} \[%{HTTPDATE:timestamp}\]
COMMONAPACHELOG %{APACHEWHO} "%{REQUESTLINE}" %{NUMBER:response} (?:%{NUMBER:bytes}|-)
COMBINEDAPACHELOG %{COMMONAPACHELOG} %{QS:referrer} %{QS:agent}
TYPEDREQUEST (?:%{WORD:verb;string} %{NOTSPACE:request}(?: HTTP/%{NUMBER:httpversion;float})?|%{DATA:rawrequest})
TYPEDWHO %{IPORHOST:clientip} %{USER:ident;boolean} %{USER:auth} \[%{HTTPDATE:timestamp;date;dd/MMM/yyyy:HH:mm:ss Z}\]
COMMONAPACHELOG_DATATYPED %{TYPEDWHO} "%{TYPEDREQUEST}" %{NUMBER:response;int} (?:%{NUMBER:bytes;long}|-)
LOGLEVEL (?i:alert|trace|debug|notice|info|warn(?:ing)?|err(?:or)?|crit(?:ical)?|fatal|severe|emerg(?:ency)?)
"""


class GrokError(ValueError):
    """The pattern cannot be read; the message says what is wrong in it."""


def defined(text: str) -> dict[str, str]:
    """Patterns from their lines, `NAME expression`; blank lines and `#` lines are none. GrokError."""
    found = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, expression = line.strip().partition(" ")
        if not NAME.fullmatch(name) or not expression.strip():
            raise GrokError(f"the custom pattern '{line.strip()[:80]}' is not a name and an expression")
        found[name] = expression.strip()
    return found


PATTERNS = defined(PATTERNS_TEXT)


@dataclass(slots=True)
class _Expansion:
    patterns: Mapping[str, str]
    fields: list[tuple[str, str]]
    size: int = 0

    def expand(self, pattern: str, depth: int = 0) -> str:
        if depth > DEEPEST:
            raise GrokError("the patterns name each other in a circle")
        out: list[str] = []
        at = 0
        while (start := pattern.find("%{", at)) >= 0:
            end = _closing(pattern, start + 2)
            out += [pattern[at:start], self._reference(pattern[start + 2 : end], depth)]
            at = end + 1
        out.append(pattern[at:])
        text = "".join(out)
        self.size += len(text)
        if self.size > LARGEST:
            raise GrokError("the pattern is too large once its parts are put in")
        return text

    def _reference(self, inside: str, depth: int) -> str:
        """`NAME`, `NAME:field`, `NAME:field:type`, `NAME:field=expression`: a group, with a name if it is a column."""
        name, *rest = re.split("[:;]", inside, maxsplit=1)
        name = name.strip()
        field, equals, own = rest[0].partition("=") if rest else ("", "", "")
        field, *types = re.split("[:;]", field)
        expression = own if equals else self.patterns.get(name)
        if expression is None:
            raise GrokError(f"the pattern %{{{name}}} is not defined")
        wanted = field.strip()
        group = "(?:" if wanted in ("", UNWANTED) else self.named(wanted, types[0].strip() if types else "string")
        return f"{group}{self.expand(expression, depth + 1)})"

    def named(self, field: str, kind: str) -> str:
        """The opening of a group that is a column."""
        if kind.lower() not in TYPES:
            raise GrokError(f"the field {field} has the type {kind}; known are {', '.join(TYPES)}")
        self.fields.append((field, TYPES[kind.lower()]))
        return f"(?P<f{len(self.fields)}>"


def _closing(pattern: str, at: int) -> int:
    depth = 1
    for n in range(at, len(pattern)):
        depth += {"{": 1, "}": -1}.get(pattern[n], 0)
        if not depth:
            return n
    raise GrokError(f"%{{ at character {at - 1} has no }}")


OWN_GROUP = re.compile(r"\(\?P?<([A-Za-z_][\w.\-]*)>")
FLAG = re.compile(r"^\(\?i\)")


@lru_cache(maxsize=64)
def expanded(pattern: str, custom: str = "") -> tuple[re.Pattern[str], tuple[tuple[str, str], ...]]:
    """A grok pattern as a regular expression, and name and Hive type of each of its named groups, in their order."""
    if "\n" in pattern or "\r" in pattern:
        raise GrokError("a grok pattern is one line")
    own = {name: FLAG.sub("(?i:", text) + ")" if FLAG.match(text) else text for name, text in defined(custom).items()}
    state = _Expansion({**PATTERNS, **own}, [])
    text = state.expand(pattern)
    numbered = OWN_GROUP.sub(lambda group: _own_group(group, state), text)
    try:
        expression = re.compile(numbered)
    except (re.error, OverflowError, RecursionError) as error:
        raise GrokError(f"the pattern is not a regular expression: {error}") from None
    groups = sorted(expression.groupindex, key=expression.groupindex.__getitem__)
    fields = [state.fields[int(group[1:]) - 1] for group in groups]
    if not fields:
        raise GrokError("the pattern names no field: write %{PATTERN:field}")
    return expression, tuple(fields)


def _own_group(group: re.Match[str], state: _Expansion) -> str:
    """`(?<field>` of the user's own is a column; the groups that `named` has written stay."""
    name = group[1]
    if re.fullmatch(r"f\d+", name) and group[0].startswith("(?P<"):
        return group[0]
    return state.named(name, "string")
