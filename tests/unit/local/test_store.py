"""The store's barrier: what was queued is committed and then synced, and writers do not wait for the sync."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from millpond.local import store as module
from millpond.local.store import Store, StoreUnavailable


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "endpoint.db")
    made.install("CREATE TABLE IF NOT EXISTS seen (n INTEGER)")
    yield made
    made.close()


def test_barrier_syncs_the_log_after_the_commit(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[bool, list[int]]] = []

    def sync(handle: int) -> None:
        other = sqlite3.connect(tmp_path / "endpoint.db")
        rows = [n for (n,) in other.execute("SELECT n FROM seen ORDER BY n")]
        other.close()
        log = os.stat(tmp_path / "endpoint.db-wal")
        synced.append((os.path.samestat(os.fstat(handle), log), rows))

    monkeypatch.setattr(module, "_sync", sync)
    store.queue([("INSERT INTO seen VALUES (?)", (n,)) for n in range(3)])
    store.barrier()
    assert synced == [(True, [0, 1, 2])]


def test_others_write_while_a_barrier_waits_for_the_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, go_on = threading.Event(), threading.Event()

    def sync(handle: int) -> None:
        waiting.set()
        assert go_on.wait(120)

    with monkeypatch.context() as patched:
        patched.setattr(module, "_sync", sync)
        thread = threading.Thread(target=store.barrier)
        thread.start()
        assert waiting.wait(120)
        writer = threading.Thread(target=_add, args=(store, 7))
        writer.start()
        writer.join(120)
        assert store.one("SELECT n FROM seen")["n"] == 7  # type: ignore[index]
        assert thread.is_alive()
        go_on.set()
        thread.join(120)


def test_a_disk_that_refuses_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync(handle: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(module, "_sync", sync)
        with pytest.raises(OSError, match="Input/output"):
            store.barrier()


def _add(store: Store, n: int) -> None:
    with store.write() as db:
        db.execute("INSERT INTO seen VALUES (?)", (n,))


def test_closing_refuses_those_who_read_and_write(tmp_path: Path) -> None:
    """SQLite crashes the process when a connection is closed in the middle of a read."""
    store = Store(tmp_path / "closed.db")
    store.install("CREATE TABLE IF NOT EXISTS seen (n INTEGER)")
    with store.write() as db:
        db.executemany("INSERT INTO seen VALUES (?)", [(n,) for n in range(300)])
    running = threading.Barrier(4)
    refusals: list[StoreUnavailable] = []

    def work() -> None:
        store.one("SELECT n FROM seen")
        running.wait()
        try:
            while True:
                assert len(store.read("SELECT n FROM seen ORDER BY n")) == 300
        except StoreUnavailable as refusal:
            refusals.append(refusal)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    running.wait()
    store.close()
    for thread in threads:
        thread.join()
    assert len(refusals) == 3
    with pytest.raises(StoreUnavailable, match="closed"), store.write():
        pass
    with pytest.raises(StoreUnavailable, match="closed"):
        store.read("SELECT n FROM seen")


def test_a_reader_closes_with_its_thread(store: Store) -> None:
    thread = threading.Thread(target=store.one, args=("SELECT n FROM seen",))
    thread.start()
    thread.join()
    assert list(store._readers) == []
