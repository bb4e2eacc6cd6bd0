"""One suite over every driver: containerlib's own runtime, and the other OCI runtimes that are installed.

What a driver does differently is in `DIFFERENCES`, with the reason; a test skips for nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, Popen
from sys import executable

import pytest

import containerlib as cl
from rig.bundles import until

OWN_COMMAND = "containerlib-oci"
pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
    pytest.mark.parametrize("driver", ["native", "runc", "crun", "runsc", OWN_COMMAND], indirect=True),
]
Script = Callable[[str], "Popen[str]"]

DIFFERENCES = {
    ("runsc", "pids"): "the sandbox's own threads are counted too, and the driver refuses the limit",
    ("runsc", "cgroup"): "its sandbox has no cgroup file system",
}


DIFFERENT_KERNEL = "has a kernel of its own"
FACTS = r"""
id; pwd; env | sort; hostname; umask; ulimit -a
grep -E 'Cap|Seccomp:|NoNewPrivs|Groups' /proc/self/status
ls -lnd / /dev/* /proc/sys /tmp | sed -E 's/ [A-Z][a-z]{2} +[0-9]+ +[0-9:]+ / /; s/  +/ /g'
cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/self/oom_score_adj
for file in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do head -c 1 $file 2>&1 | wc -c; done
ls /proc/acpi /sys/firmware 2>&1
for file in /proc/sys/kernel/hostname /sys/x /x; do (echo x > $file) 2>&1; done
ls -d /proc/[0-9]* | wc -l; ls /proc/self/fd | wc -l
tail -n +3 /proc/net/dev | cut -d: -f1
grep -v cgroup /proc/self/mountinfo | cut -d' ' -f5,6 | grep -v -E '^/(proc|sys)/' | sed 's/,relatime//' | sort
"""
"""What a program sees of its confinement; the options of what covers a masked path are each runtime's own."""


@pytest.fixture(scope="session")
def own_command(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Our own command, as any other runtime: containerlib over containerlib."""
    path = tmp_path_factory.mktemp("driver") / OWN_COMMAND
    path.write_text(f'#!/bin/sh\nexec {executable} -m containerlib.oci_cli "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def driver(request: pytest.FixtureRequest, own_command: str) -> str:
    name = str(request.param)
    if name == OWN_COMMAND:
        return own_command
    if name != "native" and shutil.which(name) is None:
        pytest.skip(f"no {name}: apt-get install {name}")
    return name


@pytest.fixture
def engine(tmp_path: Path, driver: str) -> Iterator[cl.Engine]:
    with cl.Engine(tmp_path / "root", driver=driver) as engine:
        yield engine
        assert list(Path(engine.root, "containers").iterdir()) == [], "a container's directory was left"


@pytest.fixture
def box(engine: cl.Engine, busybox_image: Path) -> cl.ContainerRecipe:
    (image,) = engine.images.load(busybox_image)
    return engine.container(image)


@pytest.fixture
def script(engine: cl.Engine, box: cl.ContainerRecipe) -> Callable[[str], Popen[str]]:
    """Starts another process with the same engine, and `box`."""

    def start(code: str) -> Popen[str]:
        prelude = "import containerlib as cl\n"
        prelude += f"engine = cl.Engine({engine.root!r}, driver={engine.driver!r})\n"
        prelude += "(image,) = engine.images.list()\nbox = engine.container(image)\n"
        return Popen([executable, "-c", prelude + textwrap.dedent(code)], stdin=PIPE, stdout=PIPE, text=True)

    return start


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


# ---- a life ----


def test_lifecycle_created_started_stopped_started_again(box: cl.ContainerRecipe) -> None:
    with box.create("sh", "-c", "echo run; trap 'exit 5' TERM; while :; do sleep 0.05; done") as container:
        assert container.state is cl.State.CREATED
        assert [record.text for record in container.logs()] == []
        container.start()
        assert container.state is cl.State.RUNNING
        container.wait_for(log="run")
        assert container.stop(timeout=20.0).exit_code == 5
        assert container.state is cl.State.STOPPED
        container.start()
        assert container.state is cl.State.RUNNING


def test_lifecycle_wrong_verbs_are_conflicts(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "600") as container:
        with pytest.raises(cl.Conflict, match="running"):
            container.start()
        with pytest.raises(cl.Conflict, match="running"):
            container.resume()
        container.kill("KILL")
        container.wait(20.0)
        for verb in (container.pause, lambda: container.exec("true"), container.kill):
            with pytest.raises(cl.Conflict, match="stopped"):
                verb()


@pytest.mark.vm
def test_lifecycle_pause_stops_time_and_resume_goes_on(box: cl.ContainerRecipe) -> None:
    code = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done"
    with box.start("sh", "-c", code) as container:
        container.wait_for(log="3")
        container.pause()
        assert container.state is cl.State.PAUSED
        with pytest.raises(cl.Conflict, match="paused"):
            container.exec("true")
        until(lambda: lines(container) == lines(container, after=0.2))
        count = lines(container)
        container.resume()
        assert container.state is cl.State.RUNNING
        until(lambda: lines(container) > count)


def test_lifecycle_stop_signal_and_grace(box: cl.ContainerRecipe) -> None:
    code = "trap 'echo bye; exit 9' INT; echo up; while :; do sleep 0.05; done"
    with box.stop_signal("INT").start("sh", "-c", code) as container:
        container.wait_for(log="up")
        assert container.stop(timeout=20.0).exit_code == 9
        assert [record.text for record in container.logs()] == ["up", "bye"]


def test_lifecycle_stop_kills_who_does_not_listen(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done") as container:
        container.wait_for(log="up")
        assert container.stop(timeout=0.2).exit_code == 137


def test_lifecycle_logs_have_both_streams(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "echo one; sleep 0.2; echo two >&2") as container:
        container.wait(20.0)
        assert [(record.stream, record.text) for record in container.logs()] == [
            ("stdout", "one"),
            ("stderr", "two"),
        ]


def test_lifecycle_remove_takes_everything(box: cl.ContainerRecipe, engine: cl.Engine) -> None:
    container = box.start("sleep", "600", detach=True)
    with pytest.raises(cl.Conflict, match="running"):
        container.remove()
    container.remove(force=True)
    assert engine.containers.list() == []
    assert groups_of(container.id) == []


def test_lifecycle_failed_start_leaves_no_groups(box: cl.ContainerRecipe, engine: cl.Engine) -> None:
    before = set(groups_of(""))
    with pytest.raises(cl.StageError):
        box.start("no-such-program", detach=True)
    assert set(groups_of("")) <= before
    assert engine.containers.list() == []


# ---- whom it lives with ----


def test_detached_survives_its_starters_kill_whatever_driver_looks(
    script: Script, engine: cl.Engine, driver: str
) -> None:
    code = "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"
    with script(
        f'box.name("kept").start("sh", "-c", {code!r}, detach=True); print("ok", flush=True); input()'
    ) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "ok\n"
        starter.kill()
        starter.wait()
    with cl.Engine(engine.root, driver="native") as other:
        container = other.containers.get("kept")
        try:
            assert container.state is cl.State.RUNNING
            assert container.exec("echo", "alive").text == "alive\n"
            assert container.stop(timeout=20.0).exit_code == 7
            assert [record.text for record in container.logs()] == ["up"]
        finally:
            container.remove(force=True)


def test_owned_dies_with_its_owner(script: Script, engine: cl.Engine) -> None:
    with script('print(box.name("mine").start("sleep", "600").id, flush=True); input()') as owner:
        assert owner.stdout is not None
        container_id = owner.stdout.readline().strip()
        assert running_in(container_id)
        owner.kill()
        owner.wait()
    until(lambda: not running_in(container_id))
    until(lambda: groups_of(container_id) == [])
    engine.prune()


def test_supervisor_killed_takes_the_container_along(box: cl.ContainerRecipe, engine: cl.Engine) -> None:
    with box.start("sleep", "600") as container:
        (shim,) = {parent(pid) for pid in running_in(container.id)} - set(running_in(container.id))
        os.kill(shim, signal.SIGKILL)
        until(lambda: not running_in(container.id))
        assert container.state is cl.State.STOPPED
        assert container.wait(5.0).exit_code == 137
        kept = Path(engine.root, "containers", container.id, "oci")
        until(lambda: not any(path.name.startswith(container.id) for path in kept.glob("*")))


# ---- what a driver is ----


def test_driver_seen_by_version_and_kept_with_the_container(
    box: cl.ContainerRecipe, engine: cl.Engine, driver: str
) -> None:
    with box.create("true") as container:
        record = engine.core.store.containers.get(container.id)
    assert (f'"driver": "{driver}"' in record.options_json) == (driver != "native")


def test_driver_by_absolute_path(tmp_path: Path, busybox_image: Path, driver: str) -> None:
    path = shutil.which(driver)
    if path is None:
        pytest.skip("is no program")
    with cl.Engine(tmp_path / "other", driver=path) as engine:
        (image,) = engine.images.load(busybox_image)
        assert engine.container(image).run("echo", "hi").text == "hi\n"


def test_driver_has_the_bundles_seccomp_and_capabilities(box: cl.ContainerRecipe, driver: str) -> None:
    """The same config.json means the same confinement, also where a sandbox has its own kernel."""
    done = box.run("sh", "-c", "grep -E 'CapEff|CapBnd|Seccomp:|NoNewPrivs' /proc/self/status")
    facts = dict(line.split()[:2] for line in done.text.splitlines())
    assert facts["CapEff:"] == facts["CapBnd:"] == "00000000a80425fb"
    assert facts["Seccomp:"] == "2"
    refused = [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]
    profile = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": refused})
    code = "mkdir /made 2>/dev/null && echo made || echo refused"
    assert box.run("sh", "-c", code).text == "made\n"
    assert box.seccomp(profile).run("sh", "-c", code).text == "refused\n"


def test_driver_bundle_means_the_same_as_under_our_own(
    box: cl.ContainerRecipe, tmp_path: Path, busybox_image: Path, driver: str
) -> None:
    if driver in ("native", "runsc"):
        pytest.skip(
            f"{driver}: {'is what the others are held against' if driver == 'native' else DIFFERENT_KERNEL}"
        )
    with cl.Engine(tmp_path / "own") as own:
        (image,) = own.images.load(busybox_image)
        ours = own.container(image).hostname("same").run("sh", "-c", FACTS).text
    theirs = box.hostname("same").run("sh", "-c", FACTS).text
    assert [line for line in theirs.splitlines() if "/dev/core" not in line] == ours.splitlines()


def test_driver_refuses_by_name_what_it_cannot_do(
    box: cl.ContainerRecipe, engine: cl.Engine, driver: str
) -> None:
    if driver != "runsc":
        pytest.skip(f"{driver}: has all that a recipe can ask for")
    with pytest.raises(cl.Unsupported, match=r"'runsc' cannot do linux\.devices"):
        box.privileged().run("true")
    with pytest.raises(cl.Unsupported, match=r"'runsc' cannot do linux\.resources\.pids"):
        box.limit(pids=100).run("true")
    assert engine.containers.list() == []


def lines(container: cl.Container, *, after: float = 0.0) -> int:
    subprocess.run(["sleep", str(after)], check=True)
    return len(list(container.logs()))


def groups_of(container_id: str) -> list[str]:
    """Directories of this container's groups; with "" those of all."""
    found = (
        os.path.join(root, name)
        for root, names, _ in os.walk("/sys/fs/cgroup")  # which goes on where a group ends meanwhile
        for name in names
        if root.endswith("/containerlib") and f"-{container_id}" in name
    )
    return sorted(found)


def running_in(container_id: str) -> list[int]:
    """Processes in the container's groups."""
    pids: set[int] = set()
    for directory in groups_of(container_id):
        try:
            pids.update(map(int, Path(directory, "cgroup.procs").read_text().split()))
        except (FileNotFoundError, OSError):
            continue
    return sorted(pids)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
