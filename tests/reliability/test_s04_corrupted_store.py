"""S4: a damaged state store is refused, by name, check and command; nothing of it is loaded silently.

A store with work in it is killed; copies of it are damaged by chance and opened again. Allowed: the refusal, or all
that was committed. The known limit is counted, not hidden: a byte inside a stored value of the database (`unseen`).
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from soundness import Process

from millpond.local.server import Server
from millpond.local.states.records import SCHEMA
from millpond.local.store import Store, StoreDamaged

FILES = ("endpoint.db", "endpoint.db-wal", "endpoint.db-shm", "endpoint.lock")
VALUES = (  # table, column, what names a row
    ("states_frames", "text", "n"),
    ("states_executions", "input", "n"),
    ("states_revisions", "definition", "rowid"),
)
LINE = "INSERT INTO states_events VALUES (?, ?, ?, 0.0, 'PassStateEntered', 'name', ?, NULL)"


def fill(folder: Path) -> None:
    """A store that a killed process leaves behind: some in the database, some in the log. Runs in a child."""
    store = Store(folder / "endpoint.db")
    store.install(SCHEMA)
    chance = random.Random(4)
    for n in range(60):
        with store.write() as db:
            for id in range(1, 9):
                db.execute(LINE, (n, id, id - 1, chance.randbytes(60).hex()))
        if n == 30:
            store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os._exit(9)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    child = os.fork()
    if child == 0:
        try:
            fill(folder)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    return folder


def opened(folder: Path) -> list[tuple[Any, ...]] | str:
    """Its rows, or the refusal."""
    try:
        store = Store(folder / "endpoint.db")
    except StoreDamaged as refusal:
        assert str(folder / "endpoint.db") in refusal.message
        assert refusal.help is not None and "millpond reset" in refusal.help
        return refusal.message
    try:
        return [tuple(row) for row in store.read("SELECT * FROM states_events ORDER BY n, id")]
    except sqlite3.DatabaseError as error:
        return str(error)
    finally:
        store.close()


def damaged(killed: Path, folder: Path) -> Path:
    folder.mkdir()
    for name in FILES:
        shutil.copy2(killed / name, folder / name)
    return folder


def flip(path: Path, chance: random.Random, count: int) -> None:
    content = bytearray(path.read_bytes())
    for place in chance.sample(range(len(content)), count):
        content[place] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def test_s04(killed: Path, tmp_path: Path, full: bool, figures: Callable[..., None]) -> None:
    whole = opened(damaged(killed, tmp_path / "whole"))
    assert isinstance(whole, list) and len(whole) == 60 * 8
    found: Counter[str] = Counter()
    for seed in range(200):
        chance = random.Random(seed)
        folder = damaged(killed, tmp_path / str(seed))
        kind = ("log", "database", "cut log")[seed % 3]
        match kind:
            case "log":
                flip(folder / "endpoint.db-wal", chance, 20)
            case "database":
                flip(folder / "endpoint.db", chance, 20)
            case "cut log":
                size = (folder / "endpoint.db-wal").stat().st_size
                os.truncate(folder / "endpoint.db-wal", chance.randrange(size - 1))
        rows = opened(folder)
        if isinstance(rows, str):
            assert isinstance(opened(folder), str), f"seed {seed}: the second start must refuse it, too"
            found["refused"] += 1
        elif rows == whole:
            found["all_there"] += 1
        else:
            assert kind == "database", f"seed {seed}: loaded silently, {len(rows)} of {len(whole)} rows"
            assert [row[:2] for row in rows] == [row[:2] for row in whole] or len(rows) == len(whole)
            found["unseen"] += 1
        shutil.rmtree(folder)
    figures(seeds=200, refused=found["refused"], unharmed=found["all_there"], changed_values_unseen=found["unseen"])
    assert found["refused"] > 100


def _zero_page(folder: Path) -> None:
    with (folder / "endpoint.db").open("r+b") as file:
        file.write(bytes(4096))


def _remove_log(folder: Path) -> None:
    (folder / "endpoint.db-wal").unlink()


def _remove_log_and_index(folder: Path) -> None:
    (folder / "endpoint.db-wal").unlink()
    (folder / "endpoint.db-shm").unlink()
    os.utime(folder / "endpoint.lock")  # the endpoint was opened after the last checkpoint


def _empty(folder: Path) -> None:
    os.truncate(folder / "endpoint.db", 0)


def _newer(folder: Path) -> None:
    with sqlite3.connect(folder / "endpoint.db") as db:
        db.execute("PRAGMA user_version=999")
    db.close()


def _text(folder: Path) -> None:
    (folder / "endpoint.db").write_text("this is no database\n" * 500)


@pytest.mark.parametrize("damage", [_remove_log, _remove_log_and_index, _empty, _newer, _text])
def test_s04_whole_files(killed: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = damaged(killed, tmp_path / "copy")
    damage(folder)
    assert isinstance(opened(folder), str)
    assert isinstance(opened(folder), str), "the second start must refuse it, too"


def test_s04_a_program_that_looked_at_the_store_does_no_harm(killed: Path, tmp_path: Path) -> None:
    """Closing a database moves its log into it: that is not a missing log."""
    folder = damaged(killed, tmp_path / "copy")
    db = sqlite3.connect(folder / "endpoint.db")
    count = db.execute("SELECT COUNT(*) FROM states_events").fetchone()[0]
    db.close()
    assert not (folder / "endpoint.db-wal").exists()
    rows = opened(folder)
    assert len(rows) == count == 480


@pytest.mark.slow
def test_s04_whatever_is_damaged_the_endpoint_says_it(
    process: Process, tmp_path: Path, full: bool, figures: Callable[..., None]
) -> None:
    """Bytes of the stored values themselves are changed, frames and all: it starts, or it refuses in its own words."""
    states = {"W": {"Type": "Wait", "Seconds": 600, "Next": "P"}, "P": {"Type": "Pass", "End": True}}
    machine = process.machine("m", states)
    for n in range(20):
        process.sfn.start_execution(stateMachineArn=machine, name=f"e{n}")
    process.down()
    found: Counter[str] = Counter()
    for seed in range(60 if full else 12):
        chance, folder = random.Random(seed), tmp_path / str(seed)
        shutil.copytree(process.data, folder, symlinks=True)
        with sqlite3.connect(folder / "endpoint.db") as db:
            table, column, unique = VALUES[seed % len(VALUES)]
            key, text = chance.choice(db.execute(f"SELECT {unique}, {column} FROM {table}").fetchall())
            place = chance.randrange(len(text))
            changed = text[:place] + chr(ord(text[place]) ^ 1 << chance.randrange(7)) + text[place + 1 :]
            db.execute(f"UPDATE {table} SET {column} = ? WHERE {unique} = ?", (changed, key))
        db.close()
        try:
            server = Server(folder)
        except StoreDamaged:
            found["refused"] += 1
            continue
        thread = threading.Thread(target=_run, args=(server,))
        thread.start()
        assert server.ready.wait(120)
        if server.failure is None:
            found["started"] += 1
        else:
            assert isinstance(server.failure, StoreDamaged), repr(server.failure)
            found["refused"] += 1
        server.stop()
        thread.join(120)
        shutil.rmtree(folder)
    figures(values_changed=sum(found.values()), refused=found["refused"], started=found["started"])
    assert found["refused"] > 0


def _run(server: Server) -> None:
    with contextlib.suppress(StoreDamaged):
        server.run()


@pytest.mark.slow
def test_s04_the_endpoint_says_so(process: Process) -> None:
    process.machine("m", {"P": {"Type": "Pass", "End": True}})
    process.down()
    _zero_page(process.data)
    said = process.log.stat().st_size
    assert process.spawn().wait(120) == 2
    words = process.log.read_bytes()[said:].decode()
    assert f"{process.data}/endpoint.db is damaged" in words
    assert "millpond reset" in words
    assert "Traceback" not in words
