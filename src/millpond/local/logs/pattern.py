"""Filter patterns of CloudWatch Logs for unstructured text: AWS, "Filter pattern syntax".

`ERROR Exception` needs both terms, `"two words"` a phrase, `?ERROR ?WARN` any of them, `ERROR -404` one without the
other. Matching is case-sensitive, by substring. JSON, space-delimited and %regular expression% patterns are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from millpond.local.service import AwsError, unsupported

TOKEN = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))')


def matcher(pattern: str) -> Callable[[str], bool]:
    """A test for messages. Raises AwsError for a pattern that cannot be read or is not carried."""
    pattern = pattern.strip()
    if pattern.startswith(("{", "[", "%")):
        raise unsupported("logs", "FilterLogEvents", "Only terms, phrases, ?any and -without can be filtered for.")
    required, anyone, absent = _terms(pattern)

    def fits(message: str) -> bool:
        return (
            all(term in message for term in required)
            and not any(term in message for term in absent)
            and (not anyone or any(term in message for term in anyone))
        )

    return fits


def _terms(pattern: str) -> tuple[list[str], list[str], list[str]]:
    kinds: dict[str, list[str]] = {"": [], "?": [], "-": []}
    at = 0
    while at < len(pattern):
        found = TOKEN.match(pattern, at)
        if not found:
            raise AwsError("InvalidParameterException", "Invalid filter pattern")
        term = found[3] if found[3] is not None else re.sub(r"\\(.)", r"\1", found[2])
        kinds[found[1]].append(term)
        at = found.end()
        while at < len(pattern) and pattern[at].isspace():
            at += 1
    # AWS: with a required term beside them, ?optional terms no longer decide.
    return kinds[""], [] if kinds[""] else kinds["?"], kinds["-"]
