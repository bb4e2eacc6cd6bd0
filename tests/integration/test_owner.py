"""A container that is not detached ends with its owner, however that one ends."""

from __future__ import annotations

import contextlib
import os
import signal
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen

import pytest

import containerlib as cl

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")
Script = Callable[[str], "Popen[str]"]

STARTS = """
import sys, time
container = box.name("owned").start("sleep", "600")
print(container.exec("sh", "-c", "read line </proc/self/stat; echo ready").text, flush=True)
sys.stdin.readline()
"""


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def processes(text: str) -> list[int]:
    """Processes of this machine whose command line has `text`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if text.encode() in command:
                found.append(int(entry.name))
    return found


def kill_supervisor(pid: int) -> None:
    """Kills the parent of a container's first process."""
    os.kill(int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)


def test_owner_killed_container_dies_and_next_engine_clears_away(
    engine: cl.Engine, script: Script, left_nothing: Callable[[], None]
) -> None:
    with script(STARTS.replace('"600"', '"601.5"')) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        container = engine.containers.get("owned")
        assert processes("601.5") != []
        owner.kill()
        owner.wait()
    wait_until(lambda: processes("601.5") == [])
    wait_until(lambda: container.state is cl.State.STOPPED)
    engine.close()
    left_nothing()


def test_owner_killed_its_containers_are_cleared_away_by_an_engine_that_is_open(
    engine: cl.Engine, script: Script, left_nothing: Callable[[], None]
) -> None:
    assert engine.reconcile() == ()
    with script(STARTS.replace('"600"', '"609.5"')) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        assert engine.reconcile() == ()
        owner.kill()
        owner.wait()
    assert engine.reconcile() == ("owned",)
    assert processes("609.5") == []
    left_nothing()


def test_owner_ended_without_closing_container_dies(
    engine: cl.Engine, script: Script, left_nothing: Callable[[], None]
) -> None:
    with script(STARTS.replace('"600"', '"602.5"')) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        owner.communicate("\n")
    wait_until(lambda: processes("602.5") == [])
    assert engine.prune().containers == ("owned",)
    left_nothing()


def test_owner_killed_during_run_leaves_nothing(
    engine: cl.Engine, script: Script, left_nothing: Callable[[], None]
) -> None:
    with script('box.name("owned").run("sleep", "603.5")') as owner:
        wait_until(lambda: processes("sleep\x00603.5") != [])
        owner.kill()
        owner.wait()
    wait_until(lambda: processes("603.5") == [])
    assert engine.prune().containers == ("owned",)
    left_nothing()


def test_owner_killed_exec_dies_and_container_stays(
    engine: cl.Engine, box: cl.ContainerRecipe, script: Script
) -> None:
    with box.name("kept").start("sleep", "600") as container:
        with script('engine.containers.get("kept").exec("sleep", "604.5")') as caller:
            wait_until(lambda: processes("sleep\x00604.5") != [])
            caller.kill()
            caller.wait()
        wait_until(lambda: processes("604.5") == [])
        assert container.state is cl.State.RUNNING


def test_owner_alive_its_containers_are_left_alone(
    engine: cl.Engine, box: cl.ContainerRecipe, script: Script
) -> None:
    with box.start("sleep", "600") as container:
        with script("print(len(engine.containers.list()), engine.prune().containers)") as other:
            assert other.communicate()[0] == "1 ()\n"
        assert container.state is cl.State.RUNNING


@pytest.mark.parametrize("seed", range(10))
def test_owner_killed_at_any_moment_prune_returns_to_clean(
    engine: cl.Engine, script: Script, left_nothing: Callable[[], None], seed: int
) -> None:
    code = "import sys; print('go', flush=True)\nwhile True: box.run('true')"
    with script(code) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        time.sleep(0.2 + 0.0037 * seed)
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    time.sleep(0.1)
    assert engine.prune().failures == ()
    left_nothing()
    assert engine.container(engine.host_image()).run("echo", "works").text == "works\n"


