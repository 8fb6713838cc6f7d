"""Custom classifiers: CSV, JSON, XML and grok, as crawlers use them.

What a classifier cannot work with (a JSON path, a row tag or a grok pattern that cannot be read) is refused when it is
made; AWS does not document which of these it finds only when a crawl runs.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from millpond.local.glue.records import after, decode, encode, page
from millpond.local.service import AwsError, Call, Endpoint, Operation

if TYPE_CHECKING:  # the crawl's modules bring Arrow, without which the endpoint starts
    from millpond.local.glue.crawl.classify import Custom

PAGE = 100
KINDS = ("GrokClassifier", "XMLClassifier", "JsonClassifier", "CsvClassifier")
HEADERS = ("UNKNOWN", "PRESENT", "ABSENT")
DATATYPES = (
    *("BINARY", "BOOLEAN", "DATE", "DECIMAL", "DOUBLE", "FLOAT", "INT", "LONG", "SHORT", "STRING", "TIMESTAMP"),
)
XML_NAME = re.compile(r"[A-Za-z_][\w.\-]*(:[A-Za-z_][\w.\-]*)?")
SERDES = ("OpenCSVSerDe", "LazySimpleSerDe", "None")


def invalid(message: str) -> AwsError:
    """InvalidInputException."""
    return AwsError("InvalidInputException", message)


class Classifiers:
    """See the module's docstring."""

    schema = """
    CREATE TABLE IF NOT EXISTS glue_classifiers (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateClassifier": self.create,
            "GetClassifier": self.get,
            "GetClassifiers": self.list,
            "UpdateClassifier": self.update,
            "DeleteClassifier": self.delete,
        }

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def find(self, name: str) -> dict[str, Any] | None:
        """A classifier as GetClassifier shows it (`{"CsvClassifier": {...}}`), or None."""
        row = self.endpoint.store.one("SELECT body FROM glue_classifiers WHERE name = ?", (name,))
        return decode(row["body"]) if row else None

    def rules(self, names: Sequence[str]) -> tuple[Custom, ...]:
        """The classifiers of a crawler, in its order. One that was deleted since counts no more."""
        return tuple(_rules(found) for name in names if (found := self.find(name)))

    def _existing(self, name: str) -> dict[str, Any]:
        found = self.find(name)
        if found is None:
            raise AwsError("EntityNotFoundException", f"Classifier {name} not found.")
        return found

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        kind, given = _given(params)
        now = self.endpoint.clock.now()
        body = {kind: given | {"CreationTime": now, "LastUpdated": now, "Version": 1}}
        with self.endpoint.store.write() as db:
            try:
                db.execute("INSERT INTO glue_classifiers VALUES (?, ?)", (given["Name"], encode(body)))
            except sqlite3.IntegrityError:
                raise AwsError("AlreadyExistsException", f"Classifier {given['Name']} already exists.") from None
        return {}

    def get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"Classifier": self._existing(params["Name"])}

    def list(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        size = params.get("MaxResults") or PAGE
        (last,) = after(params.get("NextToken")) or [""]
        rows = self.endpoint.store.read(
            "SELECT name, body FROM glue_classifiers WHERE name > ? ORDER BY name LIMIT ?", (last, size + 1)
        )
        shown, more = page(rows, size)
        return {"Classifiers": [decode(row["body"]) for row in shown]} | more

    def update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        kind, given = _given(params)
        with self.endpoint.store.write() as db:
            before = self._existing(given["Name"])
            if kind not in before:
                raise invalid(f"Classifier {given['Name']} is not a {kind}.")
            body = before[kind] | given
            CHECKS[kind](body)
            body |= {"LastUpdated": self.endpoint.clock.now(), "Version": before[kind]["Version"] + 1}
            db.execute("UPDATE glue_classifiers SET body = ? WHERE name = ?", (encode({kind: body}), given["Name"]))
        return {}

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        with self.endpoint.store.write() as db:
            self._existing(params["Name"])
            db.execute("DELETE FROM glue_classifiers WHERE name = ?", (params["Name"],))
        return {}


def _given(params: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    given = [kind for kind in KINDS if params.get(kind)]
    if len(given) != 1:
        raise invalid("Exactly one classifier must be given.")
    (kind,) = given
    members = params[kind]
    if not members["Name"].strip():
        raise invalid("The name of a classifier must not be blank.")
    CHECKS[kind](members)
    return kind, {name: value for name, value in members.items() if value is not None}


def _check_json(members: dict[str, Any]) -> None:
    from millpond.local.glue.crawl.json_text import JsonPathError, parse_path

    try:
        parse_path(members.get("JsonPath", "$"))
    except JsonPathError as error:
        raise invalid(f"{error}.") from None


def _check_xml(members: dict[str, Any]) -> None:
    tag = members.get("RowTag")
    if tag is not None and not XML_NAME.fullmatch(tag):
        raise invalid(f"RowTag '{tag}' is not the name of an XML element.")


def _check_grok(members: dict[str, Any]) -> None:
    from millpond.local.glue.crawl.grok import GrokError, compiled, defined

    try:
        if "GrokPattern" in members:
            compiled(members["GrokPattern"], members.get("CustomPatterns") or "")
        else:
            defined(members.get("CustomPatterns") or "")
    except GrokError as error:
        raise invalid(f"Grok pattern: {error}.") from None


def _check_csv(members: dict[str, Any]) -> None:
    for member, allowed in (("ContainsHeader", HEADERS), ("Serde", SERDES)):
        if members.get(member) not in (None, *allowed):
            raise invalid(f"{member} must be one of {', '.join(allowed)}.")
    delimiter, quote = members.get("Delimiter"), members.get("QuoteSymbol")
    if delimiter is not None and delimiter == quote:
        raise invalid("Delimiter and QuoteSymbol must differ.")
    if (delimiter or ",") in "\r\n" or (quote or '"') in "\r\n":
        raise invalid("Delimiter and QuoteSymbol must not be line ends.")
    for kind in members.get("CustomDatatypes") or ():
        if kind not in DATATYPES:
            raise invalid(f"CustomDatatypes: '{kind}' is not one of {', '.join(DATATYPES)}.")
    names = [name.strip().lower() for name in members.get("Header") or ()]
    if len(set(names)) < len(names):
        raise invalid("Header names a column twice.")


CHECKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "GrokClassifier": _check_grok,
    "XMLClassifier": _check_xml,
    "JsonClassifier": _check_json,
    "CsvClassifier": _check_csv,
}


def _rules(classifier: dict[str, Any]) -> Custom:
    from millpond.local.glue.crawl.classify import Custom
    from millpond.local.glue.crawl.csv_text import Rules

    if members := classifier.get("JsonClassifier"):
        return Custom(members["Name"], json_path=members["JsonPath"])
    if members := classifier.get("XMLClassifier"):
        tag = members.get("RowTag") or ""
        return Custom(members["Name"], row_tag=tag, xml=True, classification=members["Classification"])
    if members := classifier.get("GrokClassifier"):
        custom = members.get("CustomPatterns") or ""
        kind = members["Classification"]
        return Custom(members["Name"], grok=members["GrokPattern"], grok_custom=custom, classification=kind)
    members = classifier["CsvClassifier"]
    rules = Rules(
        delimiter=members.get("Delimiter", ""),
        quote=members.get("QuoteSymbol", '"'),
        contains_header=members.get("ContainsHeader", "UNKNOWN"),
        header=tuple(members.get("Header") or ()),
        trim=not members.get("DisableValueTrimming", True),
        single_column=bool(members.get("AllowSingleColumn")),
        datatypes=tuple(members.get("CustomDatatypes") or ()) if members.get("CustomDatatypeConfigured") else (),
        # without a quote symbol there is nothing to detect: quotes are part of the cells
        serde=members.get("Serde") or ("None" if members.get("QuoteSymbol") else "LazySimpleSerDe"),
    )
    return Custom(members["Name"], csv=rules)
