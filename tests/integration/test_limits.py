"""What a container's group holds it to, on every cgroup layout; `nox -s vm` runs it where v2 is alone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from containerlib import ContainerRecipe, Engine, State

pytestmark = [pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"), pytest.mark.vm]


@pytest.fixture
def busybox(engine: Engine, busybox_image: Path) -> ContainerRecipe:
    (image,) = engine.images.load(busybox_image)
    return engine.container(image)


def test_memory_limit_exceeded_is_an_oom_kill(busybox: ContainerRecipe) -> None:
    # dd's one block is larger than what the container may have, and is written to before it is copied
    recipe = busybox.limit(memory="16MiB")
    with recipe.start("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1") as container:
        status = container.wait(timeout=60.0)
    assert (status.signal, status.oom_killed) == (9, True)


def test_pids_limit_reached_refuses_another_process(busybox: ContainerRecipe) -> None:
    script = "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait"
    done = busybox.limit(pids=5).run("sh", "-c", script, check=False, timeout=60.0)
    assert b"can't fork" in done.stderr


def test_device_outside_the_list_may_be_made_but_not_opened(busybox: ContainerRecipe) -> None:
    script = "mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg"
    done = busybox.run("sh", "-c", script, check=False, timeout=60.0)
    assert done.exit_code != 0
    assert b"Operation not permitted" in done.stderr


def test_device_in_the_list_opens(busybox: ContainerRecipe) -> None:
    assert busybox.run("sh", "-c", "head -c 4 /dev/zero | wc -c", timeout=60.0).text.strip() == "4"


def test_paused_container_makes_no_progress_until_resumed(busybox: ContainerRecipe) -> None:
    with busybox.start("sh", "-c", "while :; do echo tick; sleep 0.05; done") as container:
        container.wait_for(log="tick", timeout=60.0)
        container.pause()
        assert container.state is State.PAUSED
        before = len(list(container.logs()))
        time.sleep(0.5)
        assert len(list(container.logs())) == before
        container.resume()
        assert container.state is State.RUNNING
