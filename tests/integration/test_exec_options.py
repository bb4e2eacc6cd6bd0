"""What a further command in a container is: its user, their groups and capabilities, and its end in time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

import containerlib as cl
from rig.lifetime import until

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


def test_exec_user_has_the_groups_that_the_containers_file_says(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "600") as container:
        container.exec(
            "sh", "-c", "echo new:x:4242:4243::/:/bin/sh >>/etc/passwd; echo more:x:77:new >>/etc/group"
        )
        assert container.exec("id", "-G", user="new").text.split() == ["4243", "77"]
        assert container.exec("id", "-G", user="new:77").text.split() == ["77"]


def test_exec_root_has_its_capabilities_also_where_no_program_may_gain_any(box: cl.ContainerRecipe) -> None:
    """They are given, and do not come with the program."""
    read = ("sh", "-c", "grep CapEff /proc/self/status")
    as_root = box.run(*read).text
    with box.no_new_privileges().user("nobody").start("sleep", "600") as container:
        assert container.exec(*read, user="root").text == as_root
        assert int(container.exec(*read).text.split()[-1], 16) == 0


def test_exec_of_a_paused_container_runs_out_and_dies_when_it_goes_on(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "600") as container, ThreadPoolExecutor(1) as pool:
        late = pool.submit(container.exec, "sh", "-c", "touch /begun; sleep 4321", timeout=2.0)
        container.wait_for(exec=("test", "-e", "/begun"), timeout=2.0)
        container.pause()
        with pytest.raises(cl.Timeout) as caught:
            late.result()
        assert getattr(caught.value, "__notes__", []) == [], "nothing failed, and nobody waited for its end"
        assert container.state is cl.State.PAUSED
        container.resume()
        until(lambda: "4321" not in container.exec("ps").text)


def test_input_of_a_program_that_reads_no_more_says_so_also_with_a_health_check(
    box: cl.ContainerRecipe,
) -> None:
    """It is kept for another run where there may be one, and nowhere else."""
    recipe = box.healthy_when(cl.command("true"))
    with recipe.spawn("sh", "-c", "exec <&-; echo closed; exec sleep 600") as process:
        assert process.stdout.readline() == b"closed\n"
        with pytest.raises(BrokenPipeError):
            process.stdin.write(b"x")
