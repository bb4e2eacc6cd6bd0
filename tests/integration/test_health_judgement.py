"""When results of checks make a container unhealthy, and what an action does that follows."""

from __future__ import annotations

import pytest

import containerlib as cl
from rig.lifetime import quick, until

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
    code = "[ -e /second ] || { touch /second; exec sleep 600; }; touch /well; until [ -e /end ]; do sleep 0.02; done; exit 7"
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
