"""Containers of a Jupyter kernel, which is restarted by killing it, end with it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

import containerlib as cl
from rig.belongings import Belongings, check_belongings, supervisors

jupyter_client = pytest.importorskip("jupyter_client")
pytest.importorskip("ipykernel")

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
    # the client's own: ZeroMQ's event loops and sockets that it closes when they are collected
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]

CELL = """
import threading
import containerlib as cl
engine = cl.Engine({root!r})
box = engine.container(engine.host_image())
started = [box.name(f"mine{{n}}").start("sleep", "1000") for n in range(3)]
threading.Thread(target=lambda: box.name("threads").start("sleep", "1000")).start()
process = box.name("spawned").spawn("cat")
kept = box.name("kept").start("sleep", "1000", detach=True)
threading.Thread(target=lambda: box.name("ran").run("sleep", "1000"), daemon=True).start()
"""


class Kernel:
    """A real kernel, and one client of it."""

    def __init__(self, directory: Path) -> None:
        self.manager: Any = jupyter_client.KernelManager(kernel_name="python3", transport="ipc")
        self.manager.connection_file = str(directory / "kernel.json")
        self.manager.ip = str(directory / "kernel")
        self.manager.start_kernel(env={**os.environ, "IPYTHONDIR": str(directory / "ipython")})
        self._client: Any = None
        self.connect()

    def connect(self) -> None:
        if self._client is not None:
            self._client.stop_channels()
        self._client = self.manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=120)

    def run(self, code: str, hear: Callable[[str], object] = lambda _: None) -> str:
        """Runs a cell; what it printed or shows. Fails with the kernel's traceback where the cell does.

        `hear` gets each piece that it prints, while it runs.
        """
        shown: list[str] = []

        def output(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                shown.append(content["text"])
                hear(content["text"])
            elif message["msg_type"] == "execute_result":
                shown.append(content["data"].get("text/html") or content["data"]["text/plain"])

        try:
            reply = self._client.execute_interactive(code, timeout=120, output_hook=output)
        except Empty as error:
            raise AssertionError("the kernel does not answer") from error
        assert reply["content"]["status"] == "ok", "\n".join(reply["content"].get("traceback", ()))
        return "".join(shown)

    def close(self) -> None:
        self._client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path)
    try:
        yield kernel
    finally:
        kernel.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[cl.Engine]:
    with cl.Engine(root=tmp_path / "root") as engine:
        yield engine
        for container in engine.containers.list():
            container.remove(force=True)


def names(engine: cl.Engine) -> set[str]:
    return {container.name for container in engine.containers.list()}


def start_all(engine: cl.Engine, kernel: Kernel) -> None:
    kernel.run(CELL.format(root=engine.root))
    everything = {"mine0", "mine1", "mine2", "threads", "spawned", "kept", "ran"}
    wait_until(lambda: names(engine) == everything and len(Belongings.look(engine).inhabited) == 7)


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize("now", [True, False], ids=["killed", "shut down"])
def test_kernel_restarted_its_containers_end_and_the_detached_one_stays(
    engine: cl.Engine, kernel: Kernel, now: bool
) -> None:
    start_all(engine, kernel)
    kernel.manager.restart_kernel(now=now)
    kernel.connect()
    wait_until(lambda: len(list(supervisors(engine))) == 1)
    code = f"import containerlib as cl; engine = cl.Engine({engine.root!r}); print(len(engine.containers.list()))"
    assert kernel.run(code) == "1\n"  # to open is to reconcile
    assert names(engine) == {"kept"}
    check_belongings(engine)
    assert kernel.run('print(engine.containers.get("kept").exec("echo", "here").text)') == "here\n\n"
    engine.containers.get("kept").remove(force=True)
    check_belongings(engine)
    assert engine.prune().failures == ()


def test_kernel_interrupted_ends_the_run_alone(engine: cl.Engine, kernel: Kernel) -> None:
    kernel.run(f"import containerlib as cl; engine = cl.Engine({engine.root!r})")
    message = kernel._client.execute('engine.container(engine.host_image()).name("ran").run("sleep", "1000")')
    wait_until(lambda: len(Belongings.look(engine).inhabited) == 1)
    kernel.manager.interrupt_kernel()
    reply = kernel._client.get_shell_msg(timeout=60)
    while reply["parent_header"].get("msg_id") != message:
        reply = kernel._client.get_shell_msg(timeout=60)
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert names(engine) == set()
    check_belongings(engine)
    assert kernel.run("print(engine.container(engine.host_image()).run('echo', 'well').text)") == "well\n\n"


def test_notebook_shows_the_output_of_a_long_verb_while_it_runs(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    program = 'echo one; while [ ! -e "$1"/go ]; do sleep 0.02; done; echo two; echo err >&2'
    code = f"""
import containerlib as cl
with cl.Engine({str(tmp_path / "root")!r}) as engine:
    box = engine.container(engine.host_image()).mount({str(tmp_path / "shared")!r}, at="/tmp")
    box.run("sh", "-c", {program!r}, "sh", "/tmp", stream=True, timeout=60.0)
"""
    shown = kernel.run(code, lambda text: (tmp_path / "shared" / "go").touch() if "one" in text else None)
    assert sorted(shown.split()) == ["err", "one", "two"]
