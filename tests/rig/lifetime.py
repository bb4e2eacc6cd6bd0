"""Containers that go on by themselves: their supervisor, and recipes whose times are a test's.

with quick(box.restart("always")).start("false") as container:
    until(lambda: container.restart_count >= 3)
    os.kill(shim_of(container), signal.SIGKILL)
"""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from containerlib.runtime.supervisor import connect_in
from containerlib.spec.lifecycle import State
from rig import bundles

Script = Callable[[str], "subprocess.Popen[str]"]

if TYPE_CHECKING:
    import containerlib as cl

PATIENCE = 60.0
_CREDENTIALS = struct.Struct("iii")


def quick(recipe: cl.ContainerRecipe, *, pause: float = 0.001) -> cl.ContainerRecipe:
    """Starts again after `pause` seconds, however often it has ended."""
    restart = evolve(recipe.options.restart, pause=pause, longest=pause)
    return evolve(recipe, options=evolve(recipe.options, restart=restart))


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Waits until `condition` is true: for what a supervisor does by and by."""
    bundles.until(lambda: bool(condition()), seconds)


def directory_of(container: cl.Container) -> Path:
    return Path(container.engine.root, "containers", container.id)


def shim_of(container: cl.Container) -> int:
    """The pid of its supervisor, also while nothing runs in it: that of who listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        connect_in(channel, str(directory_of(container)), "shim.sock")
        data = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(data)[0]
    return pid


def supervisor_killed(container: cl.Container, times: int, *, seed: int) -> Iterator[None]:
    """Kills the container's supervisor, at any moment of its life; each time it is for the caller to start it again."""
    moments = random.Random(seed)
    for _ in range(times):
        until(lambda: container.state in (State.RUNNING, State.RESTARTING))
        shim = shim_of(container)
        time.sleep(moments.uniform(0, 0.05))
        os.kill(shim, signal.SIGKILL)
        until(lambda: container.state is State.STOPPED)
        yield


def descriptors_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def memory_of(pid: int) -> int:
    """KiB that are its own."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise AssertionError("no Pss")


def ticks_of(pid: int) -> int:
    """Processor time, in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def start_and_kill(script: Script, code: str) -> None:
    """Runs `code` in another process, which is killed with -9 when it says so."""
    with script(f"{code}\nprint('started', flush=True)\nimport time; time.sleep(60)") as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "started\n"
        starter.kill()
        starter.wait()
