"""Containers that go on at once from a checkpoint, and whose memory comes when it is touched."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.runtime.checkpoint import find_criu
from rig.bundles import parent_of, until
from rig.checkpoints import criu
from rig.lifetime import directory_of, shim_of

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers, and CRIU dumps them"),
    pytest.mark.usefixtures("criu_on_path", "lazy"),
]

HELD = 64_000_000
MUCH = 300_000_000
"""So much takes its time to come."""


def hold(size: int) -> tuple[str, ...]:
    """A program that holds so many bytes in a variable, and says on SIGUSR1 whether it has them all."""
    holds = f"x=$(head -c {size} /dev/zero | tr '\\0' a); trap 'echo \"$x\" | md5sum' USR1; echo held"
    return "sh", "-c", f"{holds}; while :; do sleep 0.1; done"


@pytest.fixture
def lazy() -> None:
    """Skips where the kernel cannot."""
    if not criu().features["lazy_pages"]:
        pytest.skip("this kernel has no userfaultfd(2) that follows forks")


def checkpoint(box: cl.ContainerRecipe, size: int) -> cl.Checkpoint:
    with box.start(*hold(size)) as container:
        container.wait_for(log="held", timeout=60.0)
        return container.checkpoint()


@pytest.fixture
def image(box: cl.ContainerRecipe) -> cl.Checkpoint:
    """A checkpoint of a program that holds HELD bytes."""
    return checkpoint(box, HELD)


def readers(engine: cl.Engine) -> list[int]:
    """Who brings memory to its containers."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes()
            if b"lazy-pages" in words and os.fsencode(engine.root) in words:
                found.append(int(process.name))
    return found


def sums(container: cl.Container) -> list[str]:
    return [record.text.removesuffix("  -") for record in container.logs()]


def is_whole(container: cl.Container, size: int = HELD) -> bool:
    seen = len(sums(container))
    container.kill("USR1")
    until(lambda: len(sums(container)) > seen, 60.0)
    return sums(container)[-1] == hashlib.md5(b"a" * size + b"\n", usedforsecurity=False).hexdigest()


def stopped_reader(engine: cl.Engine) -> int:
    """Who brings MUCH is at it still."""
    (reader,) = readers(engine)
    os.kill(reader, signal.SIGSTOP)
    until(lambda: state(reader) in "Tt")
    return reader


def state(pid: int) -> str:
    """One letter. Spec: proc_pid_stat(5)"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def is_ending(pid: int) -> bool:
    """It was sent SIGKILL, and stands still before it does anything about that."""
    return state(pid) == "t" and "exit" in Path(f"/proc/{pid}/stack").read_text()


def holds_memory(reader: int) -> bool:
    links = [os.readlink(fd) for fd in Path(f"/proc/{reader}/fd").iterdir()]  # noqa: PTH115
    return "anon_inode:[userfaultfd]" in links


def test_memory_of_a_restored_container_comes_while_it_runs(engine: cl.Engine, image: cl.Checkpoint) -> None:
    with image.restore(lazy=True) as again:
        assert is_whole(again)
        until(lambda: not readers(engine))
        assert not (directory_of(again) / "lazy-pages.socket").exists()
        assert is_whole(again)
        again.restart(timeout=0.1)
        assert readers(engine) == []


def test_memory_comes_when_the_caller_is_gone(engine: cl.Engine, image: cl.Checkpoint) -> None:
    program = f"""
        import os, containerlib as cl
        cl.Engine({engine.root!r}).images.get({image.id!r}).restore(name="lazy", detach=True, lazy=True)
        os._exit(0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
    again = engine.containers.get("lazy")
    try:
        assert is_whole(again)
    finally:
        again.remove(force=True)


def test_copies_have_memory_that_the_caller_holds_no_more(box: cl.ContainerRecipe) -> None:
    with box.start(*hold(HELD)) as container:
        container.wait_for(log="held", timeout=60.0)
        one, other = container.fork(2, lazy=True)
        with one, other:
            assert is_whole(one)
            assert is_whole(other)
        assert is_whole(container)


def test_checkpoint_waits_for_what_has_not_come(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with checkpoint(box, MUCH).restore(lazy=True) as again:
        assert readers(engine)
        with again.checkpoint().restore() as once_more:
            assert is_whole(once_more, MUCH)


def test_container_whose_memory_does_not_come_ends_and_says_why(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with checkpoint(box, MUCH).restore(lazy=True) as again:
        reader, supervisor = stopped_reader(engine), shim_of(again)
        again.kill("USR1")
        os.kill(supervisor, signal.SIGSTOP)
        os.kill(reader, signal.SIGKILL)
        until(lambda: is_ending(reader))  # what it served is there, for the supervisor to end first
        assert holds_memory(reader)
        os.kill(supervisor, signal.SIGCONT)
        assert again.wait(timeout=30.0).signal == signal.SIGKILL
        assert "brought its memory" in str(again.inspect().error)
        assert sums(again) == []  # of what was never there
        again.start()
        assert again.inspect().error is None


def test_container_that_ends_before_its_memory_has_come_ends_as_it_does(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with checkpoint(box, MUCH).restore(lazy=True) as again:
        again.kill()
        assert again.wait(timeout=30.0).signal == signal.SIGKILL
        assert again.inspect().error is None
        until(lambda: not readers(engine))


@contextmanager
def criu_that(does: str) -> Iterator[None]:
    """What sh does before it becomes CRIU."""
    program = Path(find_criu().path)
    real = program.readlink()
    program.unlink()
    program.write_text(f'#!/bin/sh\n{does}\nexec {real} "$@"\n')
    program.chmod(0o755)
    try:
        yield
    finally:
        program.unlink()
        program.symlink_to(real)


def test_reader_that_cannot_begin_fails_the_restore(engine: cl.Engine, image: cl.Checkpoint) -> None:
    with criu_that('[ "$1" = lazy-pages ] && exit 1'), pytest.raises(cl.StageError, match=r"^pages: "):
        image.restore(lazy=True)
    assert engine.containers.list() == []
    image.restore().remove(force=True)


def test_reader_that_waits_ends_with_the_supervisor(engine: cl.Engine, image: cl.Checkpoint) -> None:
    with criu_that('[ "$*" = "swrk 3" ] && exec sleep 600'), ThreadPoolExecutor(1) as pool:
        restoring = pool.submit(image.restore, lazy=True)
        until(lambda: list(Path(engine.root).glob("containers/*/lazy-pages.socket")))
        until(lambda: state(readers(engine)[0]) == "S")
        os.kill(parent_of(readers(engine)[0]), signal.SIGKILL)
        with pytest.raises(cl.Error):
            restoring.result()
    until(lambda: not readers(engine))
    assert engine.containers.list() == []


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")


def test_reader_of_a_killed_supervisor_ends_after_the_container(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with checkpoint(box, MUCH).restore(lazy=True) as again:
        reader, supervisor = stopped_reader(engine), shim_of(again)
        (guard,) = (pid for pid in children(supervisor) if name(pid) == "containerlib")
        os.kill(guard, signal.SIGSTOP)
        os.kill(supervisor, signal.SIGKILL)
        until(lambda: parent_of(reader) != supervisor)
        assert holds_memory(reader)  # so nobody finds zeros
        os.kill(guard, signal.SIGCONT)
        until(lambda: not readers(engine))
        until(lambda: again.state is cl.State.STOPPED)
        again.start()
        again.checkpoint(leave_running=True)  # which waits for no reader of before
