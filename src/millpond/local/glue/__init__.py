"""Glue: the Data Catalog, connections, crawlers, jobs and bookmarks, composed of parts.

A part is a class constructed with the `Endpoint`, with `schema`, `operations()`, `start()` and `stop()` as a service
has, and `tagged`: for each kind of resource (as in its ARN) a test whether a name exists. All of Glue's state is ours:
nothing falls through to moto; an operation that no part carries is refused by the front end.

May import: errors, asl, and millpond.local's service, store, processes.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from millpond.local import models
from millpond.local.constraints import checked
from millpond.local.glue.announcements import announced
from millpond.local.service import AwsError, Call, Endpoint, Operation


class Part(Protocol):
    """One room of the Glue service."""

    schema: str

    def operations(self) -> Mapping[str, Operation]: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


# In the order of starting; stopped in the opposite order.
PARTS = (
    ("catalog", "Catalog"),
    ("partitions", "Partitions"),
    ("statistics", "Statistics"),
    ("statistics_runs", "StatisticsRuns"),
    ("statistics_settings", "StatisticsSettings"),
    ("functions", "Functions"),
    ("settings", "Settings"),
    ("rulesets", "Rulesets"),
    ("schemas", "Schemas"),
    ("connections", "Connections"),
    ("bookmarks", "Bookmarks"),
    ("jobs", "Jobs"),
    ("classifiers", "Classifiers"),
    ("crawlers", "Crawlers"),
    ("workflows", "Workflows"),
    ("tags", "Tags"),
)


class Glue:
    """See the module's docstring."""

    name = "glue"
    moto: frozenset[str] = frozenset()

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.parts: dict[str, Part] = {
            module: getattr(importlib.import_module(f"{__name__}.{module}"), cls)(endpoint)
            for module, cls in PARTS
            if importlib.util.find_spec(f"{__name__}.{module}")
        }
        self.schema = "\n".join(part.schema for part in self.parts.values())
        tagged: dict[str, Callable[[str], bool]] = {}
        for part in self.parts.values():
            tagged |= getattr(part, "tagged", {})
        if "tags" in self.parts:
            cast("dict[str, Callable[[str], bool]]", getattr(self.parts["tags"], "exists")).update(tagged)  # noqa: B009

    def operations(self) -> dict[str, Operation]:
        merged: dict[str, Operation] = {}
        for part in self.parts.values():
            carried = part.operations()
            if twice := merged.keys() & carried.keys():
                raise RuntimeError(f"two parts of Glue carry {sorted(twice)}")
            merged |= carried
        return {
            name: checked("glue", name, announced(self.endpoint, name, _as_modelled(name, _paged(name, run))))
            for name, run in merged.items()
        }

    def start(self) -> None:
        for part in self.parts.values():
            part.start()

    def stop(self) -> None:
        for part in reversed(self.parts.values()):
            part.stop()


# What any operation may answer although its model does not list it (AWS docs, "Common Errors").
_COMMON = frozenset({"ValidationException", "AccessDeniedException"})
REFUSAL = "NotImplemented"
# Whose listing a NextToken continues: a token of another operation, table, job... is refused, as any that is not ours.
_LISTED = ("CatalogId", "DatabaseName", "TableName", "JobName", "Name", "CrawlerName", "SessionId", "RegistryId")


def _as_modelled(name: str, run: Operation) -> Operation:
    """The operation; what refuses its input is an error that its model knows: where it has not the one that was
    raised, InvalidInputException (SearchTables), else the generic ValidationException (GetCrawlers). So is what refuses
    a use of it that is not carried: 501 is for operations that are not carried at all."""

    @functools.cache
    def known() -> frozenset[str]:
        described = models.model("glue")
        shapes = described.operation_model(name).error_shapes if described else ()
        return frozenset(shape.name for shape in shapes) | _COMMON

    def modelled(params: dict[str, Any], call: Call) -> dict[str, Any] | None:
        try:
            return run(params, call)
        except AwsError as error:
            if error.code in known() or (error.status != 400 and error.code != REFUSAL):
                raise
            code = "InvalidInputException" if "InvalidInputException" in known() else "ValidationException"
            raise AwsError(code, error.message) from None

    return modelled


def _paged(name: str, run: Operation) -> Operation:
    """The operation; its NextTokens are good for the listing that gave them only."""

    def paged(params: dict[str, Any], call: Call) -> dict[str, Any] | None:
        if given := params.get("NextToken"):
            mark = _mark(name, params)
            if not given.startswith(mark):
                raise AwsError("InvalidInputException", "Invalid continuation token.")
            params = {**params, "NextToken": given[len(mark) :]}
        answer = run(params, call)
        if answer and answer.get("NextToken"):
            answer = {**answer, "NextToken": _mark(name, params) + answer["NextToken"]}
        return answer

    return paged


def _mark(name: str, params: Mapping[str, Any]) -> str:
    of = [name, *(str(params.get(member, "")).strip().lower() for member in _LISTED)]
    return f"{zlib.crc32(repr(of).encode()):08x}"
