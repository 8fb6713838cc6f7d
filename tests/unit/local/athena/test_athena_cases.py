"""The answers of Athena, statement by statement: tests/cases/athena/*.sql.

A case is a statement that ends with `;` and what must come of it, as comments: `--: integer, varchar` the result's
types, `--> "3","a"` a line of the result file, `--! CODE: message` a failure. An empty line ends a case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from millpond.local.athena import worker
from millpond.local.athena.catalog import described_column
from millpond.local.athena.failures import MalformedQuery, QueryFailure, from_duckdb
from millpond.local.athena.grammar import parse
from millpond.local.athena.plans import Planned
from millpond.local.athena.queries import Queries, TableUse, final
from millpond.local.athena.scopes import Column
from millpond.local.athena.types import parse as parse_type

CASES = Path(__file__).parents[3] / "cases" / "athena"
TABLES = {
    "t": {"a": "int", "b": "string", "d": "double", "p": "decimal(10,2)", "day": "date", "ts": "timestamp",
          "l": "array<int>", "m": "map<string,int>", "r": "struct<x:int,y:string>", "s": "smallint", "f": "float",
          "yes": "boolean"},
    "u": {"a": "int", "c": "string"},
    "nothing": {"a": "int"},
}  # fmt: skip
ROWS = {
    "t": "SELECT * FROM (VALUES "
    "(1, 'abc', 1.5::DOUBLE, 12.34::DECIMAL(10,2), DATE '2020-01-31', TIMESTAMP '2020-01-31 10:00:00', [3, 1, NULL],"
    " MAP {'k': 1}, {'x': 1, 'y': 'z'}, 7::SMALLINT, 0.1::FLOAT, true),"
    "(2, 'xyz', 2.5, 1.10, DATE '2020-02-29', TIMESTAMP '2020-02-29 11:30:00.5', [1], MAP {'z': 2},"
    " {'x': 2, 'y': NULL}, NULL, NULL, false),"
    "(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, 2.5, NULL)) AS v(a, b, d, p, day, ts, l, m, r, s, f, yes)",
    "u": "SELECT * FROM (VALUES (1, 'one'), (1, 'uno'), (4, 'four')) AS v(a, c)",
    "nothing": "SELECT 1 AS a WHERE false",
}


@dataclass
class Case:
    file: str
    line: int
    sql: str
    types: str = ""
    lines: list[str] = field(default_factory=list)
    failure: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def cases() -> Iterator[Case]:
    for path in sorted(CASES.glob("*.sql")):
        case = Case(path.stem, 0, "")
        for number, line in enumerate([*path.read_text().splitlines(), ""], 1):
            match line[:3]:
                case "":
                    if case.sql:
                        yield case
                    case = Case(path.stem, 0, "")
                case "--:":
                    case.types = line[3:].strip()
                case "-->":
                    case.lines.append(line[4:])
                case "--!":
                    case.failure = line[4:]
                case "-- ":
                    continue
                case _:
                    case.line = case.line or number
                    case.sql = f"{case.sql}\n{line}".strip().removesuffix(";")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    import duckdb

    folder = tmp_path_factory.mktemp("tables")
    con = duckdb.connect()
    made = {}
    for name, sql in ROWS.items():
        made[name] = str(folder / f"{name}.parquet")
        con.execute(f"COPY ({sql}) TO '{made[name]}' (FORMAT parquet)")
    con.close()
    return made


class Fixed:
    """A catalog of the tables above."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files, self.used = files, dict[str, TableUse]()

    def resolve(self, parts: tuple[str, ...], database: str) -> TableUse:
        name = parts[-1]
        if name not in TABLES:
            raise QueryFailure("TABLE_NOT_FOUND", f"Table 'awsdatacatalog.{database}.{name}' does not exist")
        columns = tuple(Column(n, parse_type(t)) for n, t in TABLES[name].items())
        return self.used.setdefault(name, TableUse(f"t_{name}", columns, ("db", name)))

    def plan(self) -> list[dict[str, Any]]:
        return [
            {"view": u.view, "format": "parquet", "options": {}, "keys": [], "uris": {},
             "columns": [described_column(str(c.name), c.type) for c in u.columns],
             "parts": [{"values": [], "files": [self.files[n]]}]}
            for n, u in self.used.items()
        ]  # fmt: skip


def answer(sql: str, files: dict[str, str], folder: Path) -> tuple[str, list[str]]:
    """Types and lines of the result. Raises QueryFailure."""
    catalog = Fixed(files)
    compiler = Queries(sql, "TIMESTAMP '2026-11-23 01:02:03.004'", catalog.resolve, "db")
    text, columns = final(compiler.query(parse(sql), None))
    planned = Planned(text, columns, catalog.plan(), 0, compiler.names)
    (folder / "out").mkdir(exist_ok=True)
    done = worker.run(planned.for_worker(folder))
    if error := done.get("error"):
        raise from_duckdb(error["kind"], error["message"], compiler.names)
    lines = (folder / "out" / "result").read_text().splitlines()
    return ", ".join(str(c.type) for c in columns), lines[1:]


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_a_case(case: Case, files: dict[str, str], tmp_path: Path) -> None:
    try:
        types, lines = answer(case.sql, files, tmp_path)
    except QueryFailure as failure:
        assert failure.reason == case.failure, case.sql
    except MalformedQuery as failure:
        assert f"MALFORMED: {failure.message}" == case.failure, case.sql
    else:
        assert not case.failure, lines
        assert lines == case.lines, case.sql
        assert not case.types or types == case.types


def test_there_are_cases() -> None:
    assert sum(1 for _ in cases()) > 250
