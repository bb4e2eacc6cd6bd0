"""One suite over every driver: what a container goes through, whom it lives with, and what a driver is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

import containerlib as cl
from containerlib.spec.options import SnapshotterName
from rig.bundles import until
from rig.groups import groups_of, running_in
from rig.lifetime import quick

OWN_COMMAND = "containerlib-oci"
pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
    pytest.mark.parametrize("driver", ["native", "runc", "crun", "runsc", OWN_COMMAND], indirect=True),
]
Script = Callable[[str], "Popen[str]"]
DIFFERENT_KERNEL = "has a kernel of its own"
FACTS = r"""
id; pwd; env | sort; hostname; umask; ulimit -a
grep -E 'Cap|Seccomp:|NoNewPrivs|Groups' /proc/self/status
ls -lnd / /dev/* /proc/sys /tmp | sed -E 's/ [A-Z][a-z]{2} +[0-9]+ +[0-9:]+ / /; s/  +/ /g'
cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/self/oom_score_adj
for file in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do head -c 1 $file 2>&1 | wc -c; done
ls /proc/acpi /sys/firmware 2>&1
for file in /proc/sys/kernel/hostname /sys/x /x; do (echo x > $file) 2>&1; done
set -- /proc/[0-9]*; echo $#; ls /proc/self/fd | wc -l
tail -n +3 /proc/net/dev | cut -d: -f1
grep -v cgroup /proc/self/mountinfo | cut -d' ' -f5,6 | grep -v -E '^/(proc|sys)/' | sed 's/,relatime//' | sort
"""
"""What a program sees of its confinement; the options of what covers a masked path are each runtime's own. Processes
are counted by the shell, while there is nobody but it: one of a pipeline is there before the next one, or not.
"""


# ---- a life ----


def test_lifecycle_created_started_stopped_started_again(box: cl.ContainerRecipe) -> None:
    with box.create("sh", "-c", "trap 'exit 5' TERM; echo run; while :; do sleep 0.05; done") as container:
        assert container.state is cl.State.CREATED
        assert [record.text for record in container.logs()] == []
        container.start()
        assert container.state is cl.State.RUNNING
        container.wait_for(log="run")
        assert container.stop(timeout=20.0).exit_code == 5
        assert container.state is cl.State.STOPPED
        container.start()
        assert container.state is cl.State.RUNNING


def test_attached_talk_to_it_whoever_makes_the_process(box: cl.ContainerRecipe) -> None:
    with box.stdin().start("sh", "-c", "while read line; do echo got $line; done; exit 6") as container:
        for text in (b"one", b"two"):
            with container.attach() as attached:
                attached.stdin.write(text + b"\n")
                assert attached.stdout.readline() == b"got " + text + b"\n"
        with container.attach() as attached:
            attached.close_stdin()
            assert attached.wait(20.0).exit_code == 6


def test_log_is_rotated_whoever_makes_the_process(box: cl.ContainerRecipe) -> None:
    with box.log(max_size="4KiB", max_files=2).start("seq", "1", "1000") as container:
        container.wait(20.0)
        texts = [record.text for record in container.logs()]
        assert texts == [str(n) for n in range(1001 - len(texts), 1001)]
        assert 50 < len(texts) < 250


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
    with pytest.raises(cl.StageError):
        box.start("no-such-program", detach=True)
    assert [group for group in groups_of("") if f"/{engine.core.cgroup_tag}-" in group] == []
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


# ---- what it is made of ----


@pytest.mark.parametrize("snapshotter", ["overlay", "erofs", "fuse-overlayfs", "copy"], indirect=True)
def test_layers_of_every_kind_are_its_root(box: cl.ContainerRecipe, snapshotter: SnapshotterName) -> None:
    code = "echo x >> /kept; wc -l < /kept; trap 'exit 0' TERM; while :; do sleep 0.05; done"
    with box.start("sh", "-c", code) as container:
        container.wait_for(log="1")
        assert container.exec("cat", "/kept").text == "x\n"
        assert box.engine.root not in Path("/proc/self/mountinfo").read_text()
        container.stop(timeout=20.0)
        container.start()
        container.wait_for(log="2")
    assert box.run("sh", "-c", "test -e /kept || echo none").text == "none\n"


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


def test_driver_container_is_started_again_by_its_policy(box: cl.ContainerRecipe) -> None:
    recipe = quick(box.restart("on-failure", retries=3))
    with recipe.start("sh", "-c", "echo run >>/runs; wc -l </runs; exit 7") as container:
        assert container.wait(60.0).exit_code == 7
        assert [record.text for record in container.logs()] == ["1", "2", "3", "4"]


def test_driver_container_is_checked_by_its_own_command(box: cl.ContainerRecipe) -> None:
    check = cl.command("sh", "-c", "echo said; test -e /well")
    with box.healthy_when(check, every=0.2, retries=2).start("sleep", "600") as container:
        until(lambda: container.health is not None and container.health.status == "unhealthy", 60.0)
        container.exec("touch", "/well")
        container.wait_healthy(30.0)
        assert container.health is not None
        assert container.health.log[-1].output == "said\n"


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


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
