"""podman, containerd, docker and buildah with our command for their runtime."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.bundles import until
from rig.engines import Buildah, Containerd, Docker, Podman, write_runtime

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: runs engines with our runtime"),
    pytest.mark.slow,
]

NOT_FOUND = 'exec: "nope": executable file not found in $PATH'


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    return write_runtime(tmp_path / "runtime", sys.executable, tmp_path / "state")


@pytest.fixture
def podman(tmp_path: Path, runtime: Path, busybox_image: Path) -> Iterator[Podman]:
    with Podman(tmp_path, runtime, busybox_image) as engine:
        yield engine


@pytest.fixture
def containerd(tmp_path: Path, runtime: Path, busybox_image: Path) -> Iterator[Containerd]:
    with Containerd(tmp_path, runtime, busybox_image) as engine:
        yield engine


@pytest.fixture
def docker(tmp_path: Path, runtime: Path, busybox_image: Path) -> Iterator[Docker]:
    from rig import images

    with Docker(tmp_path, runtime, busybox_image) as engine:
        images.busybox_image().write_docker_archive(tmp_path / "busybox.tar", tag="busybox:latest")
        engine.load(tmp_path / "busybox.tar")
        yield engine


@pytest.fixture
def buildah(tmp_path: Path, runtime: Path, busybox_image: Path) -> Iterator[Buildah]:
    with Buildah(tmp_path, runtime, busybox_image) as engine:
        yield engine


def test_podman_run_streams_and_status(podman: Podman) -> None:
    answer = podman.run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (answer.status, answer.stdout, answer.stderr) == (7, "out\n", "err\n")


def test_podman_knows_what_was_not_found_or_not_allowed(podman: Podman) -> None:
    """It looks for words in our message: 127 and 126 are its answers, as of a shell."""
    answer = podman.run("nope")
    assert (answer.status, "executable file not found in $PATH" in answer.stderr) == (127, True)
    assert podman.run("/etc").status == 126


def test_podman_whole_life(podman: Podman) -> None:
    start = ("--detach", "--name", "c1", "--memory", "64m", "--pids-limit", "30")
    podman.run(
        "sh", "-c", "trap 'echo bye; exit 3' TERM; echo hi; while :; do sleep 0.05; done", options=start
    ).ok()
    assert podman("exec", "c1", "sh", "-c", "id -u; exit 0").text == "0\n"
    assert (
        podman("exec", "--user", "5:6", "--workdir", "/tmp", "c1", "sh", "-c", "id -u; pwd").text
        == "5\n/tmp\n"
    )
    assert podman("exec", "c1", "nope").status == 127
    assert podman("exec", "--tty", "c1", "tty").text.strip() == "/dev/pts/0"
    assert podman("exec", "--detach", "c1", "sleep", "50").status == 0
    assert "sleep 50" in podman("top", "c1", "args").text
    podman("pause", "c1").ok()
    assert podman("inspect", "--format", "{{.State.Status}}", "c1").text == "paused\n"
    podman("unpause", "c1").ok()
    assert podman("stats", "--no-stream", "--format", "{{.PIDs}}", "c1").text.strip().isdecimal()
    podman("kill", "--signal", "TERM", "c1").ok()
    assert podman("wait", "c1").text == "3\n"
    assert podman("logs", "c1").text == "hi\nbye\n"
    podman("start", "c1").ok()
    podman("stop", "--time", "5", "c1").ok()
    podman("rm", "c1").ok()


def test_podman_update_of_a_running_container(podman: Podman) -> None:
    podman.run("sleep", "100", options=("--detach", "--name", "c1")).ok()
    answer = podman("update", "--pids-limit", "44", "c1")
    if answer.status != 0 and ("unrecognized" in answer.stderr or "unknown flag" in answer.stderr):
        pytest.skip("this podman has no `update` of the process limit")
    assert answer.status == 0


def test_podman_terminal_of_a_run(podman: Podman) -> None:
    assert podman.run("sh", "-c", "tty", options=("--rm", "--tty")).text.strip() == "/dev/pts/0"


def test_containerd_run_streams_and_status(containerd: Containerd) -> None:
    answer = containerd.run("c1", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (answer.status, answer.stdout) == (7, "out\n")
    assert "err\n" in answer.stderr
    assert NOT_FOUND in containerd.run("c2", "nope").stderr


def test_containerd_whole_life(containerd: Containerd) -> None:
    containerd.run("c1", "sleep", "100", options=("--detach",)).ok()
    assert containerd("tasks", "ls").text.split()[-1] == "RUNNING"
    assert containerd("tasks", "exec", "--exec-id", "e1", "c1", "id", "-u").text == "0\n"
    answer = containerd("tasks", "exec", "--exec-id", "e2", "c1", "nope")
    assert (answer.status, NOT_FOUND in answer.stderr) == (1, True)
    containerd("tasks", "pause", "c1").ok()
    assert containerd("tasks", "ls").text.split()[-1] == "PAUSED"
    containerd("tasks", "resume", "c1").ok()
    containerd("tasks", "kill", "--signal", "KILL", "c1").ok()
    deadline = time.monotonic() + 20
    while containerd("tasks", "ls").text.split()[-1] != "STOPPED":
        assert time.monotonic() < deadline
    assert containerd("tasks", "rm", "c1").status in (0, 137)
    containerd("containers", "rm", "c1").ok()


def test_docker_run_streams_and_status(docker: Docker) -> None:
    answer = docker.run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (answer.status, answer.stdout, answer.stderr) == (7, "out\n", "err\n")
    assert docker.run("nope").status == 127
    assert docker.run("/etc").status == 126


def test_docker_whole_life(docker: Docker) -> None:
    start = ("--detach", "--name", "c1", "--memory", "64m", "--pids-limit", "30")
    docker.run("sh", "-c", "trap 'exit 3' TERM; echo hi; while :; do sleep 0.05; done", options=start).ok()
    assert (
        docker("exec", "--user", "5:6", "--workdir", "/tmp", "c1", "sh", "-c", "id -u; pwd").text
        == "5\n/tmp\n"
    )
    answer = docker("exec", "c1", "nope")
    assert (answer.status, NOT_FOUND in answer.stdout + answer.stderr) == (126, True)  # as with runc
    assert docker("exec", "c1", "sh", "-c", "exit 9").status == 9
    docker("pause", "c1").ok()
    assert docker("inspect", "--format", "{{.State.Status}}", "c1").text == "paused\n"
    docker("unpause", "c1").ok()
    docker("update", "--memory", "80m", "--memory-swap", "160m", "c1").ok()
    assert "sh -c trap" in docker("top", "c1").text
    docker("stop", "--time", "5", "c1").ok()
    assert docker("inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}", "c1").text == "3 false\n"
    docker("start", "c1").ok()
    docker("rm", "--force", "c1").ok()


def lingering() -> list[str]:
    """Hierarchies of cgroup v1 that were in another test's mount namespace: beside them containerd watches no group."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    names = [line.split(":")[1] for line in lines]
    return [name for name in names if name and "=" not in name and not Path("/sys/fs/cgroup", name).is_dir()]


