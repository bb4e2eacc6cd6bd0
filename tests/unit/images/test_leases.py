"""Leases: the kernel tells who lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

import pytest

from containerlib.images.content.leases import Lease, lease_of, sweep
from containerlib.store import ImageTable, Store


@pytest.fixture
def table(tmp_path: Path) -> ImageTable:
    return Store(tmp_path).images


@pytest.fixture
def directory(tmp_path: Path) -> str:
    (tmp_path / "leases").mkdir()
    return str(tmp_path / "leases")


def test_lease_keeps_until_it_ends(table: ImageTable, directory: str) -> None:
    with Lease(directory, table) as lease:
        lease.keep([("blob", "a"), ("snapshot", "b")])
        assert sweep(directory, table) == {lease.id}
        assert (table.kept("blob"), table.kept("snapshot")) == ({"a"}, {"b"})
    assert sweep(directory, table) == set()
    assert table.kept("blob") == set()
    assert list(Path(directory).iterdir()) == []


def test_lease_of_a_killed_process_is_swept(table: ImageTable, directory: str, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from containerlib.store import Store\n"
        "from containerlib.images.content.leases import Lease\n"
        "lease = Lease(sys.argv[2], Store(Path(sys.argv[1])).images); lease.keep([('blob', 'a')])\n"
        "print(lease.id, flush=True); signal.pause()\n"
    )
    argv = [sys.executable, "-P", "-c", program, str(tmp_path), directory]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lease = process.stdout.readline().strip()
        assert sweep(directory, table) == {lease}
        process.send_signal(signal.SIGKILL)
    assert table.kept("blob") == {"a"}
    assert sweep(directory, table) == set()
    assert table.kept("blob") == set()


def test_lease_whose_file_is_swept_before_it_is_locked_begins_anew(table: ImageTable, directory: str) -> None:
    """The sweep of another comes at the very moment at which nobody can tell the file from one that was left."""
    swept: list[set[str]] = []

    def step(_: FrameType, event: str, function: object) -> None:
        if event == "c_return" and function is os.open and not swept:
            swept.append(set())
            thread = threading.Thread(target=lambda: swept[0].update(sweep(directory, table)))
            thread.start()
            thread.join()

    sys.setprofile(step)
    try:
        lease = Lease(directory, table)
    finally:
        sys.setprofile(None)
    with lease:
        assert swept == [set()]
        assert sweep(directory, table) == {lease.id}


def test_temporary_names_belong_to_their_lease(table: ImageTable, directory: str) -> None:
    with Lease(directory, table) as lease:
        first, second = lease.temporary("/d"), lease.temporary("/d")
        assert first != second
        assert lease_of(Path(first).name) == lease.id


@pytest.mark.parametrize("name", ["a" * 64, "index.json", "tmp", "tmp-x", ""])
def test_other_names_belong_to_none(name: str) -> None:
    assert lease_of(name) is None
