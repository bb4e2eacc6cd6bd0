"""What dead processes left, without a container having run: records, directories, and who may remove them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from containerlib.engine.core import Core
from containerlib.engine.instance import Instance, Memo
from containerlib.engine.listing import find
from containerlib.engine.lock import locked
from containerlib.engine.names import new_id
from containerlib.engine.owner import Owner, this_process
from containerlib.engine.prune import prune
from containerlib.engine.reconcile import close, open_core, reconcile
from containerlib.engine.stop import remove
from containerlib.errors import NotFound, StageError
from containerlib.store import ContainerRecord, EventRow

DEAD = Owner(pid=os.getpid(), start_time=1)
"""A process that had our pid before us."""


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    core = open_core(str(tmp_path / "root"))
    yield core
    core.close()


def add(core: Core, name: str, owner: Owner, *, detached: bool = False, directory: bool = True) -> Path:
    """A container's record and directory, as if its process had died before the start."""
    record = ContainerRecord(
        id=new_id(),
        name=name,
        image_id="",
        image_reference="host",
        options_json=Memo(detached=detached).to_json(),
        created_at=datetime.now(UTC),
        owner_pid=owner.pid,
        owner_start_time=owner.start_time,
    )
    core.store.containers.add(record)
    path = Path(core.directory(record.id))
    if directory:
        (path / "upper" / "etc").mkdir(parents=True)
        (path / "upper" / "etc" / "file").write_text("x")
    return path


def names(core: Core) -> list[str]:
    return [record.name for record in core.store.containers.list()]


@pytest.mark.parametrize("directory", [True, False])
def test_open_owner_dead_removes_record_and_directory(core: Core, directory: bool) -> None:
    path = add(core, "left", DEAD, directory=directory)
    open_core(core.root).close()
    assert names(core) == []
    assert not path.exists()


def test_open_lets_events_of_long_ago_go(core: Core) -> None:
    year = 365 * 86400 * 10**9
    core.store.events.add(EventRow("volume", "create", "old", time_ns=time.time_ns() - year))
    core.store.events.add(EventRow("volume", "create", "new"))
    open_core(core.root).close()
    assert [event.subject for event in core.store.events.after(0)] == ["new"]


def test_open_owner_alive_leaves_all(core: Core) -> None:
    path = add(core, "mine", this_process())
    open_core(core.root).close()
    assert names(core) == ["mine"]
    assert path.exists()


def test_open_detached_never_started_is_removed(core: Core) -> None:
    add(core, "left", DEAD, detached=True)
    open_core(core.root).close()
    assert names(core) == []


def test_open_detached_once_started_stays(core: Core) -> None:
    path = add(core, "kept", DEAD, detached=True)
    (path / "log").write_text("")
    open_core(core.root).close()
    assert names(core) == ["kept"]


def test_remove_directory_gone_frees_the_name(core: Core) -> None:
    add(core, "half", this_process(), directory=False)
    instance = find(core, "half")
    remove(instance)
    assert names(core) == []
    with pytest.raises(NotFound, match="half"):
        remove(instance)


def test_prune_names_what_it_removed(core: Core) -> None:
    add(core, "left", DEAD)
    add(core, "mine", this_process())
    orphan = Path(core.containers, "0" * 64)
    orphan.mkdir()
    report = prune(core)
    assert (report.containers, report.directories) == (("left",), (str(orphan),))
    assert report.failures == ()
    assert names(core) == ["mine"]
    assert not orphan.exists()


def test_prune_clean_root_reports_nothing(core: Core) -> None:
    report = prune(core)
    assert (report.containers, report.directories, report.cgroups) == ((), (), ())
    assert (report.volumes, report.failures) == ((), ())


def test_close_of_a_fork_leaves_the_parents_containers(core: Core) -> None:
    add(core, "parents", Owner(1, 1))
    (record,) = core.store.containers.list()
    core.owned[record.id] = Instance.of(core, record)
    close(core)
    assert names(core) == ["parents"]


def test_open_root_below_a_file_is_a_stage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StageError, match="file") as caught:
        open_core(str(tmp_path / "file" / "root"))
    assert caught.value.stage == "state"


def test_cgroups_of_two_roots_do_not_meet(tmp_path: Path, core: Core) -> None:
    other = open_core(str(tmp_path / "other"))
    other.close()
    assert core.cgroup_path("x") != other.cgroup_path("x")


def test_open_container_that_somebody_starts_again_meanwhile_stays(core: Core) -> None:
    path = add(core, "taken", DEAD)
    with ThreadPoolExecutor(1) as pool:
        with locked(find(core, "taken")):
            opening = pool.submit(reconcile, core)
            wait_for_lock(path)
            me = this_process()
            core.store.containers.adopt(path.name, me.pid, me.start_time)
        opening.result(timeout=60)
    assert names(core) == ["taken"]
    assert path.is_dir()


def wait_for_lock(path: Path) -> None:
    """Until somebody waits for the lock on the directory. Spec: proc_locks(5)"""
    inode = f":{path.stat().st_ino} "
    while not any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines()):
        time.sleep(0.001)
