"""Programs that do not play along: they fork without end, take all memory, close their streams, and hear no signal."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import containerlib as cl
from rig.belongings import check_belongings
from rig.images import Image, Layer, busybox_layer
from rig.programs import compiled_layer

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

CHILDREN = 10_000
CALLS = 1_000
"""Of Python into the kernel, to remove a container: far fewer than it has processes."""

FORKS = f"""
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {{
    int made = 0;
    signal(SIGTERM, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < {CHILDREN}; i++) {{
        int pid = fork();
        if (pid == 0) {{
            if (argc > 1)
                setsid();
            for (;;)
                pause();
        }}
        made += pid > 0;
    }}
    printf("%d\\n", made);
    fflush(stdout);
    for (;;)
        pause();
}}
"""
EATS = "x=0123456789abcdef; while :; do x=$x$x; done"


def calls(function: Callable[[], object]) -> int:
    """How often Python calls into `os`: about its system calls."""
    seen: Counter[str] = Counter()

    def count(_frame: object, event: str, argument: Any) -> None:
        if event == "c_call":
            seen[getattr(argument, "__module__", "") or ""] += 1

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return seen["posix"]


@pytest.fixture
def forks(engine: cl.Engine, tmp_path: Path) -> cl.ContainerRecipe:
    """A container that forks as often as it may, says how often that was, and hears no SIGTERM."""
    source = tmp_path / "forks.c"
    source.write_text(FORKS)
    place = tmp_path / "layer"
    place.mkdir()
    program = compiled_layer(place, source, "forks") / "bin/forks"
    layer = Layer().file("bin/forks", program.read_bytes(), 0o755).finish()
    (image,) = engine.images.load(Image((busybox_layer(), layer), {}).write_layout(tmp_path / "image"))
    return engine.container(image)


def made(container: cl.Container) -> int:
    container.wait_for(log="0", timeout=120.0)
    return int(next(iter(container.logs())).text)


def test_forks_within_a_limit_are_no_more_than_that(
    forks: cl.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    with forks.limit(pids=101).start("forks") as container:
        assert made(container) == 100
        assert container.stats().pids.current == 101
    left_nothing()


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("sessions",)], ids=["one session", "sessions of their own"])
@pytest.mark.parametrize("pid", ["private", "host"])
def test_ten_thousand_children_are_removed_in_bounded_work(
    forks: cl.ContainerRecipe,
    engine: cl.Engine,
    left_nothing: Callable[[], None],
    pid: str,
    words: tuple[str],
) -> None:
    recipe = forks.pid("host") if pid == "host" else forks
    container = recipe.start("forks", *words)
    assert made(container) == CHILDREN
    status = container.stop(timeout=0.1)
    assert (status.exit_code, status.signal) == (137, 9)
    check_belongings(engine)
    container.start()
    assert container.state is cl.State.RUNNING
    assert calls(lambda: container.remove(force=True)) < CALLS
    check_belongings(engine)
    left_nothing()


def test_memory_of_a_child_is_marked_and_the_first_process_lives_on(box: cl.ContainerRecipe) -> None:
    code = f"sh -c '{EATS}'; echo it ended with $?; exec sleep 1000"
    with box.limit(memory="16MiB", swap=0).start("sh", "-c", code) as container:
        container.wait_for(log="it ended with 137", timeout=60.0)
        assert container.exec("echo", "alive").text == "alive\n"
        status = container.stop(timeout=0)
    assert (status.signal, status.oom_killed) == (9, True)


def test_memory_of_a_command_is_told_with_what_to_do(box: cl.ContainerRecipe) -> None:
    small = box.limit(memory="16MiB", swap=0)
    with pytest.raises(cl.ExitError, match=r"limit\(memory=") as caught:
        small.run("sh", "-c", EATS)
    assert caught.value.oom_killed
    with pytest.raises(cl.ExitError, match=r"one of its processes .* limit\(memory=") as caught:
        small.run("sh", "-c", f"sh -c '{EATS}'; exit 3")
    assert (caught.value.exit_code, caught.value.oom_killed) == (3, True)


def test_memory_of_one_run_is_not_told_of_the_next(box: cl.ContainerRecipe) -> None:
    code = f"test -e /again && exit 4; touch /again; {EATS}"
    with box.limit(memory="16MiB", swap=0).start("sh", "-c", code) as container:
        assert container.wait(60.0).oom_killed
        container.start()
        status = container.wait(60.0)
    assert (status.exit_code, status.oom_killed) == (4, False)


CLOSES = "exec <&- >&- 2>&-; while [ ! -e /tmp/go ]; do usleep 10000; done; exit 7"


def test_streams_closed_are_no_end(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", CLOSES) as container:
        with pytest.raises(cl.Timeout):
            container.wait(0.2)
        container.exec("touch", "/tmp/go")
        assert container.wait(60.0).exit_code == 7
        assert list(container.logs()) == []
    with box.start("sleep", "1000") as container:
        closes = "exec <&- >&- 2>&-; usleep 200000; exit 7"
        assert container.exec("sh", "-c", closes, check=False).exit_code == 7


def test_streams_held_by_a_child_of_a_container_end_with_it(
    box: cl.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    code = "sleep 1000 & echo x; exit 3"
    assert box.run("sh", "-c", code, check=False, timeout=60.0).stdout == b"x\n"
    for recipe in (box, box.pid("host")):
        with recipe.start("sh", "-c", code) as container:
            assert [record.text for record in container.logs(follow=True)] == ["x"]
            assert container.wait(60.0).exit_code == 3
    left_nothing()


def test_streams_held_by_a_child_of_a_command_are_waited_for_as_long_as_allowed(
    box: cl.ContainerRecipe,
) -> None:
    with box.start("sleep", "1000") as container:
        with pytest.raises(cl.Timeout) as caught:
            container.exec("sh", "-c", "sleep 1000 & echo x", timeout=0.3)
        assert caught.value.log_tail == ("x",)
        assert container.exec("sh", "-c", "sleep 1000 >&- 2>&- & echo x", timeout=60.0).text == "x\n"


@pytest.mark.skipif(
    not Path("/sys/fs/cgroup/freezer").is_dir(), reason="cgroup v2 freezes and kills whole trees"
)
def test_program_that_froze_its_own_child_in_a_group_of_its_own_is_removed_by_force(
    box: cl.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    """Its first process waits for the child's end, which a frozen one does not come to."""
    script = (
        "group=/sys/fs/cgroup/freezer/inner; mkdir $group; sleep 600 & echo $! > $group/cgroup.procs; "
        "echo FROZEN > $group/freezer.state; echo frozen; wait"
    )
    container = box.privileged().start("sh", "-c", script)
    container.wait_for(log="frozen")
    container.remove(force=True)
    left_nothing()
