"""The store: shared by threads and processes, and still there after a kill."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from containerlib.errors import (
    AlreadyExists,
    Conflict,
    InvalidArgument,
    NotFound,
    StageError,
    Unavailable,
    Unsupported,
)
from containerlib.store import ContainerRecord, Store
from containerlib.store.schema import MIGRATIONS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "root")
    yield store
    store.close()


def record(number: int, name: str, **fields: object) -> ContainerRecord:
    values = {
        "id": f"{number:064x}",
        "name": name,
        "image_id": "sha256:" + "a" * 64,
        "image_reference": "redis",
        "options_json": "{}",
        "created_at": datetime(2024, 1, 1, 0, 0, number % 60, tzinfo=UTC),
        **fields,
    }
    return ContainerRecord(**values)  # type: ignore[arg-type]


def test_container_added_is_found_by_name_id_and_prefix(store: Store) -> None:
    web = record(0xABC << 240, "web", owner_pid=7, owner_start_time=99, auto_remove=True)
    store.containers.add(web)
    for key in ("web", web.id, web.id[:5]):
        assert store.containers.get(key) == web
    assert store.containers.list() == [web]


def test_container_by_a_name_that_is_no_text_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match=r"udcff"):
        store.containers.get("\udcff")


def test_container_name_wins_over_another_ones_id_prefix(store: Store) -> None:
    store.containers.add(record(0xABC << 240, "other"))
    store.containers.add(record(1, "0abc"))
    assert store.containers.get("0abc").name == "0abc"


@pytest.mark.parametrize(("number", "name", "word"), [(1, "two", "id"), (2, "one", "name 'one'")])
def test_container_twice_already_exists(store: Store, number: int, name: str, word: str) -> None:
    store.containers.add(record(1, "one"))
    with pytest.raises(AlreadyExists, match=word):
        store.containers.add(record(number, name))


def test_container_ambiguous_prefix_is_refused(store: Store) -> None:
    store.containers.add(record(1, "one"))
    store.containers.add(record(2, "two"))
    with pytest.raises(InvalidArgument, match="several"):
        store.containers.get("000")


@pytest.mark.parametrize("key", ["", "none", "%", "_", "ffff", "' OR 1=1 --"])
def test_container_unknown_is_not_found(store: Store, key: str) -> None:
    store.containers.add(record(1, "one"))
    with pytest.raises(NotFound):
        store.containers.get(key)


def test_container_removed_is_gone(store: Store) -> None:
    store.containers.add(record(1, "one"))
    store.containers.remove(record(1, "one").id)
    assert store.containers.list() == []
    with pytest.raises(NotFound):
        store.containers.remove(record(1, "one").id)


def test_volume_life(store: Store) -> None:
    store.volumes.add("data", {"b": "2", "a": "1"})
    with pytest.raises(AlreadyExists):
        store.volumes.add("data", {})
    assert store.volumes.get("data").labels == (("a", "1"), ("b", "2"))
    assert [volume.name for volume in store.volumes.list()] == ["data"]
    store.volumes.remove("data")
    with pytest.raises(NotFound):
        store.volumes.get("data")
    with pytest.raises(NotFound):
        store.volumes.remove("data")


def test_transaction_that_fails_leaves_nothing(store: Store) -> None:
    def change() -> None:
        with store.database.transaction():
            store.volumes.add("a")
            with store.database.transaction():
                store.volumes.add("b")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change()
    assert store.volumes.list() == []


def test_threads_share_one_store(store: Store) -> None:
    def add(start: int) -> None:
        for i in range(start, start + 50):
            store.containers.add(record(i, f"c{i}"))

    threads = [threading.Thread(target=add, args=(n * 50,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.containers.list()) == 200


def test_processes_share_one_root_and_a_killed_one_does_no_harm(store: Store, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from containerlib.store import Store\n"
        "store = Store(Path(sys.argv[1])); store.volumes.add('kept')\n"
        "with store.database.transaction():\n"
        "    store.volumes.add('lost'); import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-P", "-c", program, str(tmp_path / "root")], check=False)
    assert [volume.name for volume in store.volumes.list()] == ["kept"]
    store.volumes.add("after")


def test_store_opened_again_in_this_process_keeps_the_first_ones_hold_of_the_file(
    store: Store, tmp_path: Path
) -> None:
    Store(tmp_path / "root").close()
    code = "import sys; from pathlib import Path; from containerlib.store import Store\n"
    code += "store = Store(Path(sys.argv[1])); store.volumes.add(sys.argv[2]); store.close()"
    for name in ("one", "two"):  # the last to close takes the log of changes along, and it is not the last
        subprocess.run(
            [sys.executable, "-P", "-c", code, str(tmp_path / "root"), name], check=True, timeout=60
        )
        assert (tmp_path / "root/containerlib.db-wal").exists()
        assert store.volumes.get(name).name == name


def test_forked_child_has_its_own_connection(store: Store) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            store.volumes.add("child")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    store.volumes.add("parent")
    assert [volume.name for volume in store.volumes.list()] == ["child", "parent"]


def test_forked_child_keeps_what_it_wrote_when_its_parent_closes(store: Store, tmp_path: Path) -> None:
    """SQLite would count the parent's hold of the file as the child's too, and its log of changes would go."""
    closed, told = os.pipe()
    if not (pid := os.fork()):
        try:
            store.volumes.list()
            os.read(closed, 1)
            store.volumes.add("child")
        finally:
            os._exit(0)
    store.volumes.add("parent")
    store.close()
    os.write(told, b".")
    os.waitpid(pid, 0)
    os.close(closed)
    os.close(told)
    with closing(Store(tmp_path / "root")) as later:
        assert [volume.name for volume in later.volumes.list()] == ["child", "parent"]


def test_forked_in_the_middle_of_anothers_transaction_the_child_can_write(store: Store) -> None:
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            store.volumes.add(f"thread-{(number := number + 1)}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(30):
            if not (pid := os.fork()):
                try:
                    signal.signal(signal.SIGALRM, signal.SIG_DFL)
                    signal.alarm(10)
                    store.volumes.add(f"child-{number}")
                finally:
                    os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        done.set()
        writer.join()
    names = [volume.name for volume in store.volumes.list()]
    assert sum(name.startswith("child-") for name in names) == 30


def test_database_file_is_private(store: Store, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "root/containerlib.db").stat().st_mode) == 0o600


@pytest.mark.privileged("CAP_CHOWN: gives a directory away")
@pytest.mark.parametrize(
    ("user", "group", "mode", "allowed"),
    [
        (65534, 0, 0o700, False),
        (0, 0, 0o1777, False),
        (0, 65534, 0o770, False),
        (0, 0, 0o775, True),
        (0, 65534, 0o755, True),
    ],
)
def test_root_that_others_may_write_to_is_refused(
    tmp_path: Path, user: int, group: int, mode: int, allowed: bool
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    os.chown(root, user, group)
    root.chmod(mode)
    if allowed:
        Store(root).close()
        return
    with pytest.raises(StageError, match=r"chown.*Engine\(root=") as caught:
        Store(root)
    assert caught.value.stage == "state"
    assert list(root.iterdir()) == []


def test_root_that_is_a_file_is_a_stage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StageError, match="another directory") as caught:
        Store(tmp_path / "file" / "root")
    assert caught.value.stage == "state"


def test_database_that_is_garbage_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "containerlib.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(Unavailable, match="move it away"):
        Store(tmp_path)


def test_database_of_a_newer_release_is_unsupported(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.close()
    connection = sqlite3.connect(tmp_path / "containerlib.db")
    connection.executescript("INSERT INTO migrations VALUES (999, ''); PRAGMA user_version = 999;")
    connection.close()
    with pytest.raises(Unsupported, match="newer release"):
        Store(tmp_path)


def test_database_damaged_while_it_is_open_is_unavailable(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        for i in range(200):
            store.volumes.add(f"volume-{i}")
    database = tmp_path / "containerlib.db"
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(database.stat().st_size - 4096))
    with pytest.raises(Unavailable, match="damaged"), closing(Store(tmp_path)) as store:
        store.volumes.list()


def test_snapshots_of_the_first_release_are_those_of_overlay(tmp_path: Path) -> None:
    """A root that was there before layers had kinds."""
    with closing(sqlite3.connect(tmp_path / "containerlib.db")) as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.executescript(
            "CREATE TABLE migrations (version INTEGER PRIMARY KEY, applied_at TEXT);"
            "INSERT INTO migrations VALUES (1, ''); PRAGMA user_version = 1;"
            "INSERT INTO snapshots VALUES ('sha256:a', 7);"
            "INSERT INTO images VALUES ('sha256:i', 'sha256:m', 't', 1, 7, 'sha256:a', 0.0);"
        )
    with closing(Store(tmp_path)) as store:
        assert store.images.snapshot_sizes() == {("sha256:a", "overlay"): 7}
        (row,) = store.images.list()
        assert (row.chain, row.snapshot_kind) == (("sha256:a",), "overlay")
        store.images.put_snapshot("sha256:a", "erofs", 8)
        assert store.images.has_snapshot("sha256:a", "overlay")
        assert store.images.has_snapshot("sha256:a", "erofs")
        store.images.delete_snapshot("sha256:a", "overlay")
        assert store.images.snapshot_sizes() == {("sha256:a", "erofs"): 8}


def test_ids_are_nobody_elses_until_their_container_goes(store: Store) -> None:
    for number, name in enumerate("abcd"):
        store.containers.add(record(number, name))
    ids = [record(number, "").id for number in range(4)]
    free = [(100, 25), (500, 10)]
    assert [store.ids.lease(ids[n], 10, free) for n in range(3)] == [100, 110, 500]
    with pytest.raises(Conflict, match="no 10 ids are left"):
        store.ids.lease(ids[3], 10, free)
    store.containers.remove(ids[0])
    assert store.ids.lease(ids[3], 5, free) == 100
