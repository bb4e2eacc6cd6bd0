"""One suite over every driver: one command in a container, and one more.

What a driver does differently is in `DIFFERENCES`, with the reason; a test skips for nothing else.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import containerlib as cl
from rig.bundles import until

OWN_COMMAND = "containerlib-oci"
pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
    pytest.mark.parametrize("driver", ["native", "runc", "crun", "runsc", OWN_COMMAND], indirect=True),
]
DIFFERENCES = {
    ("runsc", "pids"): "the sandbox's own threads are counted too, and the driver refuses the limit",
    ("runsc", "capabilities"): "Debian's knows none that came after Linux 5.8",
    ("runsc", "cgroup"): "its sandbox has no cgroup file system",
}


def skip_where(driver: str, what: str) -> None:
    if reason := DIFFERENCES.get((driver, what)):
        pytest.skip(f"{driver}: {reason}")


# ---- one command ----


def test_run_output_is_collected_stream_by_stream(box: cl.ContainerRecipe) -> None:
    done = box.run("sh", "-c", "echo out; echo err >&2")
    assert (done.exit_code, done.stdout, done.stderr) == (0, b"out\n", b"err\n")


def test_run_exit_code_is_the_programs(box: cl.ContainerRecipe) -> None:
    assert box.run("sh", "-c", "exit 42", check=False).exit_code == 42


def test_run_signal_is_told(box: cl.ContainerRecipe, driver: str) -> None:
    done = box.run("sh", "-c", "sh -c 'kill -9 $$'; exit $?", check=False)
    assert done.exit_code == 137
    with box.start("sleep", "600") as container:
        container.kill("KILL")
        status = container.wait(20.0)
    assert (status.exit_code, status.signal) == (137, signal.SIGKILL)


def test_run_input_reaches_the_program_and_ends(box: cl.ContainerRecipe) -> None:
    data = bytes(range(256)) * 4096
    assert box.run("cat", input=data).stdout == data


def test_run_without_input_reads_end_of_file(box: cl.ContainerRecipe) -> None:
    assert box.run("sh", "-c", "cat; echo end").text == "end\n"


def test_run_long_output_is_whole(box: cl.ContainerRecipe) -> None:
    assert len(box.run("sh", "-c", "head -c 3000000 /dev/zero").stdout) == 3_000_000


def test_run_environment_and_workdir(box: cl.ContainerRecipe) -> None:
    done = (
        box.env(COLOUR="blue", EMPTY="")
        .workdir("/tmp")
        .run("sh", "-c", 'echo "$COLOUR,${EMPTY-unset},$(pwd)"')
    )
    assert done.text == "blue,,/tmp\n"


def test_run_user_has_its_ids_and_no_capabilities(box: cl.ContainerRecipe) -> None:
    done = box.user("1000:1001").run("sh", "-c", "id -u; id -g; grep CapEff /proc/self/status")
    assert done.text.split() == ["1000", "1001", "CapEff:", "0000000000000000"]


def test_run_hostname(box: cl.ContainerRecipe) -> None:
    assert box.hostname("a-host").run("hostname").text == "a-host\n"


def test_run_mounts_are_there_with_their_modes(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("from the host")
    recipe = box.mount(tmp_path / "in", at="/rw").mount(tmp_path / "in", at="/ro", read_only=True)
    done = recipe.run(
        "sh", "-c", "cat /ro/file; echo back > /rw/answer; touch /ro/x 2>/dev/null || echo refused"
    )
    assert done.text == "from the hostrefused\n"
    assert (tmp_path / "in" / "answer").read_text() == "back\n"


def test_run_read_only_root(box: cl.ContainerRecipe) -> None:
    done = box.read_only().run("sh", "-c", "touch /x 2>/dev/null || echo refused")
    assert done.text == "refused\n"


def test_run_nothing_is_mounted_on_the_host(box: cl.ContainerRecipe, engine: cl.Engine) -> None:
    with box.start("sleep", "600"):
        assert engine.root not in Path("/proc/self/mountinfo").read_text()


def test_run_null_device_of_the_host_stays_the_hosts(box: cl.ContainerRecipe) -> None:
    before = Path("/dev/null").stat()
    with box.user("5:6").start("sleep", "600") as container:
        container.exec("sh", "-c", "echo x > /dev/null; cat < /dev/null", user="7:8")
        now = Path("/dev/null").stat()
        assert (now.st_uid, now.st_gid, now.st_mode) == (before.st_uid, before.st_gid, before.st_mode)


def test_run_device_nodes_work(box: cl.ContainerRecipe) -> None:
    assert box.run("sh", "-c", "echo x > /dev/null; head -c 4 /dev/urandom | wc -c").text.strip() == "4"


def test_run_memory_limit_kills_and_is_told(box: cl.ContainerRecipe) -> None:
    done = box.limit(memory="96MiB", swap=0).run("sh", "-c", "tail /dev/zero", check=False)
    assert done.exit_code == 137
    assert done.status.oom_killed


def test_run_pids_limit_holds(box: cl.ContainerRecipe, driver: str) -> None:
    skip_where(driver, "pids")
    done = box.limit(pids=32).run("sh", "-c", "for i in $(seq 64); do sleep 5 & done", check=False)
    assert done.exit_code != 0
    assert b"fork" in done.stderr


def test_run_sees_no_cgroups_of_others(box: cl.ContainerRecipe, driver: str) -> None:
    skip_where(driver, "cgroup")
    lines = box.run("cat", "/proc/self/cgroup").text.splitlines()
    assert {line.rpartition(":")[2] for line in lines if "devices" in line or line.startswith("0:")} == {"/"}


def test_run_terminal_is_one_with_its_size(box: cl.ContainerRecipe) -> None:
    done = box.tty().run("sh", "-c", "test -t 0 && test -t 1 && echo yes; stty size; echo err >&2")
    assert done.text.replace("\r", "").splitlines() == ["yes", "24 80", "err"]


def test_run_missing_command_is_127_and_leaves_nothing(box: cl.ContainerRecipe, engine: cl.Engine) -> None:
    for name in ("no-such-program", "/no/such/program"):
        with pytest.raises(cl.StageError, match=name) as caught:
            box.run(name)
        assert (caught.value.stage, caught.value.exit_code) == ("exec", 127)
    assert engine.containers.list() == []


def test_run_not_executable_is_126(box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.StageError, match="/etc/passwd") as caught:
        box.run("/etc/passwd")
    assert (caught.value.stage, caught.value.exit_code) == ("exec", 126)


def test_run_is_killed_at_its_timeout(box: cl.ContainerRecipe, engine: cl.Engine) -> None:
    with pytest.raises(cl.Timeout):
        box.run("sleep", "600", timeout=1.0)
    assert engine.containers.list() == []


# ---- one more command ----


def test_exec_output_input_and_exit_code(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "600") as container:
        done = container.exec("sh", "-c", "cat; echo err >&2; exit 7", input=b"in", check=False)
        assert (done.exit_code, done.stdout, done.stderr) == (7, b"in", b"err\n")


def test_exec_user_workdir_and_environment(box: cl.ContainerRecipe) -> None:
    with box.env(KEPT="yes").start("sleep", "600") as container:
        done = container.exec(
            "sh", "-c", "id -u; pwd; echo $KEPT $MORE", user="nobody", workdir="/tmp", env={"MORE": "too"}
        )
        assert done.text.split() == ["65534", "/tmp", "yes", "too"]


def test_exec_sees_what_the_container_wrote(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "echo here > /written; echo ready; exec sleep 600") as container:
        container.wait_for(log="ready")
        assert container.exec("cat", "/written").text == "here\n"


def test_exec_missing_and_not_executable(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "600") as container:
        for argv, code in (("no-such-program", 127), ("/etc/passwd", 126)):
            with pytest.raises(cl.StageError, match=argv) as caught:
                container.exec(argv)
            assert (caught.value.stage, caught.value.exit_code) == ("exec", code)
        assert container.exec("echo", "still").text == "still\n"


def test_exec_terminal(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "600") as container:
        assert container.exec("sh", "-c", "test -t 0 && test -t 1 && echo yes", tty=True).text == "yes\r\n"


def test_exec_is_killed_at_its_timeout(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "600") as container:
        with pytest.raises(cl.Timeout):
            container.exec("sleep", "543", timeout=0.5)
        until(lambda: "543" not in container.exec("ps").text)


def test_exec_spawned_is_talked_to_and_signalled(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "600") as container:
        with container.spawn(
            "sh", "-c", "trap 'echo term; exit 3' TERM; echo up; while :; do sleep 0.05; done"
        ) as process:
            assert process.stdout.readline() == b"up\n"
            process.terminate()
            assert process.stdout.readline() == b"term\n"
            assert process.wait(20.0).exit_code == 3


def test_exec_leaves_no_files(box: cl.ContainerRecipe, engine: cl.Engine) -> None:
    with box.start("sleep", "600") as container:
        before = set(Path(engine.root, "containers", container.id).iterdir())
        container.exec("true")
        with pytest.raises(cl.StageError):
            container.exec("no-such-program")
        assert set(Path(engine.root, "containers", container.id).iterdir()) == before


def test_exec_privileged_has_capabilities_that_the_container_has_not(
    box: cl.ContainerRecipe, driver: str
) -> None:
    skip_where(driver, "capabilities")
    read = ("sh", "-c", "grep -E 'Cap(Eff|Bnd)' /proc/self/status | cut -f2")
    with box.cap_drop("ALL").start("sleep", "600") as container:
        assert container.exec(*read).text.split() == ["0" * 16] * 2
        effective, bounding = container.exec(*read, privileged=True).text.split()
        assert effective == bounding
        assert int(bounding, 16) & 1 << 21, "CAP_SYS_ADMIN"