def test_supervisor_killed_container_dies_and_is_removed(
    engine: cl.Engine, box: cl.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    container = box.start("sleep", "605.5")
    (pid,) = processes("sleep\x00605.5")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(container.wait, 10.0)
        time.sleep(0.1)
        kill_supervisor(pid)
        told_at_once = waiting.result()
    wait_until(lambda: processes("605.5") == [])
    wait_until(lambda: container.state is cl.State.STOPPED)
    assert (told_at_once.exit_code, told_at_once.signal) == (137, 9)
    assert container.wait(1.0) == container.stop() == told_at_once
    container.remove()
    left_nothing()


def test_owner_forked_child_leaves_its_parents_containers(
    engine: cl.Engine, box: cl.ContainerRecipe, script: Script
) -> None:
    code = """
    import os, warnings
    warnings.simplefilter("ignore")
    container = box.name("parents").start("sleep", "606.5")
    child = os.fork()
    if not child:
        assert box.run("echo", "child").text == "child\\n"
        engine.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    print(container.state.value, flush=True)
    engine.close()
    """
    with script(code) as parent:
        assert parent.communicate()[0] == "running\n"
    assert processes("606.5") == []


def test_owner_forked_child_that_leaves_a_block_ends_nothing(box: cl.ContainerRecipe) -> None:
    child = -1
    try:
        with box.start("sleep", "600") as container, container.spawn("sleep", "600") as process:
            if child := os.fork():
                os.waitpid(child, 0)
                assert container.state is cl.State.RUNNING
                assert process.poll() is None
    finally:
        if not child:
            os._exit(0)


def test_owner_killed_while_its_container_is_paused_takes_it_along(
    engine: cl.Engine, script: Script, left_nothing: Callable[[], None]
) -> None:
    code = STARTS.replace('"600"', '"603.5"').replace(
        "sys.stdin", "container.pause(); print(1, flush=True); sys.stdin"
    )
    with script(code) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        assert owner.stdout.readline() == "\n"
        assert owner.stdout.readline() == "1\n"
        assert engine.containers.get("owned").state is cl.State.PAUSED
        owner.kill()
    wait_until(lambda: not processes("603.5"))
    engine.prune()
    left_nothing()


ENDINGS = {
    "killed with many threads": """
        import threading
        for n in range(16):
            threading.Thread(target=lambda: box.run("sleep", "607.5"), daemon=True).start()
            threading.Thread(target=lambda: box.start("sleep", "607.5").wait(), daemon=True).start()
        """,
    "killed in an event loop": """
        import asyncio, threading

        async def one():
            container = await asyncio.to_thread(box.start, "sleep", "607.5")
            await asyncio.to_thread(container.wait)

        async def main():
            await asyncio.gather(*(one() for _ in range(4)))

        threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
        """,
    "killed in the async face": """
        import asyncio, threading
        from containerlib import aio

        async def main():
            async with aio.Engine(engine.root) as own:
                recipe = own.container(own.host_image())
                async with asyncio.TaskGroup() as group:
                    for _ in range(4):
                        group.create_task(recipe.run("sleep", "607.5"))

        threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
        """,
    "killed while its fork lives": """
        import os, time, warnings
        warnings.simplefilter("ignore")
        box.start("sleep", "607.5")
        if not os.fork():
            os.close(0), os.close(1)
            time.sleep(600)
        """,
    "os._exit": 'box.start("sleep", "607.5")\nend = lambda: os._exit(3)',
    "abort": """
        import resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        box.start("sleep", "607.5")
        end = os.abort
        """,
    "an exception": 'box.start("sleep", "607.5")\nend = lambda: 1 / 0',
}
STARTED = {"killed with many threads": 32, "killed in an event loop": 4, "killed in the async face": 4}


@pytest.mark.parametrize("ending", ENDINGS)
def test_owner_however_it_ends_takes_its_containers_along(
    engine: cl.Engine, script: Script, left_nothing: Callable[[], None], ending: str
) -> None:
    code = "import os, sys\nend = None\n" + textwrap.dedent(ENDINGS[ending])
    code += "\nprint(os.getpid(), flush=True)\nsys.stdin.readline()\nend()\n"
    with script(code) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        wait_until(lambda: len(processes("sleep\x00607.5")) == STARTED.get(ending, 1), 60.0)
        forks = [pid for pid in processes("607.5") if "fork" in ending and pid != owner.pid]
        if ending.startswith("killed"):
            owner.kill()
        else:
            owner.communicate("\n")
        owner.wait()
        wait_until(lambda: processes("sleep\x00607.5") == [])
        for fork in forks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(fork, signal.SIGKILL)
    engine.prune()
    left_nothing()


def test_owner_whose_thread_exits_keeps_its_containers(engine: cl.Engine, script: Script) -> None:
    code = """
    import sys, threading
    def start():
        box.name("threads").start("sleep", "608.5")
        sys.exit(3)
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    print(engine.containers.get("threads").exec("echo", "lives").text, flush=True)
    sys.stdin.readline()
    """
    with script(code) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "lives\n"
        assert engine.containers.get("threads").state is cl.State.RUNNING
        owner.communicate("\n")
    wait_until(lambda: processes("608.5") == [])


def test_owner_of_what_was_started_again_is_who_has_started_it(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with box.start("sleep", "600") as container:
        container.stop()
        with cl.Engine(root=engine.root) as other:
            other.containers.get(container.id).start()
            assert container.state is cl.State.RUNNING
        with pytest.raises(cl.NotFound):
            _ = container.state
