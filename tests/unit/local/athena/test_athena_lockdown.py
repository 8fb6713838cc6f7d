"""Layer 2 of the lock-down: what DuckDB itself refuses when layer 1 (the compiler) is taken away.

Each probe runs as raw SQL on a connection that `worker.open_locked` made. None may read or write outside the plan's
files; `reads` is the legitimate one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from millpond.local.athena import worker


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("lock").resolve()
    lake, other = root / "lake", root / "other"
    for folder in (lake, other, root / "temp", root / "cwd"):
        folder.mkdir()
    con = duckdb.connect()
    con.execute(f"COPY (SELECT 42 AS a) TO '{lake}/mine.parquet' (FORMAT parquet)")
    con.execute(f"COPY (SELECT 'secret' AS a) TO '{other}/theirs.parquet' (FORMAT parquet)")
    con.close()
    (root / "secret.csv").write_text("a\nsecret\n")
    (lake / "neighbour.csv").write_text("a\nsecret\n")
    (lake / "link.csv").symlink_to(root / "secret.csv")
    return {"root": str(root), "lake": str(lake), "other": str(other), "mine": f"{lake}/mine.parquet"}


def locked(places: dict[str, str]) -> Any:
    column = {"name": "a", "type": "integer", "duckdb": "INTEGER"}
    table = {"view": "t0", "format": "parquet", "options": {}, "columns": [column], "keys": [], "uris": {},
             "parts": [{"values": [], "files": [places["mine"]]}]}  # fmt: skip
    plan = {
        "tables": [table],
        "folder": f"{places['root']}/out",
        "temp": f"{places['root']}/temp",
        "memory": "256MB",
        "threads": 1,
    }
    return worker.open_locked(plan)


PROBES = """
SELECT * FROM read_csv('{root}/secret.csv')
SELECT * FROM read_csv('{lake}/neighbour.csv')
SELECT * FROM read_csv('{lake}/link.csv')
SELECT * FROM read_csv('{lake}/../secret.csv')
SELECT * FROM read_csv('{lake}/*.csv')
SELECT * FROM read_csv(['{mine}', '{root}/secret.csv'])
SELECT * FROM read_csv_auto('{root}/secret.csv')
SELECT * FROM sniff_csv('{root}/secret.csv')
SELECT * FROM read_text('{root}/secret.csv')
SELECT * FROM read_blob('{root}/secret.csv')
SELECT * FROM read_json('{root}/secret.csv')
SELECT * FROM read_json_objects('{root}/secret.csv')
SELECT * FROM read_ndjson('{root}/secret.csv')
SELECT * FROM read_parquet('{other}/theirs.parquet')
SELECT * FROM parquet_metadata('{other}/theirs.parquet')
SELECT * FROM parquet_schema('{other}/theirs.parquet')
SELECT * FROM parquet_kv_metadata('{other}/theirs.parquet')
SELECT * FROM parquet_file_metadata('{other}/theirs.parquet')
SELECT * FROM '{root}/secret.csv'
SELECT * FROM '{other}/theirs.parquet'
SELECT * FROM read_parquet('http://127.0.0.1:1/x.parquet')
SELECT * FROM read_parquet('s3://lake/x.parquet')
SELECT getenv('HOME')
ATTACH '{root}/x.db' AS x
ATTACH '{mine}' AS x
COPY (SELECT 1) TO '{root}/out.csv'
COPY (SELECT 1) TO '{lake}/out.csv'
COPY (SELECT 1) TO '{mine}' (FORMAT parquet)
COPY (SELECT 1) TO '/dev/stdout'
EXPORT DATABASE '{root}/dump'
IMPORT DATABASE '{root}/dump'
INSTALL httpfs
LOAD httpfs
LOAD '{root}/x.duckdb_extension'
SET enable_external_access = true
SET lock_configuration = false
SET allowed_directories = ['/']
SET allowed_paths = ['{root}/secret.csv']
SET temp_directory = '{root}'
RESET enable_external_access
PRAGMA enable_external_access
PRAGMA temp_directory = '{root}'
SET memory_limit = '1TB'
CREATE SECRET x (TYPE s3, KEY_ID 'a', SECRET 'b')
CREATE PERSISTENT SECRET x (TYPE s3, KEY_ID 'a', SECRET 'b')
SELECT * FROM query('SELECT * FROM read_csv(''{root}/secret.csv'')')
SELECT * FROM query_table('{root}/secret.csv')
SELECT * FROM glob('{root}/*.csv')
SELECT * FROM glob('/etc/*')
SELECT * FROM read_csv('/proc/self/environ')
SELECT * FROM read_text('/etc/passwd')
SELECT * FROM read_csv('/dev/stdin')
SET secret_directory = '{root}'
SET home_directory = '{root}'
SET extension_directory = '{root}'
SET custom_extension_repository = 'http://127.0.0.1:1'
CALL enable_logging(storage = 'file', storage_config = {{'path': '{root}/log'}})
SET GLOBAL enable_external_access = true
SELECT * FROM duckdb_secrets() WHERE name = (SELECT a FROM read_csv('{root}/secret.csv'))
CREATE TABLE x AS SELECT * FROM read_csv('{root}/secret.csv')
INSERT INTO x SELECT * FROM read_csv('{root}/secret.csv')
CREATE MACRO m() AS TABLE SELECT * FROM read_csv('{root}/secret.csv'); SELECT * FROM m()
EXECUTE IMMEDIATE 'SELECT 1'
""".strip().splitlines()


def test_the_plans_own_table_reads(places: dict[str, str]) -> None:
    assert locked(places).execute("SELECT c0 FROM t0").fetchall() == [(42,)]


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_is_refused_or_finds_nothing(probe: str, places: dict[str, str]) -> None:
    root = Path(places["root"])
    before = {p: (p.read_bytes() if p.is_file() else b"") for p in root.rglob("*") if "temp" not in p.parts}
    con = locked(places)
    try:
        found = con.execute(probe.format(**places)).fetchall()
    except duckdb.Error:
        found = []
    assert found in ([], [(None,)], [("",)]), probe
    after = {p: (p.read_bytes() if p.is_file() else b"") for p in root.rglob("*") if "temp" not in p.parts}
    assert after == before, probe


def test_there_are_enough_probes() -> None:
    assert len(PROBES) >= 60
