"""Health checks, made by the container's supervisor."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest
from attrs import evolve

import containerlib as cl
from containerlib.runtime.lifetime import Lifetime, write_policy
from containerlib.spec.lifetime import HealthOption
from rig import images
from rig.lifetime import (
    children_of,
    descriptors_of,
    directory_of,
    memory_of,
    quick,
    shim_of,
    start_and_kill,
    ticks_of,
    until,
)

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")
Script = Callable[[str], "Popen[str]"]

SLEEP = ("sleep", "600")
WELL = cl.command("test", "-e", "/well")
HELD = "trap 'exit 0' TERM; while :; do sleep 0.01; done"


def status_of(container: cl.Container) -> str:
    health = container.health
    assert health is not None
    return health.status


def test_health_of_a_container_without_a_check_is_none(box: cl.ContainerRecipe) -> None:
    with box.start(*SLEEP) as container:
        assert container.health is None
        with pytest.raises(cl.Conflict, match="healthy_when"):
            container.wait_healthy()


def test_health_by_command_goes_from_starting_to_healthy_to_unhealthy(box: cl.ContainerRecipe) -> None:
    with box.healthy_when(WELL, every=0.05, retries=2, start_period=600.0).start(*SLEEP) as container:
        until(lambda: container.health and container.health.log)
        assert status_of(container) == "starting"
        container.exec("touch", "/well")
        container.wait_healthy(30.0)
        container.exec("rm", "/well")
        until(lambda: status_of(container) == "unhealthy")
        health = container.health
        assert health is not None
        assert health.failing_streak >= 2
        assert health.log[-1].exit_code == 1
        assert health.log[-1].start <= health.log[-1].end
        container.exec("touch", "/well")
        container.wait_healthy(30.0)
        assert container.health is not None
        assert container.health.failing_streak == 0


def test_health_command_is_an_exec_of_the_container(box: cl.ContainerRecipe) -> None:
    code = "id -u; echo $NAME; pwd; hostname; cat /proc/1/cmdline | tr '\\0' ' '; grep -c : /proc/self/status"
    recipe = box.user(1000).env(NAME="value").workdir("/tmp").hostname("its-own")
    with recipe.healthy_when(cl.command("sh", "-c", code)).start(*SLEEP) as container:
        container.wait_healthy(30.0)
        assert container.health is not None
        lines = container.health.log[-1].output.splitlines()
        assert lines[:4] == ["1000", "value", "/tmp", "its-own"]
        assert lines[4].startswith("sleep 600")


def test_health_keeps_five_results_with_4096_bytes_each(box: cl.ContainerRecipe) -> None:
    check = cl.command("sh", "-c", "echo n >>/times; wc -l </times; head -c 100000 /dev/zero | tr '\\0' x")
    with box.healthy_when(check, every=0.02).start(*SLEEP) as container:
        until(lambda: container.exec("wc", "-l", "/times", check=False).text.split()[:1] > ["7"])
        health = container.health
        assert health is not None
        assert len(health.log) == 5
        numbers = [int(result.output.split()[0]) for result in health.log]
        assert numbers == list(range(numbers[0], numbers[0] + 5))
        assert {len(result.output) for result in health.log} == {4096}


@pytest.mark.parametrize(
    ("program", "status", "words"),
    [("nothing", 127, "No such file or directory"), ("/etc/passwd", 126, "Permission denied")],
)
def test_health_command_that_cannot_be_run_says_so(
    box: cl.ContainerRecipe, program: str, status: int, words: str
) -> None:
    with box.healthy_when(cl.command(program)).start(*SLEEP) as container:
        until(lambda: container.health and container.health.log)
        assert container.health is not None
        result = container.health.log[-1]
        assert (result.exit_code, result.output) == (status, f"the check could not be made: {words}")


def test_health_command_that_takes_too_long_is_killed_with_its_children(box: cl.ContainerRecipe) -> None:
    check = cl.command("sh", "-c", "echo said; sleep 1000 & sleep 1000; sleep 1000")
    with box.healthy_when(check, every=0.05, timeout=0.3, retries=1).start(*SLEEP) as container:
        until(lambda: status_of(container) == "unhealthy")
        assert container.health is not None
        result = container.health.log[-1]
        assert result.exit_code == -1
        assert result.output == "said\nthe check took longer than its time-out"
        # those of the one that may be under way by now
        assert container.exec("sh", "-c", "ps | grep -c '[s]leep 1000'", check=False).text.strip() in "0123"


def test_health_start_period_failures_do_not_count(box: cl.ContainerRecipe) -> None:
    option = {"every": 0.02, "retries": 1}
    with box.healthy_when(WELL, start_period=600.0, start_every=0.02, **option).start(*SLEEP) as container:
        until(lambda: container.health and len(container.health.log) == 5)
        assert container.health is not None
        assert (container.health.status, container.health.failing_streak) == ("starting", 0)


def test_health_start_interval_is_that_of_the_start_period(box: cl.ContainerRecipe) -> None:
    """Neither the interval of later, nor the looks that become ever less."""
    check = cl.command("sh", "-c", "echo n >>/times; exit 1")
    recipe = box.healthy_when(check, every=3600.0, start_period=3600.0, start_every=0.02)
    with recipe.start(*SLEEP) as container:
        until(lambda: len(container.exec("cat", "/times", check=False).stdout) >= 2 * 20)


def test_health_is_looked_at_before_its_first_interval_is_over(box: cl.ContainerRecipe) -> None:
    with box.healthy_when(cl.command("true"), every=3600.0).start(*SLEEP) as container:
        container.wait_healthy(30.0)


def test_health_early_failures_do_not_count(box: cl.ContainerRecipe) -> None:
    with box.healthy_when(WELL, every=3600.0, retries=1).start(*SLEEP) as container:
        until(lambda: container.health and len(container.health.log) >= 3)
        assert container.health is not None
        assert (container.health.status, container.health.failing_streak) == ("starting", 0)


def test_health_by_tcp_is_of_the_containers_own_network(box: cl.ContainerRecipe) -> None:
    code = "sleep 0.3; exec nc -ll -p 5432 -e true"
    with box.healthy_when(cl.tcp(5432), every=0.05).start("sh", "-c", code) as container:
        until(lambda: container.health and container.health.log)
        assert container.health is not None
        assert container.health.log[0].output == "nobody answers: Connection refused"
        container.wait_healthy(30.0)


def test_health_by_http_is_by_the_status(box: cl.ContainerRecipe) -> None:
    serve = "mkdir /www; echo hello >/www/page; exec httpd -f -p 80 -h /www"
    with box.healthy_when(cl.http(80, "/page")).start("sh", "-c", serve) as container:
        container.wait_healthy(30.0)
        assert container.health is not None
        assert container.health.log[-1].output.startswith("HTTP/1.1 200 OK\r\n")
    with box.healthy_when(cl.http(80, "/none"), every=0.05, retries=1).start("sh", "-c", serve) as container:
        until(lambda: status_of(container) == "unhealthy")
        assert container.health is not None
        assert "404" in container.health.log[-1].output
    with box.healthy_when(cl.http(80, "/none", status=(404, 404))).start("sh", "-c", serve) as container:
        container.wait_healthy(30.0)


def test_health_by_http_of_a_server_that_never_answers_fails_in_time(box: cl.ContainerRecipe) -> None:
    recipe = box.healthy_when(cl.http(80), every=0.05, timeout=0.2, retries=1)
    with recipe.start("nc", "-ll", "-p", "80", "-e", "sleep", "1000") as container:
        until(lambda: status_of(container) == "unhealthy")


def test_health_of_the_image_is_the_default(engine: cl.Engine, tmp_path: Path) -> None:
    second = 1_000_000_000
    check = {"Test": ["CMD-SHELL", "test -e /well"], "Interval": second // 20, "Retries": 1}
    busybox = images.busybox_image()
    made = images.Image(busybox.layers, {**busybox.config, "Healthcheck": check})
    layout = made.write_layout(tmp_path / "layout")
    (image,) = engine.images.load(layout)
    recipe = engine.container(image)
    with recipe.start(*SLEEP) as container:
        until(lambda: status_of(container) == "unhealthy")
        container.exec("touch", "/well")
        container.wait_healthy(30.0)
    with recipe.healthy_when(None).start(*SLEEP) as container:
        assert container.health is None
    with recipe.healthy_when(cl.command("true")).start(*SLEEP) as container:
        container.wait_healthy(30.0)


def test_wait_healthy_of_one_that_ends_fails_at_once_with_its_log(box: cl.ContainerRecipe) -> None:
    code = "echo broken; exit 3"
    with box.healthy_when(WELL, every=3600.0).start("sh", "-c", code) as container:
        with pytest.raises(cl.Conflict, match="broken"):
            container.wait_healthy(3600.0)


def test_wait_healthy_in_vain_says_what_the_last_check_said(box: cl.ContainerRecipe) -> None:
    check = cl.command("sh", "-c", "echo not yet; exit 9")
    with box.healthy_when(check, every=0.05).start("sh", "-c", "echo starts; sleep 600") as container:
        until(lambda: container.health and container.health.log)
        with pytest.raises(cl.Timeout, match="came to 9: not yet") as caught:
            container.wait_healthy(0.1)
        assert caught.value.log_tail == ("starts",)


@pytest.mark.parametrize(("action", "code"), [("kill", 137), ("stop", 0)])
def test_health_action_ends_it_when_it_becomes_unhealthy(
    box: cl.ContainerRecipe, action: str, code: int
) -> None:
    recipe = box.healthy_when(WELL, every=0.05, retries=2, on_failure=action)
    with recipe.start("sh", "-c", HELD) as container:
        assert container.wait(30.0).exit_code == code
        assert status_of(container) == "unhealthy"


def test_health_action_stop_is_for_good_and_kill_is_not(box: cl.ContainerRecipe) -> None:
    recipe = quick(box.restart("always").healthy_when(WELL, every=0.05, retries=1, on_failure="stop"))
    with recipe.start("sh", "-c", HELD) as container:
        container.wait(30.0)
        assert container.restart_count == 0
    with recipe.healthy_when(WELL, every=0.05, retries=1, on_failure="kill").start(*SLEEP) as container:
        until(lambda: container.restart_count >= 2)


def test_health_action_restart_needs_no_policy(box: cl.ContainerRecipe) -> None:
    recipe = box.healthy_when(WELL, every=0.05, retries=1, on_failure="restart")
    with recipe.start("sh", "-c", "[ -e /second ] && touch /well; touch /second; " + HELD) as container:
        until(lambda: container.restart_count == 1)
        container.wait_healthy(30.0)


def test_health_action_stop_kills_who_does_not_hear(box: cl.ContainerRecipe) -> None:
    recipe = box.stop_timeout(0.2).healthy_when(WELL, every=0.05, retries=1, on_failure="stop")
    with recipe.start("sh", "-c", "trap '' TERM; while :; do sleep 1; done") as container:
        assert container.wait(30.0).exit_code == 137


def test_health_begins_anew_with_each_run(box: cl.ContainerRecipe) -> None:
    recipe = quick(box.restart("always").healthy_when(cl.command("true"), every=3600.0))
    with recipe.start("sh", "-c", "[ -e /second ] && exec sleep 600; touch /second; sleep 0.5") as container:
        container.wait_healthy(30.0)
        until(lambda: container.restart_count == 1 and status_of(container) == "starting")
        container.wait_healthy(30.0)


def test_health_of_a_paused_container_is_not_checked(box: cl.ContainerRecipe) -> None:
    with box.healthy_when(cl.command("true"), every=0.05, timeout=0.1, retries=1).start(*SLEEP) as container:
        container.wait_healthy(30.0)
        for _ in range(10):  # one of them comes in the middle of a check
            container.pause()
            with pytest.raises(cl.Timeout):
                container.wait(0.1)
            before = container.health
            with pytest.raises(cl.Timeout):
                container.wait(0.2)
            assert container.health == before
            container.resume()
            until(lambda before=before: container.health != before)
        assert container.health is not None
        assert {result.exit_code for result in container.health.log} == {0}


def test_health_goes_on_when_the_starter_was_killed(engine: cl.Engine, script: Script) -> None:
    code = 'box.name("kept").healthy_when(cl.command("true"), every=0.05).start("sleep", "600", detach=True)'
    start_and_kill(script, code)
    container = engine.containers.get("kept")
    try:
        before = container.health
        until(lambda: container.health != before)
    finally:
        container.remove(force=True)


def test_health_supervisor_killed_in_a_check_takes_all_with_it(box: cl.ContainerRecipe) -> None:
    check = cl.command("sh", "-c", "touch /checked; sleep 1000")
    container = box.healthy_when(check).start(*SLEEP, detach=True)
    try:
        until(lambda: container.exec("test", "-e", "/checked", check=False).exit_code == 0)
        shim = shim_of(container)
        family = [shim, *children_of(shim)]
        family += [pid for child in children_of(shim) for pid in children_of(child)]
        assert len(family) >= 4, "supervisor, program, who checks, and the command"
        os.kill(shim, signal.SIGKILL)
        until(lambda: container.state is cl.State.STOPPED)
        until(lambda: not [pid for pid in family[1:] if Path(f"/proc/{pid}/root").exists()])
    finally:
        container.remove(force=True)


def test_health_end_of_the_container_in_a_check_is_not_held_up(box: cl.ContainerRecipe) -> None:
    check = cl.command("sh", "-c", "touch /checked; sleep 1000")
    with box.healthy_when(check, timeout=600.0).start(*SLEEP) as container:
        until(lambda: container.exec("test", "-e", "/checked", check=False).exit_code == 0)
        container.kill("KILL")
        assert container.wait(30.0).exit_code == 137
    assert not directory_of(container).exists()


def test_health_of_one_that_has_ended_does_not_keep_its_supervisor_busy(box: cl.ContainerRecipe) -> None:
    """While somebody has still to read what it wrote: by the processor time that the supervisor takes."""
    recipe = box.healthy_when(cl.command("true"), every=0.05)
    with recipe.spawn("sh", "-c", "sleep 0.3; head -c 120000 /dev/zero") as process:
        (container,) = box.engine.containers.list()
        shim = shim_of(container)
        until(lambda: not children_of(shim))
        before = ticks_of(shim)
        with pytest.raises(cl.Timeout):
            process.wait(1.0)
        assert ticks_of(shim) - before < 20
        assert len(process.stdout.read()) == 120000


def test_health_checks_leak_nothing(box: cl.ContainerRecipe) -> None:
    option = HealthOption(cl.command("true"), every=0.002)
    recipe = box.healthy_when(option.check, every=option.every)

    def rest(container: cl.Container) -> int:
        """Its supervisor, which makes no more checks."""
        write_policy(str(directory_of(container)), Lifetime(health=evolve(option, every=3600.0)))
        shim = shim_of(container)
        until(lambda: len(children_of(shim)) == 1)
        assert memory_of(shim) <= 150
        return shim

    with recipe.start(*SLEEP) as first, recipe.start(*SLEEP) as second:
        first.wait_healthy(30.0)
        after_few = rest(first)
        for _ in range(60):
            before = second.health
            until(lambda before=before: second.health != before)
        after_many = rest(second)
        until(lambda: descriptors_of(after_many) == descriptors_of(after_few))
