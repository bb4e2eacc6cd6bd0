"""`checkpoint` and `restore` of the command: runc's flags, and containers that other tools can adopt."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rig.bundles import until
from rig.checkpoints import COUNT, MOMENTS, PROGRAM, await_moment, criu
from rig.engines import Podman
from rig.oci import SCRIPT, Bundle, Command, group_of, groups_left, status_of

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers, and CRIU dumps them"),
    pytest.mark.usefixtures("needs_criu"),
]


@pytest.fixture
def ours(oci: Command) -> Command:
    """The command with the CRIU of the tests."""
    return Command((*oci.words, "--criu", shutil.which(PROGRAM) or PROGRAM), oci.root)


class Output:
    """A pipe for a container to write to, and what has come of it by now."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._text = b""

    @property
    def numbers(self) -> list[int]:
        return [int(line) for line in self.text.splitlines()]

    @property
    def text(self) -> str:
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._reading, 65536):
                self._text += piece
        return self._text.decode()

    def close(self) -> None:
        os.close(self._reading)
        os.close(self.writing)


@pytest.fixture
def outputs() -> Iterator[tuple[Output, Output]]:
    """One for a container, and one for that which goes on."""
    made = Output(), Output()
    yield made
    for output in made:
        output.close()


def test_container_goes_on_from_its_checkpoint(
    ours: Command, bundle: Bundle, tmp_path: Path, outputs: tuple[Output, Output]
) -> None:
    before, after = outputs
    made = bundle("sh", "-c", COUNT)
    ours.detach(made, "c1", stdout=before.writing).ok()
    until(lambda: len(before.numbers) > 2)
    images = tmp_path / "images"
    ours("checkpoint", "--image-path", images, "c1").ok()
    assert ours("list", "-q").text == ""
    assert not groups_left(made)
    last = before.numbers[-1]

    words = ("restore", "--bundle", made, "--detach", "--pid-file", str(tmp_path / "pid"))
    ours.silently(*words, "--image-path", str(images), "c1", stdout=after.writing).ok()
    assert ours.state("c1")["pid"] == int((tmp_path / "pid").read_text())
    assert status_of(ours, "c1") == "running"
    until(lambda: len(after.numbers) > 2)
    assert after.numbers[0] in (last, last + 1)

    assert ours("exec", "c1", "cat", "/proc/1/comm").text == "sh\n"
    ours("kill", "c1", "KILL").ok()
    until(lambda: status_of(ours, "c1") == "stopped")
    ours("delete", "c1").ok()
    assert not groups_left(made)


@pytest.mark.parametrize("moment", MOMENTS)
def test_checkpoint_of_a_container_that_is_killed_meanwhile_fails_and_it_has_stopped(
    ours: Command, bundle: Bundle, tmp_path: Path, moment: str
) -> None:
    """Nobody of ours stays with it: the command itself sees that CRIU waits for ever."""
    ours.detach(bundle("sh", "-c", COUNT), "c1").ok()
    pid, images = ours.state("c1")["pid"], tmp_path / "images"
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(ours, "checkpoint", "--leave-running", "--image-path", images, "c1")
        await_moment(images / "dump.log", moment)
        os.kill(pid, signal.SIGKILL)
        assert "is stopped" in done.result(10.0).stderr
    until(lambda: status_of(ours, "c1") == "stopped")
    ours("delete", "c1").ok()


def test_checkpoint_that_leaves_it_running_is_restored_beside_it(
    ours: Command, bundle: Bundle, tmp_path: Path
) -> None:
    made = bundle("sleep", "60")
    ours.detach(made, "c1").ok()
    images, work = tmp_path / "images", tmp_path / "work"
    ours("checkpoint", "--leave-running", "--image-path", images, "--work-path", work, "c1").ok()
    assert status_of(ours, "c1") == "running"
    assert (work / "dump.log").exists()
    assert not (images / "dump.log").exists()
    other = Path(shutil.copytree(made, tmp_path / "other"))
    config = (other / "config.json").read_text().replace("/containerlib-oci-", "/containerlib-oci-other-")
    (other / "config.json").write_text(config)
    ours.silently(
        "restore", "-d", "-b", str(other), "--image-path", str(images), "--work-path", str(work), "c2"
    ).ok()
    assert (work / "restore.log").exists()
    assert [status_of(ours, each) for each in ("c1", "c2")] == ["running", "running"]


