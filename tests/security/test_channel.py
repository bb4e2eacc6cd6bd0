"""What comes over the supervisor's two sockets, from who may connect and from who got hold of the other end."""

from __future__ import annotations

import array
import json
import os
import resource
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from containerlib._sys.native import lib
from containerlib._sys.wire import Kind, Message
from containerlib.errors import StageError
from containerlib.runtime import connect
from containerlib.runtime.lifetime import Lifetime, restart_count, write_policy
from containerlib.runtime.supervisor import connect_in
from containerlib.spec.lifetime import RestartOption
from rig.bundles import Bundled, Rack, shim_of, until
from rig.lifetime import ticks_of
from rig.takeover import take_socket

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

STATE = Message(Kind.STATE).pack()
WRONG_VERSION = STATE[:4] + b"\xff" + STATE[5:]
MOST_OF_THE_KERNEL = 253


@contextmanager
def descriptors(count: int) -> Iterator[list[int]]:
    """Write ends of a pipe, whose read end says when nobody has one of them any more."""
    reader, writer = os.pipe()
    fds = [os.dup(writer) for _ in range(count)]
    os.close(writer)
    yield fds
    for fd in fds:
        os.close(fd)
    with open(reader, "rb", buffering=0) as file:
        until(lambda: select.select([file], [], [], 0)[0])