def test_docker_sees_the_oom_killer(docker: Docker) -> None:
    if names := lingering():
        pytest.skip(f"the kernel still has cgroup hierarchies that are mounted nowhere: {', '.join(names)}")
    options = ("--name", "c1", "--memory", "16m", "--memory-swap", "16m")
    assert docker.run("sh", "-c", "sleep 1; exec tail /dev/zero", options=options).status == 137
    # containerd listens for the killer only once the program runs, and tells of it and of the end in either order
    until(lambda: docker("inspect", "--format", "{{.State.OOMKilled}}", "c1").text == "true\n")


def test_buildah_run_and_build(buildah: Buildah, tmp_path: Path) -> None:
    answer = buildah.run("sh", "-c", "echo out; exit 3")
    assert (answer.status, answer.stdout) == (3, "out\n")
    assert NOT_FOUND.replace('"', '\\"') in buildah.run("nope").stderr
    context = tmp_path / "context"
    context.mkdir()
    steps = f"FROM oci:{buildah.layout}\nRUN echo built > /built\nRUN cat /built && id -u\n"
    (context / "Dockerfile").write_text(steps)
    answer = buildah.build(context)
    assert answer.status == 0, answer.stderr
    assert "built\n0\n" in answer.stdout


def test_nothing_of_the_runtime_is_left(podman: Podman, tmp_path: Path) -> None:
    podman.run("true").ok()
    assert [path.name for path in (tmp_path / "state").iterdir() if path.name != ".seccomp"] == []