def test_restore_in_the_foreground_ends_as_the_program_does(
    ours: Command, bundle: Bundle, tmp_path: Path
) -> None:
    made = bundle("sh", "-c", "trap 'exit 42' TERM; while :; do sleep 0.02; done")
    ours.detach(made, "c1").ok()
    ours("checkpoint", "--image-path", tmp_path / "images", "c1").ok()
    with ours.start("restore", "-b", made, "--image-path", tmp_path / "images", "c1") as restoring:
        until(lambda: ours("list", "-q").stdout == "c1\n" and status_of(ours, "c1") == "running")
        restoring.send_signal(signal.SIGTERM)
        assert restoring.wait(30.0) == 42
    assert ours("list", "-q").text == ""
    assert not groups_left(made)


def test_terminal_is_sent_to_the_console_socket(ours: Command, bundle: Bundle, tmp_path: Path) -> None:
    import socket

    def with_terminal(spec: dict[str, Any]) -> None:
        spec["process"]["terminal"] = True

    made = bundle("sh", "-c", "while read word; do echo got $word; done", change=with_terminal)
    path = str(tmp_path / "console.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def master() -> int:
            connection, _ = listener.accept()
            with connection:
                return socket.recv_fds(connection, 64, 1)[1][0]

        ours.detach(made, "c1", "--console-socket", path).ok()
        first = master()
        ours("checkpoint", "--image-path", tmp_path / "images", "c1").ok()
        os.close(first)
        words = ("restore", "-d", "-b", made, "--image-path", str(tmp_path / "images"))
        ours.silently(*words, "--console-socket", path, "c1").ok()
        second = master()
    os.write(second, b"two\n")
    heard = b""
    while b"got two" not in heard:
        heard += os.read(second, 4096)
    os.close(second)


def test_open_connection_is_refused_and_with_the_flag_goes_on(
    ours: Command, bundle: Bundle, tmp_path: Path
) -> None:
    listens = "until grep -q :15B3 /proc/net/tcp /proc/net/tcp6; do :; done"
    script = f"(sleep 60 | nc -l -p 5555) & {listens}; sleep 60 | nc 127.0.0.1 5555"
    made = bundle("sh", "-c", script)
    images = tmp_path / "images"

    def is_connected() -> bool:
        return " 01 " in ours("exec", "c1", "cat", "/proc/net/tcp").text

    ours.detach(made, "c1").ok()
    until(is_connected)
    answer = ours("checkpoint", "--image-path", images, "c1")
    assert answer.status == 1
    assert "--tcp-established" in answer.stderr
    assert status_of(ours, "c1") == "running"
    ours("checkpoint", "--tcp-established", "--image-path", images, "c1").ok()
    words = ("restore", "-d", "-b", made, "--image-path", str(images), "--tcp-established")
    ours.silently(*words, "c1").ok()
    assert is_connected()


@pytest.mark.parametrize(
    "words",
    [
        ("--empty-ns", "pid"),
        ("--page-server", "nowhere"),
        ("--manage-cgroups-mode", "some"),
        ("--status-fd", "99"),
        ("--lazy-pages",),
    ],
)
def test_wrong_flags_are_refused_before_anything_is_done(
    ours: Command, bundle: Bundle, tmp_path: Path, words: tuple[str, ...]
) -> None:
    ours.detach(bundle("sleep", "60"), "c1").ok()
    assert ours("checkpoint", *words, "--image-path", tmp_path / "images", "c1").status == 1
    assert not (tmp_path / "images").exists()
    assert status_of(ours, "c1") == "running"


def test_restore_of_an_id_that_is_taken_is_refused(ours: Command, bundle: Bundle, tmp_path: Path) -> None:
    made = bundle("sleep", "60")
    ours.detach(made, "c1").ok()
    ours("checkpoint", "--leave-running", "--image-path", tmp_path / "images", "c1").ok()
    answer = ours("restore", "-d", "-b", made, "--image-path", tmp_path / "images", "c1")
    assert answer.status == 1
    assert "already exists" in answer.stderr


def test_restore_that_fails_leaves_nothing(ours: Command, bundle: Bundle, tmp_path: Path) -> None:
    made = bundle("sleep", "60")
    ours.detach(made, "c1").ok()
    ours("checkpoint", "--image-path", tmp_path / "images", "c1").ok()
    memory = tmp_path / "images" / "mm-1.img"
    memory.write_bytes(memory.read_bytes()[:8] + b"\xff" * (memory.stat().st_size - 8))
    answer = ours("restore", "-d", "-b", made, "--image-path", tmp_path / "images", "c1")
    assert answer.status == 1
    assert "restore.log" in answer.stderr
    assert ours("list", "-q").text == ""
    assert not groups_left(made)


def test_criu_that_is_too_old_or_missing_is_refused_with_what_to_install(
    oci: Command, bundle: Bundle, tmp_path: Path
) -> None:
    oci.detach(bundle("sleep", "60"), "c1").ok()
    command = Command((*oci.words, "--criu", "/no/such/criu"), oci.root)
    answer = command("checkpoint", "--image-path", tmp_path / "images", "c1")
    assert answer.status == 1
    assert "install criu 4.2 or later" in answer.stderr
    assert status_of(oci, "c1") == "running"


@pytest.mark.parametrize("mode", ["ignore", "none", "props", "soft", "full"])
def test_restored_container_is_in_its_own_groups_whatever_criu_does_about_them(
    ours: Command, bundle: Bundle, tmp_path: Path, mode: str
) -> None:
    made, images = bundle("sleep", "60"), tmp_path / "images"
    flags = ("--manage-cgroups-mode", mode, "--image-path", str(images))
    ours.detach(made, "c1").ok()
    ours("checkpoint", *flags, "c1").ok()
    other = Path(shutil.copytree(made, tmp_path / "other"))
    config = (other / "config.json").read_text().replace("/containerlib-oci-", "/containerlib-oci-other-")
    (other / "config.json").write_text(config)
    ours.silently("restore", "-d", "-b", str(other), *flags, "c1").ok()
    paths = ours("exec", "c1", "cat", "/proc/1/cgroup").text
    assert group_of(str(other)) in paths
    assert group_of(made) not in paths
    assert not groups_left(made)
    ours("delete", "--force", "c1").ok()
    assert not groups_left(str(other))


def test_memory_comes_when_it_is_touched(ours: Command, bundle: Bundle, tmp_path: Path) -> None:
    if not criu().features["lazy_pages"]:
        pytest.skip("this kernel has no userfaultfd(2) that follows forks")
    made = bundle("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i >/dev/shm/count; sleep 0.02; done")
    images, work = tmp_path / "images", tmp_path / "work"
    work.mkdir()

    def count() -> int:
        return int(ours("exec", "c1", "cat", "/dev/shm/count").stdout.strip() or 0)

    ours.detach(made, "c1").ok()
    until(lambda: count() > 3)
    seen = count()
    ours("checkpoint", "--image-path", images, "c1").ok()
    words = (
        criu().path,
        "lazy-pages",
        "--images-dir",
        str(images),
        "--work-dir",
        str(work),
        "-o",
        "lazy.log",
    )
    with subprocess.Popen(words) as pages:
        until((work / "lazy-pages.socket").exists)
        restore = ("restore", "-d", "-b", made, "--image-path", str(images), "--work-path", str(work))
        ours.silently(*restore, "--lazy-pages", "c1").ok()
        until(lambda: count() > seen + 3)
        assert pages.wait(30.0) == 0


# ---- with another runtime ----


@pytest.fixture
def runc(tmp_path: Path) -> Iterator[Command]:
    if shutil.which("runc") is None:
        pytest.skip("no runc")
    path = shutil.which(PROGRAM) or PROGRAM
    with Command(("runc", "--criu", path), tmp_path / "runc") as command:
        yield command


@pytest.mark.parametrize("from_ours", [True, False], ids=["ours-to-runc", "runc-to-ours"])
def test_checkpoint_is_restored_by_the_other(
    ours: Command, runc: Command, bundle: Bundle, tmp_path: Path, from_ours: bool
) -> None:
    first, second = (ours, runc) if from_ours else (runc, ours)
    made = bundle("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i >/dev/shm/count; sleep 0.02; done")
    first.detach(made, "c1").ok()

    def count(command: Command) -> int:
        return int(command("exec", "c1", "cat", "/dev/shm/count").stdout.strip() or 0)

    until(lambda: count(first) > 3)
    seen = count(first)
    first("checkpoint", "--image-path", tmp_path / "images", "c1").ok()
    second.silently("restore", "-d", "-b", made, "--image-path", str(tmp_path / "images"), "c1").ok()
    until(lambda: count(second) > seen + 3)
    assert status_of(second, "c1") == "running"


def test_podman_checkpoints_and_restores_with_the_command(
    tmp_path: Path, busybox_image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """podman finds CRIU on the PATH, and has the container's files in its archive."""
    found = Path(shutil.which(PROGRAM) or PROGRAM).parent
    monkeypatch.setenv("PATH", f"{found}:{os.environ['PATH']}")
    archive = str(tmp_path / "archive.tar.gz")
    script = "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.02; done"
    with Podman(tmp_path, SCRIPT, busybox_image) as podman:
        podman.run("sh", "-c", script, options=("--detach", "--name", "c1")).ok()

        def count(name: str) -> int:
            return int(podman("exec", name, "cat", "/count").stdout.strip() or 0)

        until(lambda: count("c1") > 3)
        seen = count("c1")
        podman("container", "checkpoint", "--export", archive, "c1").ok()
        podman("rm", "c1").ok()
        podman("container", "restore", "--import", archive, "--name", "c2").ok()
        until(lambda: count("c2") > seen + 3)
