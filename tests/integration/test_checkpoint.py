"""Checkpoints of containers, at the runtime layer: what goes on, and what the supervisor has of it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from containerlib.errors import AlreadyExists, Conflict, NotFound
from containerlib.runtime import connect, state
from containerlib.runtime.checkpoint.protobuf import NUMBER, Field, Table, decode
from containerlib.runtime.lifetime import Lifetime, restart_count, write_policy
from containerlib.shim import read_exit
from containerlib.spec.lifecycle import State
from containerlib.spec.lifetime import RestartOption
from rig.bundles import Bundled, Rack, log_of, shim_of, until
from rig.checkpoints import COUNT, checkpoint, numbers, restore

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers, and CRIU dumps them"),
    pytest.mark.usefixtures("needs_criu"),
]


# ---- the dump ----


def test_dump_that_leaves_it_running_lets_the_program_go_on(counter: Bundled, tmp_path: Path) -> None:
    checkpoint(counter, tmp_path / "images", leave_running=True)
    seen = len(numbers(counter))
    until(lambda: len(numbers(counter)) > seen)
    assert numbers(counter) == list(range(1, len(numbers(counter)) + 1))
    assert state(counter.directory) is State.RUNNING


def test_dump_ends_the_container(counter: Bundled, tmp_path: Path) -> None:
    checkpoint(counter, tmp_path / "images")
    status = counter.finish().status
    assert status.signal == signal.SIGKILL
    assert state(counter.directory) is State.STOPPED


def test_dump_ends_a_container_that_is_restarted_whenever_it_ends(rack: Rack, tmp_path: Path) -> None:
    container = rack.create("sh", "-c", COUNT)
    write_policy(container.directory, Lifetime(restart=RestartOption("always", pause=0.01)))
    checkpoint(container, tmp_path / "images")
    container.finish()
    assert restart_count(container.directory) == 0


def test_images_are_their_owners_alone(counter: Bundled, tmp_path: Path) -> None:
    images = checkpoint(counter, tmp_path / "images", leave_running=True)
    assert images.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in images.iterdir()} == {0o600}


def test_program_stands_still_while_the_caller_copies(counter: Bundled, tmp_path: Path) -> None:
    seen: list[str] = []

    def still() -> None:
        ticks = Path(f"/proc/{counter.supervisor.pid}/stat").read_text().rpartition(")")[2].split()
        seen.append(ticks[0])

    checkpoint(counter, tmp_path / "images", still=still, leave_running=True)
    assert seen == ["t"]  # CRIU has it


def test_caller_who_fails_while_it_stands_still_lets_it_go_on(counter: Bundled, tmp_path: Path) -> None:
    def still() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        checkpoint(counter, tmp_path / "images", still=still)
    seen = len(numbers(counter))
    until(lambda: len(numbers(counter)) > seen)
    assert not [file for file in (tmp_path / "images").iterdir() if file.suffix in (".img", ".json")]


def test_dump_into_images_of_another_is_refused(counter: Bundled, tmp_path: Path) -> None:
    checkpoint(counter, tmp_path / "images", leave_running=True)
    with pytest.raises(AlreadyExists):
        checkpoint(counter, tmp_path / "images", leave_running=True)


def test_dump_of_a_stopped_container_is_a_conflict(rack: Rack, tmp_path: Path) -> None:
    container = rack.create("true")
    container.finish()
    with pytest.raises(Conflict) as caught:
        checkpoint(container, tmp_path / "images")
    assert caught.value.state == "stopped"
    assert not (tmp_path / "images").exists()


def test_dump_of_a_paused_container_leaves_it_paused(rack: Rack, counter: Bundled, tmp_path: Path) -> None:
    counter.cgroup.freeze()
    seen = numbers(counter)
    images = checkpoint(counter, tmp_path / "images", leave_running=True)
    assert state(counter.directory, counter.cgroup) is State.PAUSED
    assert numbers(counter) == seen
    again = restore(rack, counter, images)
    until(lambda: log_of(again))
    assert numbers(again)[0] in (seen[-1], seen[-1] + 1)
    counter.cgroup.thaw()
    until(lambda: len(numbers(counter)) > len(seen))


def test_process_that_was_executed_from_outside_is_left_out(
    rack: Rack, counter: Bundled, tmp_path: Path
) -> None:
    with counter.execute("sleep", "60") as other:
        images = checkpoint(counter, tmp_path / "images", leave_running=True)
        assert other.poll() is None
        again = restore(rack, counter, images)
        assert b"sleep\x0060" not in again.output("sh", "-c", "cat /proc/[0-9]*/cmdline").stdout
        other.abandon()


def test_images_do_not_have_the_supervisor_in_them(counter: Bundled, tmp_path: Path) -> None:
    images = checkpoint(counter, tmp_path / "images", leave_running=True)
    thread: Table = {"death": Field(8, NUMBER), "nice": Field(4, NUMBER)}
    core = decode({"thread": Field(5, thread)}, (images / "core-1.img").read_bytes()[12:])
    assert core["thread"] == {"nice": 0}


# ---- the restore ----


@pytest.mark.vm
def test_restored_program_goes_on_where_it_was(rack: Rack, counter: Bundled, tmp_path: Path) -> None:
    images = checkpoint(counter, tmp_path / "images")
    counter.finish()
    again = restore(rack, counter, images)
    assert state(again.directory) is State.RUNNING
    last = numbers(counter)[-1]
    until(lambda: len(numbers(again)) > 2)
    first = numbers(again)[0]
    assert first in (last, last + 1)
    assert numbers(again) == list(range(first, first + len(numbers(again))))


@pytest.mark.vm
def test_restored_program_is_its_supervisors_child_and_in_its_groups(
    rack: Rack, counter: Bundled, tmp_path: Path
) -> None:
    images = checkpoint(counter, tmp_path / "images")
    counter.finish()
    again = restore(rack, counter, images)
    assert Path(f"/proc/{shim_of(again)}/comm").read_text() == "containerlib\n"
    assert again.supervisor.pid in again.cgroup.pids()
    assert again.output("cat", "/proc/1/comm").text == "sh"


def test_restored_container_is_ended_and_leaves_its_record(
    rack: Rack, counter: Bundled, tmp_path: Path
) -> None:
    images = checkpoint(counter, tmp_path / "images")
    counter.finish()
    again = restore(rack, counter, images)
    supervisor = connect(again.directory)
    assert supervisor is not None
    with supervisor:
        supervisor.signal(signal.SIGKILL)
        assert supervisor.wait(30.0).signal == signal.SIGKILL
    status = again.finish().status
    assert read_exit(again.directory) == status
    assert not Path(again.cgroup.directories[0]).exists()


def test_restored_container_ends_with_its_programs_own_exit_code(rack: Rack, tmp_path: Path) -> None:
    container = rack.create("sh", "-c", "trap 'exit 42' TERM; echo ready; while :; do sleep 0.02; done")
    until(lambda: log_of(container) == b"ready\n")
    images = checkpoint(container, tmp_path / "images")
    container.finish()
    again = restore(rack, container, images)
    again.supervisor.signal(signal.SIGTERM)
    assert again.finish().status.exit_code == 42


def test_several_containers_go_on_from_the_same_images(rack: Rack, counter: Bundled, tmp_path: Path) -> None:
    images = checkpoint(counter, tmp_path / "images", leave_running=True)
    clones = [restore(rack, counter, images, name=f"clone-{i}") for i in range(3)]
    for clone in clones:
        until(lambda clone=clone: len(numbers(clone)) > 2)
    assert len({numbers(clone)[0] for clone in clones}) == 1
    assert state(counter.directory) is State.RUNNING


def test_restored_container_that_is_restarted_begins_anew(rack: Rack, tmp_path: Path) -> None:
    container = rack.create("sh", "-c", f"trap 'exit 3' TERM; {COUNT}")
    until(lambda: len(numbers(container)) > 4)
    images = checkpoint(container, tmp_path / "images")
    container.finish()
    again = restore(rack, container, images)
    write_policy(again.directory, Lifetime(restart=RestartOption("on-failure", pause=0.01)))
    until(lambda: log_of(again))
    again.supervisor.signal(signal.SIGTERM)
    until(lambda: restart_count(again.directory) == 1 and numbers(again)[-1] < numbers(again)[0])
    assert state(again.directory) is State.RUNNING


def test_restore_without_a_checkpoint_is_not_found(rack: Rack, counter: Bundled, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound):
        restore(rack, counter, tmp_path / "empty")
