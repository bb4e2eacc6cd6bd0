"""When results of checks make a container unhealthy, and what an action does that follows."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

import containerlib as cl
from rig.lifetime import children_of, quick, shim_of, until

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

WELL = cl.command("test", "-e", "/well")


def test_health_is_bad_at_the_last_of_its_retries(box: cl.ContainerRecipe) -> None:
    """The action ends it before there is one more."""
    with box.healthy_when(WELL, every=0.2, retries=2, on_failure="kill").start("sleep", "600") as container:
        assert container.wait(30.0).exit_code == 137
        health = container.health
        assert health is not None
        assert (health.status, health.failing_streak) == ("unhealthy", 2)


def test_health_action_restart_is_for_the_run_that_it_ended(box: cl.ContainerRecipe) -> None:
    """The next one ends by itself, and stays so."""
    recipe = box.stop_timeout(0.1).healthy_when(WELL, every=0.05, retries=1, on_failure="restart")
    code = """
    [ -e /second ] || { touch /second; exec sleep 600; }
    touch /well
    until [ -e /end ]; do sleep 0.02; done
    exit 7
    """
    with recipe.start("sh", "-c", code) as container:
        until(lambda: container.restart_count == 1)
        container.wait_healthy(30.0)
        container.exec("touch", "/end")
        assert container.wait(30.0).exit_code == 7
        assert container.restart_count == 1


def test_health_failures_count_when_the_start_period_is_over(box: cl.ContainerRecipe) -> None:
    recipe = box.healthy_when(WELL, every=0.05, retries=1, start_period=0.2, start_every=0.05)
    with recipe.start("sleep", "600") as container:
        until(lambda: container.health and container.health.status == "unhealthy")


def test_wait_healthy_is_not_content_with_the_health_of_the_run_before(box: cl.ContainerRecipe) -> None:
    recipe = quick(box.restart("always"), pause=1000.0).healthy_when(cl.command("true"))
    with recipe.start("sh", "-c", "until [ -e /end ]; do sleep 0.02; done") as container:
        container.wait_healthy(30.0)
        container.exec("touch", "/end")
        until(lambda: container.state is cl.State.RESTARTING)
        with pytest.raises(cl.Timeout):
            container.wait_healthy(0.1)


def test_health_failures_count_once_in_an_interval(box: cl.ContainerRecipe) -> None:
    """Also of those looks after the start period that come sooner. By the record of five results."""
    every = 1.0
    recipe = box.healthy_when(
        WELL, every=every, retries=2, start_period=1.2, start_every=0.05, on_failure="kill"
    )
    with recipe.start("sleep", "600") as container:
        container.wait(30.0)
        health = container.health
        assert health is not None
        assert health.failing_streak == 2
        assert (health.log[-1].end - health.log[0].end).total_seconds() > 0.9 * every


def test_health_failures_are_counted_anew_in_each_run(box: cl.ContainerRecipe) -> None:
    check = cl.command("sh", "-c", "wc -l </runs >>/checks; exit 1")
    recipe = quick(box.restart("always")).healthy_when(check, every=0.15, retries=5, on_failure="kill")
    with recipe.start("sh", "-c", "echo run >>/runs; exec sleep 600") as container:
        until(lambda: container.restart_count >= 2)
        found = container.path("/checks").read_text().split()
        assert found.count("2") >= 5


def test_health_action_stop_is_by_the_recipes_signal(box: cl.ContainerRecipe) -> None:
    recipe = box.stop_signal("USR1").stop_timeout(600.0)
    recipe = recipe.healthy_when(WELL, every=0.05, retries=1, on_failure="stop")
    with recipe.start("sh", "-c", "trap 'exit 5' USR1; while :; do sleep 0.01; done") as container:
        assert container.wait(30.0).exit_code == 5


def test_health_command_has_no_terminal_where_the_program_has_one(box: cl.ContainerRecipe) -> None:
    check = cl.command("sh", "-c", "! test -t 1 && ! test -t 0")
    with box.tty().healthy_when(check).start("sh", "-c", "test -t 1 && exec sleep 600") as container:
        container.wait_healthy(30.0)


def test_health_by_http_is_by_ipv6_where_nobody_answers_by_the_other(box: cl.ContainerRecipe) -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("this kernel has no IPv6")
    serve = "mkdir /www; echo hello >/www/page; exec httpd -f -p [::1]:80 -h /www"
    with box.healthy_when(cl.http(80, "/page")).start("sh", "-c", serve) as container:
        container.wait_healthy(30.0)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("printf 'HELLO/1.1 200 OK\\r\\n'", "unhealthy"),
        ("printf 'HTTP/1.1 2000 OK\\r\\n'", "unhealthy"),
        ("printf 'HTTP/1.1'", "unhealthy"),
        ("printf 'HTTP/1.'; sleep 0.1; printf '1 20'; sleep 0.1; printf '0 OK\\r\\n'", "healthy"),
    ],
)
def test_health_by_http_is_by_a_whole_answer_in_http(
    box: cl.ContainerRecipe, answer: str, status: str
) -> None:
    recipe = box.healthy_when(cl.http(80), every=0.3, retries=1)
    code = f'echo "{answer}" >/answer; exec nc -ll -p 80 -e sh /answer'
    with recipe.start("sh", "-c", code) as container:
        until(lambda: container.health and container.health.status == status)


def test_health_by_port_is_not_asked_of_a_paused_container(box: cl.ContainerRecipe) -> None:
    """Of whose ports the kernel would still say that nobody listens."""
    with box.healthy_when(cl.tcp(80), every=0.05).start("sleep", "600") as container:
        until(lambda: container.health and container.health.log)
        container.pause()
        with pytest.raises(cl.Timeout):
            container.wait(0.2)
        before = container.health
        with pytest.raises(cl.Timeout):
            container.wait(0.5)
        assert container.health == before
        container.resume()
        until(lambda: container.health != before)


def test_health_supervisor_killed_while_a_port_is_asked_takes_who_asks_with_it(
    box: cl.ContainerRecipe,
) -> None:
    """Also where the server is none of the container's, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30.0)
        recipe = box.network("host").healthy_when(cl.http(server.getsockname()[1]), timeout=600.0)
        container = recipe.start("sleep", "600", detach=True)
        try:
            with server.accept()[0]:
                shim = shim_of(container)
                family = children_of(shim)
                assert len(family) == 2, "the program, and who asks"
                os.kill(shim, signal.SIGKILL)
                until(lambda: not [pid for pid in family if Path(f"/proc/{pid}/root").exists()])
        finally:
            container.remove(force=True)
