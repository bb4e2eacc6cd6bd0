"""The caller's end of the conversation, with a thread at the other end of a socket pair for a shim."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from containerlib._sys.wire import AttachFlag, Kind, Message, Stage, receive, send
from containerlib.errors import Conflict, StageError, Timeout, Unavailable, Unsupported
from containerlib.runtime import connect
from containerlib.runtime.plan import ops
from containerlib.runtime.supervisor import Supervisor, connect_in

PLAN = (ops.chdir("/work", make=False), ops.exec_(["app"], [], "/bin"))
STARTED = Message(Kind.STARTED, (42, 0, 0, 0), (7, 0))
CREATED = Message(Kind.CREATED, (42, 0, 0, 0), (7, 0))
EXITED = Message(Kind.EXITED, (3, 0, 0, 0), (1_000_000_000, 0))
Script = Callable[[socket.socket], None]


class Shim:
    """Answers on its end of a pair by a script, in a thread; what it was told is kept."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.heard: list[Message] = []
        self._threads: list[threading.Thread] = []

    def play(self, script: Script) -> None:
        thread = threading.Thread(target=script, args=(self.theirs,))
        thread.start()
        self._threads.append(thread)

    def answer(self, *replies: Message) -> None:
        """Waits for one message, then says `replies`."""

        def script(channel: socket.socket) -> None:
            received = receive(channel)
            assert received is not None
            self.heard.append(received[0])
            for reply in replies:
                send(channel, reply)

        self.play(script)

    def say(self, *messages: Message) -> None:
        for message in messages:
            send(self.theirs, message)

    def close(self) -> None:
        for thread in self._threads:
            thread.join(10.0)
        self.theirs.close()


@pytest.fixture
def shim() -> Iterator[Shim]:
    shim = Shim()
    yield shim
    shim.close()