def open_in(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def send_with(channel: socket.socket, data: bytes, fds: list[int]) -> None:
    channel.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


def caller_of(container: Bundled) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connect_in(channel, container.directory, "shim.sock")
    channel.settimeout(10.0)
    return channel


def answers(container: Bundled) -> bool:
    supervisor = connect(container.directory, patience=10.0)
    if supervisor is None:
        return False
    with supervisor:
        return supervisor.pid == container.supervisor.pid


MESSAGES = [
    pytest.param(b"", 1, id="descriptors without data"),
    pytest.param(b"", 64, id="as many as there is room for, without data"),
    pytest.param(b"", MOST_OF_THE_KERNEL, id="all that the kernel takes, without data"),
    pytest.param(STATE, MOST_OF_THE_KERNEL, id="all that the kernel takes"),
    pytest.param(STATE[:-1], 3, id="a byte too few"),
    pytest.param(STATE + b"\0", 3, id="a byte too many"),
    pytest.param(WRONG_VERSION, 3, id="another version"),
]


@pytest.mark.parametrize(("data", "count"), MESSAGES[:-1])
def test_client_whose_message_is_none_is_let_go_and_leaves_no_descriptor(
    rack: Rack, data: bytes, count: int
) -> None:
    container = rack.create("sleep", "60")
    shim = shim_of(container)
    before = open_in(shim)
    with descriptors(count) as fds, caller_of(container) as channel:
        send_with(channel, data, fds)
        assert channel.recv(100) == b"", "it must be closed"
    until(lambda: open_in(shim) == before)
    assert answers(container)


def test_descriptors_with_a_request_are_closed_and_the_request_is_answered(rack: Rack) -> None:
    container = rack.create("sleep", "60")
    with caller_of(container) as channel:
        with descriptors(64) as fds:
            send_with(channel, STATE, fds)
            answer = Message.unpack(channel.recv(100))
        assert answer is not None
        assert answer.kind == Kind.STARTED


@pytest.mark.parametrize(("data", "count"), MESSAGES)
def test_first_process_whose_message_is_none_is_ended_and_leaves_no_descriptor(
    rack: Rack, data: bytes, count: int
) -> None:
    container = rack.create("sleep", "60", hold=True)
    with take_socket(container.supervisor.pid) as channel, descriptors(count) as fds:
        send_with(channel, data, fds)
        assert container.supervisor.wait(10.0).exit_code != 0


@pytest.mark.parametrize("kind", ["TERMINAL", "CREATED", "REBORN", "HANDOVER", "NONE", "STARTED", "DONE"])
def test_descriptors_that_the_first_process_was_not_to_send_are_closed(rack: Rack, kind: str) -> None:
    """A terminal among them: it would have been served in place of the container's streams, or handed on."""
    container = rack.create("sleep", "60", hold=True)
    shim = shim_of(container)
    before = open_in(shim)
    with take_socket(container.supervisor.pid) as channel:
        os.kill(container.supervisor.pid, signal.SIGSTOP)  # it would take the answers
        for count in (1, 2, 64):
            with descriptors(count) as fds:
                send_with(channel, Message(getattr(lib, f"CLIB_MESSAGE_{kind}")).pack(), fds)
    assert answers(container)
    until(lambda: open_in(shim) == before)


def test_process_of_the_host_does_not_become_the_containers_by_a_word(rack: Rack) -> None:
    """It would be joined by the next exec, and killed with the container."""
    container = rack.create("sleep", "60", hold=True)
    pid = container.supervisor.pid
    with take_socket(pid) as channel:
        channel.send(Message(lib.CLIB_MESSAGE_REBORN, (os.getpid(), 0, 0, 0)).pack())
        assert answers(container)
    container.supervisor.signal(signal.SIGKILL)
    assert container.supervisor.wait(10.0).signal == signal.SIGKILL


def test_supervisor_does_not_wait_for_who_reads_no_answers(rack: Rack) -> None:
    container = rack.create("sleep", "60", hold=True)
    os.kill(container.supervisor.pid, signal.SIGSTOP)
    with take_socket(container.supervisor.pid) as channel:
        channel.setblocking(False)
        request = Message(lib.CLIB_MESSAGE_HANDOVER, (1, 1, -1, 0)).pack()
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            try:
                channel.send(request)
            except BlockingIOError:
                time.sleep(0.01)
        assert answers(container)


def test_supervisor_does_not_wait_for_a_launcher_that_reads_nothing(rack: Rack) -> None:
    """Each run is told to it, and its socket holds some hundreds."""
    container = rack.create("true", hold=True)
    often = RestartOption("always", pause=0.001, longest=0.001)
    write_policy(container.directory, Lifetime(restart=often))
    container.supervisor.start()
    until(lambda: restart_count(container.directory) > 400, seconds=60.0)
    with caller_of(container) as caller:
        caller.send(STATE)
        assert caller.recv(64)


def test_supervisor_without_descriptors_for_those_who_come_is_idle_and_lets_them_in_later(rack: Rack) -> None:
    container = rack.create("sleep", "60")
    shim = shim_of(container)
    _, hard = resource.prlimit(shim, resource.RLIMIT_NOFILE)
    resource.prlimit(shim, resource.RLIMIT_NOFILE, (open_in(shim) + 3, hard))
    with ExitStack() as callers:
        for _ in range(6):
            callers.enter_context(caller_of(container))
        time.sleep(0.2)
        before = ticks_of(shim)
        time.sleep(1.0)
        assert ticks_of(shim) - before < 20
    assert answers(container)


def test_end_of_a_created_process_is_heard_while_another_holds_its_socket(rack: Rack) -> None:
    """Its socket has no end then, and nobody says anything on it."""
    container = rack.create("sleep", "60", hold=True)
    with take_socket(container.supervisor.pid):
        os.kill(container.supervisor.pid, signal.SIGKILL)
        assert container.supervisor.wait(10.0).signal == signal.SIGKILL


def test_end_of_a_process_that_is_being_made_is_heard_while_another_holds_its_socket(
    rack: Rack, tmp_path: Path
) -> None:
    told = tmp_path / "state"
    os.mkfifo(told)
    taken: list[socket.socket] = []

    def take_and_kill() -> None:
        pid = json.loads(told.read_text())["pid"]
        taken.append(take_socket(pid))
        os.kill(pid, signal.SIGKILL)

    def change(spec: dict[str, Any]) -> None:
        hook = {"path": "/bin/sh", "args": ["sh", "-c", f"cat >{told}; sleep 60"]}
        spec["hooks"] = {"createContainer": [hook]}

    attacker = threading.Thread(target=take_and_kill)
    attacker.start()
    with pytest.raises(StageError) as caught:
        rack.create("true", change=change)
    attacker.join(10.0)
    taken[0].close()
    assert caught.value.stage == "lost"
