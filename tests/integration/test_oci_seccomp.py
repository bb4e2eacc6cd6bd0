"""Seccomp filters of every action in real containers, and an agent that judges calls from outside."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import InvalidArgument, StageError
from rig.bundles import Rack

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

NOTIF_RECV, NOTIF_SEND = 0xC0502100, 0xC0182101
NOTIF = struct.Struct("<QIIiIQ6Q")
RESPONSE = struct.Struct("<QqiI")


class Agent:
    """Listens where the runtime is told to, takes one filter's listener and answers its calls with an errno."""

    def __init__(self, path: Path, error: int) -> None:
        self.path = str(path)
        self.states: list[dict[str, Any]] = []
        self.calls: list[tuple[int, int]] = []
        self._error = error
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(self.path)
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            data, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(4))
        self.states.append(json.loads(data))
        fds = array.array("i", ancillary[0][2][:4])
        with open(fds[0], "rb", buffering=0) as listener:
            while True:
                request = bytearray(NOTIF.size)
                try:
                    fcntl.ioctl(listener, NOTIF_RECV, request)
                except OSError:  # nobody has the filter any more
                    return
                call, pid, _, number, _, _, *_ = NOTIF.unpack(request)
                self.calls.append((pid, number))
                fcntl.ioctl(listener, NOTIF_SEND, bytearray(RESPONSE.pack(call, 0, -self._error, 0)))

    def close(self) -> None:
        self._socket.close()
        self._thread.join(10.0)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(tmp_path / "agent.sock", errno.EMLINK)
    yield agent
    agent.close()


def judged(*names: str, listener: str | None = None, **more: Any) -> Any:
    def change(spec: dict[str, Any]) -> None:
        spec["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            **({"listenerPath": listener, "listenerMetadata": "words"} if listener else {}),
            "syscalls": [{"names": list(names), "action": "SCMP_ACT_NOTIFY", **more}],
        }

    return change


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_agent_judges_the_calls_that_it_was_given(rack: Rack, agent: Agent, no_new_privileges: bool) -> None:
    def change(spec: dict[str, Any]) -> None:
        judged("mkdir", "mkdirat", listener=agent.path)(spec)
        spec["process"]["noNewPrivileges"] = no_new_privileges

    container = rack.create("sh", "-c", "mkdir /x; echo went on", change=change)
    pid = container.supervisor.pid
    done = container.finish()
    assert done.text == "went on"
    assert b"Too many links" in done.stderr
    (state,) = agent.states
    assert (state["fds"], state["metadata"], state["pid"]) == (["seccompFd"], "words", pid)
    assert state["state"]["id"] == Path(container.directory).name
    assert (state["state"]["status"], state["state"]["pid"]) == ("creating", pid)
    assert len(agent.calls) == 1


def test_call_that_an_agent_has_received_waits_for_its_word(rack: Rack, agent: Agent) -> None:
    def change(spec: dict[str, Any]) -> None:
        judged("mkdir", "mkdirat", listener=agent.path)(spec)
        spec["linux"]["seccomp"]["flags"] = ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]

    assert b"Too many links" in rack.run("mkdir", "/x", change=change).stderr


def test_agent_that_does_not_listen_fails_the_start(rack: Rack, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="listenerPath"):
        rack.create("true", change=judged("mkdir", listener=str(tmp_path / "nobody.sock")))


def full(path: Path) -> Iterator[socket.socket]:
    """An agent's queue that has no room for another connection."""
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        agent.bind(str(path))
        agent.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                caller = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                caller.setblocking(False)
                caller.connect(str(path))
        yield agent


@pytest.mark.parametrize("agent_does", ["accept nothing", "read nothing"])
def test_agent_that_does_nothing_fails_the_start_in_bounded_time(
    rack: Rack, tmp_path: Path, agent_does: str
) -> None:
    path = tmp_path / "agent.sock"

    def change(spec: dict[str, Any]) -> None:
        judged("mkdir", listener=str(path))(spec)
        if agent_does == "read nothing":  # more than a socket holds
            spec["annotations"] = {"long": "x" * (1 << 20)}

    with contextlib.contextmanager(full)(path) as agent:
        if agent_does == "read nothing":
            agent.listen(100)
        started = time.monotonic()
        with pytest.raises(StageError, match="listenerPath") as caught:
            rack.create("true", change=change)
    assert 1.0 < time.monotonic() - started < 15.0
    assert (caught.value.stage, caught.value.errno) == ("listener", errno.ETIMEDOUT)
    assert "the seccomp agent" in str(caught.value)


def test_call_that_tells_of_an_agents_absence_may_itself_wait_for_one(rack: Rack, tmp_path: Path) -> None:
    """The first process cannot hear that nobody took its filter: recvmsg(2) waits for its judge."""
    with pytest.raises(StageError, match="listenerPath") as caught:
        rack.create("true", change=judged("recvmsg", listener=str(tmp_path / "nobody.sock")))
    assert caught.value.errno == errno.ENOENT


def test_notify_without_an_agent_is_refused(rack: Rack) -> None:
    with pytest.raises(InvalidArgument, match="listenerPath"):
        rack.create("true", change=judged("mkdir"))


def test_notify_of_write_is_refused_since_the_start_would_hang(rack: Rack) -> None:
    with pytest.raises(InvalidArgument, match="write"):
        rack.create("true", change=judged("write", listener="/nobody.sock"))


def test_notify_by_default_is_refused(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/nobody.sock"}

    with pytest.raises(InvalidArgument, match="default"):
        rack.create("true", change=change)


@pytest.mark.parametrize(
    ("action", "more", "code", "text"),
    [
        ("SCMP_ACT_ERRNO", {"errnoRet": errno.EMLINK}, 1, b"Too many links"),
        ("SCMP_ACT_ERRNO", {}, 1, b"not permitted"),
        ("SCMP_ACT_KILL", {}, 159, b""),
        ("SCMP_ACT_KILL_THREAD", {}, 159, b""),
        ("SCMP_ACT_KILL_PROCESS", {}, 159, b""),
        ("SCMP_ACT_TRAP", {}, 159, b""),
        ("SCMP_ACT_TRACE", {}, 1, b"not implemented"),
        ("SCMP_ACT_LOG", {}, 0, b""),
        ("SCMP_ACT_ALLOW", {}, 0, b""),
    ],
)
def test_action_is_what_the_program_meets(
    rack: Rack, action: str, more: dict[str, Any], code: int, text: bytes
) -> None:
    def change(spec: dict[str, Any]) -> None:
        rule = {"names": ["mkdir", "mkdirat"], "action": action, **more}
        spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}

    done = rack.run("mkdir", "/x", change=change)
    assert done.status.exit_code == code
    assert text in done.stderr


@pytest.mark.parametrize(
    "flag", ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]
)
def test_flag_is_taken_by_the_kernel(rack: Rack, flag: str) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "flags": [flag],
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
        }

    assert rack.run("mkdir", "/x", change=change).status.exit_code == 1