@pytest.fixture
def supervisor(shim: Shim, tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(shim.ours, directory=str(tmp_path), plan=PLAN) as supervisor:
        yield supervisor


def test_launched_container_has_the_pid_and_start_time_of_the_report(
    shim: Shim, supervisor: Supervisor
) -> None:
    shim.say(STARTED)
    supervisor.launched()
    assert (supervisor.pid, supervisor.start_time) == (42, 7)


def test_launch_that_failed_in_an_op_names_the_property(shim: Shim, supervisor: Supervisor) -> None:
    shim.say(Message(Kind.FAILED, (Stage.OP, errno.ENOTDIR, 0, 0)))
    with pytest.raises(StageError) as caught:
        supervisor.launched()
    assert (caught.value.stage, caught.value.errno, caught.value.detail) == (
        "chdir",
        errno.ENOTDIR,
        "process.cwd /work",
    )


def test_launch_that_failed_at_the_exec_has_the_exit_code(shim: Shim, supervisor: Supervisor) -> None:
    shim.say(CREATED, Message(Kind.FAILED, (Stage.EXEC, errno.ENOENT, 1, 0)))
    supervisor.launched()
    shim.answer()
    with pytest.raises(StageError) as caught:
        supervisor.start()
    assert caught.value.exit_code == 127


def test_launch_whose_shim_says_nothing_and_ends_is_unavailable(shim: Shim, supervisor: Supervisor) -> None:
    shim.theirs.close()
    with pytest.raises(Unavailable, match="killed"):
        supervisor.launched()


def test_launch_of_a_program_that_has_ended_already_knows_the_end(shim: Shim, supervisor: Supervisor) -> None:
    shim.say(STARTED, EXITED)
    supervisor.launched()
    assert supervisor.wait(0.0).exit_code == 3


def test_launch_with_a_terminal_takes_its_descriptor(shim: Shim, supervisor: Supervisor) -> None:
    read_end, write_end = os.pipe()
    send(shim.theirs, Message(Kind.TERMINAL), [write_end])
    os.close(write_end)
    shim.say(STARTED)
    supervisor.launched()
    assert supervisor.terminal_fd is not None
    os.write(supervisor.terminal_fd, b"x")
    assert os.read(read_end, 1) == b"x"
    supervisor.close()
    assert os.read(read_end, 1) == b"", "closed with the supervisor"
    os.close(read_end)


def test_message_of_another_protocol_version_is_unavailable(shim: Shim, supervisor: Supervisor) -> None:
    data = bytearray(STARTED.pack())
    struct.pack_into("<I", data, 4, 99)
    shim.theirs.send(data)
    with pytest.raises(Unavailable, match="protocol 99"):
        supervisor.launched()


@pytest.mark.parametrize("garbage", [b"x", b"x" * 39, b"x" * 100])
def test_message_of_another_size_is_taken_for_the_end(
    shim: Shim, supervisor: Supervisor, garbage: bytes
) -> None:
    shim.theirs.send(garbage)
    with pytest.raises(Unavailable):
        supervisor.launched()


def test_start_is_asked_for_and_waited_for(shim: Shim, supervisor: Supervisor) -> None:
    shim.answer(STARTED)
    supervisor.start()
    assert [message.kind for message in shim.heard] == [Kind.START]
    assert supervisor.pid == 42


def test_start_that_is_refused_is_a_conflict(shim: Shim, supervisor: Supervisor) -> None:
    shim.answer(Message(Kind.DONE, (errno.EINVAL, 0, 0, 0)))
    with pytest.raises(Conflict):
        supervisor.start()


def test_start_after_the_shims_end_is_a_conflict_that_says_stopped(
    shim: Shim, supervisor: Supervisor
) -> None:
    shim.theirs.close()
    with pytest.raises(Conflict) as caught:
        supervisor.start()
    assert caught.value.state == "stopped"


def test_signal_is_sent_with_its_number_and_reach(shim: Shim, supervisor: Supervisor) -> None:
    shim.answer(Message(Kind.DONE))
    supervisor.signal(15, everyone=True)
    assert (shim.heard[0].kind, shim.heard[0].value[:2]) == (Kind.SIGNAL, (15, 1))


def test_attach_sends_its_pipes_and_takes_standard_input(shim: Shim, supervisor: Supervisor) -> None:
    output, theirs = os.pipe()
    reading, writing = os.pipe()

    def script(channel: socket.socket) -> None:
        received = receive(channel)
        assert received is not None
        message, fds = received
        shim.heard.append(message)
        os.write(fds[0], b"out")
        os.close(fds[0])
        send(channel, Message(Kind.DONE), [writing])
        os.close(writing)

    shim.play(script)
    given = supervisor.attach(stdin=True, stdout=None, stderr=theirs)
    os.close(theirs)
    assert (shim.heard[0].kind, shim.heard[0].value[0]) == (Kind.ATTACH, AttachFlag.STDIN | AttachFlag.STDERR)
    assert os.read(output, 10) == b"out"
    assert given is not None
    os.write(given, b"in")
    assert os.read(reading, 10) == b"in"
    for descriptor in (output, reading, given):
        os.close(descriptor)


def test_attach_to_an_older_shim_is_unsupported(shim: Shim, supervisor: Supervisor) -> None:
    shim.answer(Message(Kind.DONE, (errno.EPROTO, 0, 0, 0)))
    with pytest.raises(Unsupported, match="older containerlib"):
        supervisor.attach(stdin=True, stdout=None, stderr=None)


def test_detach_is_heard_though_another_process_has_the_connection_too(
    shim: Shim, supervisor: Supervisor
) -> None:
    inherited = os.dup(supervisor.fileno())
    supervisor.detach()
    assert receive(shim.theirs) is None
    os.close(inherited)


@pytest.mark.parametrize("code", [errno.ESRCH, errno.EINVAL])
def test_signal_that_is_refused_is_a_conflict(shim: Shim, supervisor: Supervisor, code: int) -> None:
    shim.answer(Message(Kind.DONE, (code, 0, 0, 0)))
    with pytest.raises(Conflict):
        supervisor.signal(15)


def test_signal_that_crosses_the_end_is_a_conflict_and_the_end_is_kept(
    shim: Shim, supervisor: Supervisor
) -> None:
    shim.answer(EXITED)
    with pytest.raises(Conflict):
        supervisor.signal(15)
    assert supervisor.wait(0.0).exit_code == 3


def test_resize_without_a_terminal_is_a_conflict(shim: Shim, supervisor: Supervisor) -> None:
    shim.answer(Message(Kind.DONE, (errno.ENOTTY, 0, 0, 0)))
    with pytest.raises(Conflict):
        supervisor.resize(24, 80)
    assert shim.heard[0].value[:2] == (24, 80)


def test_wait_that_takes_too_long_is_a_timeout(supervisor: Supervisor) -> None:
    started = time.monotonic()
    with pytest.raises(Timeout):
        supervisor.wait(0.1)
    assert 0.09 < time.monotonic() - started < 5.0


def test_wait_after_a_timeout_still_hears_of_the_end(shim: Shim, supervisor: Supervisor) -> None:
    with pytest.raises(Timeout):
        supervisor.wait(0.01)
    shim.say(EXITED)
    assert supervisor.wait(5.0).exit_code == 3


def test_wait_again_has_the_same_answer(shim: Shim, supervisor: Supervisor) -> None:
    shim.say(EXITED)
    assert supervisor.wait() == supervisor.wait()


def test_wait_passes_over_what_it_does_not_ask_for(shim: Shim, supervisor: Supervisor) -> None:
    shim.say(STARTED, Message(Kind.DONE), EXITED)
    assert supervisor.wait(5.0).exit_code == 3


def test_wait_on_a_shim_that_ends_reads_the_record(
    shim: Shim, supervisor: Supervisor, tmp_path: Path
) -> None:
    tmp_path.joinpath("exit").write_bytes(Message(Kind.EXITED, (9, 0, 0, 0), (1, 0)).pack())
    shim.theirs.close()
    assert supervisor.wait(5.0).exit_code == 9


def test_wait_on_a_shim_that_was_killed_says_killed(
    shim: Shim, supervisor: Supervisor, tmp_path: Path
) -> None:
    tmp_path.joinpath("started").write_bytes(STARTED.pack())
    shim.theirs.close()
    assert (supervisor.wait(5.0).exit_code, supervisor.wait(5.0).signal) == (137, 9)


@pytest.mark.parametrize("record", [b"", b"torn", EXITED.pack()[:39]])
def test_record_that_is_torn_counts_as_none(
    shim: Shim, supervisor: Supervisor, tmp_path: Path, record: bytes
) -> None:
    tmp_path.joinpath("exit").write_bytes(record)
    shim.theirs.close()
    with pytest.raises(Unavailable):
        supervisor.wait(5.0)


def test_exit_says_signal_and_oom_kills(shim: Shim, supervisor: Supervisor) -> None:
    shim.say(Message(Kind.EXITED, (137, 9, 2, 0), (1_500_000_000, 0)))
    status = supervisor.wait(5.0)
    assert (status.exit_code, status.signal, status.oom_killed) == (137, 9, True)
    assert status.finished_at is not None
    assert status.finished_at.timestamp() == 1.5


def test_poll_does_not_block_and_knows_the_end_once_it_was_told(shim: Shim, supervisor: Supervisor) -> None:
    assert supervisor.poll() is None
    shim.say(EXITED)
    assert supervisor.poll() is not None


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_descriptors_that_nobody_asked_for_are_closed(shim: Shim, supervisor: Supervisor) -> None:
    before = descriptors()
    send(shim.theirs, STARTED, [0])
    shim.say(EXITED)
    supervisor.wait(5.0)
    assert descriptors() == before


def test_finished_waits_for_the_end_of_file(shim: Shim, supervisor: Supervisor) -> None:
    shim.say(EXITED)
    ended = threading.Event()

    def script(channel: socket.socket) -> None:
        time.sleep(0.1)
        ended.set()
        channel.close()

    shim.play(script)
    supervisor.finished()
    assert ended.is_set()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        directory = os.open(tmp_path, os.O_PATH)
        listener.bind(f"/proc/self/fd/{directory}/shim.sock")
        os.close(directory)
        listener.listen()
        yield listener


def test_connect_without_a_socket_finds_nobody(tmp_path: Path) -> None:
    assert connect(str(tmp_path)) is None


def test_connect_to_the_socket_of_a_dead_shim_finds_nobody(listener: socket.socket, tmp_path: Path) -> None:
    listener.close()
    assert connect(str(tmp_path)) is None


def test_connect_asks_for_the_state_and_for_the_end(listener: socket.socket, tmp_path: Path) -> None:
    heard: list[int] = []

    def script() -> None:
        channel, _ = listener.accept()
        with channel:
            for reply in (STARTED, EXITED):
                received = receive(channel)
                assert received is not None
                heard.append(received[0].kind)
                send(channel, reply)

    thread = threading.Thread(target=script)
    thread.start()
    supervisor = connect(str(tmp_path))
    assert supervisor is not None
    with supervisor:
        assert (supervisor.pid, supervisor.wait(5.0).exit_code) == (42, 3)
    thread.join()
    assert heard == [Kind.STATE, Kind.WAIT]


def test_connect_to_a_shim_that_does_not_answer_is_unavailable(
    listener: socket.socket, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match="stopped"):
        connect(str(tmp_path), patience=0.1)


def test_connect_where_as_many_as_can_be_wait_already_is_unavailable(
    listener: socket.socket, tmp_path: Path
) -> None:
    listener.listen(0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        connect_in(other, str(tmp_path), "shim.sock")
        with pytest.raises(Unavailable, match="stopped"):
            connect(str(tmp_path), patience=0.1)


def test_end_that_was_told_before_the_shim_left_a_request_unread_is_heard(shim: Shim) -> None:
    """The kernel tells of the request first: on a kill of what ends at that moment."""
    with Supervisor(shim.ours) as supervisor:
        send(shim.ours, Message(Kind.SIGNAL, (9, 1, 0, 0)))
        shim.say(EXITED)
        shim.theirs.close()
        assert supervisor.wait(10.0).exit_code == 3
