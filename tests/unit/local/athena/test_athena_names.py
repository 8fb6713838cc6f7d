"""Names and values of the catalog are hostile input: an answer never depends on how things are called (D2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millpond.local.athena import worker
from millpond.local.athena.catalog import described_column
from millpond.local.athena.grammar import parse
from millpond.local.athena.plans import Planned
from millpond.local.athena.queries import Queries, TableUse, final
from millpond.local.athena.results import cells
from millpond.local.athena.scopes import Column
from millpond.local.athena.types import BIGINT, VARCHAR, literal, quoted

NASTY = [
    '"; DROP TABLE x; --', "'||'", "a\nb", "x" * 255, "--", "/*", "{0}", "%s", "${a}", "c0", "r1.c0", '"', "'", "\\",
    "select", "é", "a.b", ";", "\t", "read_csv('/etc/passwd')", "$path", "a b", "?", ":x", "@x", "\x01", "☃",
]  # fmt: skip
anything = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=60)
texts = st.sampled_from(NASTY) | anything
CONNECTION = duckdb.connect()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("names").resolve()
    for name in ("out", "temp"):
        (path / name).mkdir()
    return path


def run(folder: Path, table: str, column: str, key: str, value: str) -> list[list[str | None]]:
    """A parquet file whose column has the hostile name, in a partition with the hostile value, queried by both."""
    source = folder / "table.parquet"
    CONNECTION.execute(f"COPY (SELECT 7::BIGINT AS {quoted(column)}) TO '{source}' (FORMAT parquet)")
    use = TableUse("t0", (Column(column.lower(), BIGINT), Column(key.lower(), VARCHAR)), ("db", table.lower()))
    described: dict[str, Any] = {"view": "t0", "format": "parquet", "options": {}, "uris": {},
                                 "columns": [described_column(column.lower(), BIGINT)],
                                 "keys": [described_column(key.lower(), VARCHAR)],
                                 "parts": [{"values": [value], "files": [str(source)]}]}  # fmt: skip
    sql = (
        f"SELECT {quoted(column)}, {quoted(key)}, {literal(value)} AS {quoted(value)}"
        f" FROM {quoted(table)} AS {quoted(key)}"
        f" WHERE {quoted(key)} = {literal(value)} ORDER BY {quoted(column)}"
    )
    compiler = Queries(sql, "TIMESTAMP '2026-11-23 00:00:00'", lambda parts, database: use, "db")
    text, columns = final(compiler.query(parse(sql), None))
    done = worker.run(Planned(text, columns, [described], 0, compiler.names).for_worker(folder))
    assert "error" not in done, done
    record = (folder / "out" / "result").read_bytes().decode()
    head = ",".join('"' + str(c.name).replace('"', '""') + '"' for c in columns) + "\n"
    assert record.startswith(head)
    return [cells(record[len(head) :].removesuffix("\n"))]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(table=texts, column=texts, key=texts, value=texts)
def test_an_answer_does_not_depend_on_names(file: Path, table: str, column: str, key: str, value: str) -> None:
    if column.lower() == key.lower():
        key = f"{key}_"
    assert run(file, table, column, key, value) == [["7", value, value]]


@settings(max_examples=200, deadline=None)
@given(text=texts)
def test_quoting_is_read_back_by_duckdb(text: str) -> None:
    con = CONNECTION
    assert con.execute(f"SELECT {literal(text)}").fetchall() == [(text,)]
    assert con.execute(f"SELECT 1 AS {quoted(text)}").description[0][0] == text
