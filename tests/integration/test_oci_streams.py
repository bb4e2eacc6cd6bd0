"""Terminals, sockets and descriptors that the command passes in and out."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rig.bundles import until
from rig.oci import Bundle, Command

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

QUIET: dict[str, Any] = {
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.DEVNULL,
    "stderr": subprocess.DEVNULL,
}


def with_terminal(spec: dict[str, Any]) -> None:
    spec["process"]["terminal"] = True


class Keyboard:
    """A pseudo-terminal that a command has for its own."""

    def __init__(self, rows: int = 40, columns: int = 100) -> None:
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (rows, columns))
        self.seen = b""

    def read_until(self, text: bytes, seconds: float = 15.0) -> bytes:
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.master], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    self.seen += os.read(self.master, 4096)
        found, _, self.seen = self.seen.partition(text)
        return found

    def write(self, text: bytes) -> None:
        os.write(self.master, text)


@pytest.fixture
def keyboard() -> Iterator[Keyboard]:
    keyboard = Keyboard()
    yield keyboard
    os.close(keyboard.master)
    os.close(keyboard.slave)


def on(keyboard: Keyboard) -> dict[str, Any]:
    """The command's streams, and the terminal that controls it."""
    return {
        "stdin": keyboard.slave,
        "stdout": keyboard.slave,
        "stderr": keyboard.slave,
        "start_new_session": True,
    }


# ---- a terminal in the foreground ----


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_terminal_is_the_caller_s(oci: Command, bundle: Bundle, keyboard: Keyboard, verb: str) -> None:
    script = 'stty size; echo ready; read line; echo "<$line>"; exit 5'
    if verb == "exec":
        oci.detach(bundle("sleep", "100"), "c1").ok()
        words = ["exec", "--tty", "c1", "sh", "-c", script]
    else:
        words = ["run", "--bundle", bundle("sh", "-c", script, change=with_terminal), "c1"]
    before = termios.tcgetattr(keyboard.slave)
    with oci.start(*words, **on(keyboard)) as process:
        assert keyboard.read_until(b"ready\r\n") == b"40 100\r\n"
        assert not termios.tcgetattr(keyboard.slave)[3] & termios.ECHO  # raw: the container's terminal echoes
        keyboard.write(b"typed\r")
        assert keyboard.read_until(b"<typed>\r\n") == b"typed\r\n"
        assert process.wait(20) == 5
    assert termios.tcgetattr(keyboard.slave) == before


def test_terminal_follows_the_caller_s_size(oci: Command, bundle: Bundle, keyboard: Keyboard) -> None:
    script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.02; done"
    words = ["run", "--bundle", bundle("sh", "-c", script, change=with_terminal), "c1"]
    with oci.start(*words, **on(keyboard)) as process:
        keyboard.read_until(b"ready\r\n")
        termios.tcsetwinsize(keyboard.slave, (7, 33))
        process.send_signal(signal.SIGWINCH)
        assert keyboard.read_until(b"7 33\r\n") == b""
        assert process.wait(20) == 0


def test_terminal_interrupt_key_is_for_the_container(
    oci: Command, bundle: Bundle, keyboard: Keyboard
) -> None:
    script = "trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.02; done"
    words = ["run", "--bundle", bundle("sh", "-c", script, change=with_terminal), "c1"]
    with oci.start(*words, **on(keyboard)) as process:
        keyboard.read_until(b"ready\r\n")
        keyboard.write(b"\x03")
        keyboard.read_until(b"interrupted\r\n")
        assert process.wait(20) == 3


def test_terminal_output_to_a_pipe_has_plain_newlines(oci: Command, bundle: Bundle) -> None:
    """And all of it: 200 KB are more than a terminal holds."""
    made = bundle("sh", "-c", "seq 30000; test -t 0 && test -t 1 && echo yes", change=with_terminal)
    answer = oci("run", "--bundle", made, "c1")
    assert answer.text == "".join(f"{number}\n" for number in range(1, 30001)) + "yes\n"


# ---- a terminal for somebody else ----


@contextlib.contextmanager
def listening(path: Path, kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, kind) as listener:
        listener.settimeout(20)
        listener.bind(os.path.relpath(path))
        if kind == socket.SOCK_STREAM:
            listener.listen()
        yield listener


def received(listener: socket.socket) -> tuple[bytes, int]:
    """The data and the descriptor of one message."""
    connection, _ = listener.accept()
    with connection:
        data, fds, _, _ = socket.recv_fds(connection, 4096, 1)
    (fd,) = fds
    return data, fd


def test_console_socket_of_create_takes_the_master(oci: Command, bundle: Bundle, tmp_path: Path) -> None:
    made = bundle("sh", "-c", "test -t 0 && echo on a terminal", change=with_terminal)
    with listening(tmp_path / "console") as listener:
        assert oci.create(made, "c1", "--console-socket", str(tmp_path / "console")).status == 0
        data, master = received(listener)
    assert data
    assert os.isatty(master)
    oci("start", "c1").ok()
    seen = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(master, 4096):
            seen += chunk
    os.close(master)
    assert seen == b"on a terminal\r\n"


def test_console_socket_of_a_detached_exec(oci: Command, bundle: Bundle, tmp_path: Path) -> None:
    oci.detach(bundle("sleep", "100"), "c1").ok()
    with listening(tmp_path / "console") as listener:
        words = [
            "exec",
            "-d",
            "-t",
            "--console-socket",
            str(tmp_path / "console"),
            "c1",
            "sh",
            "-c",
            "tty; sleep 1",
        ]
        assert oci.silently(*words).status == 0
        _, master = received(listener)
    assert os.read(master, 100).startswith(b"/dev/")
    os.close(master)


def test_console_socket_nobody_listens_leaves_no_container(
    oci: Command, bundle: Bundle, tmp_path: Path
) -> None:
    answer = oci.create(bundle("sh", change=with_terminal), "c1", "--console-socket", str(tmp_path / "none"))
    assert (answer.status, "does anybody listen there?" in answer.message) == (1, True)
    assert list(oci.root.iterdir()) == []


def test_console_is_needed_where_nobody_stays(oci: Command, bundle: Bundle) -> None:
    answer = oci.create(bundle("sh", change=with_terminal), "c1")
    assert "cannot allocate tty if runc will detach without setting console socket" in answer.message
    answer = oci("run", "--console-socket", "x", "--bundle", bundle("sh"), "c1")
    assert "cannot use console socket if runc will not detach or allocate tty" in answer.message


def test_pidfd_socket_takes_the_process(oci: Command, bundle: Bundle, tmp_path: Path) -> None:
    with listening(tmp_path / "pidfd") as listener:
        oci.create(bundle("sleep", "100"), "c1", "--pidfd-socket", str(tmp_path / "pidfd")).ok()
        _, pidfd = received(listener)
    facts = Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    assert f"Pid:\t{oci.state('c1')['pid']}\n" in facts
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    until(lambda: oci.state("c1")["status"] == "stopped")


# ---- descriptors ----


MOVED = """
import fcntl, os, sys
fds, words = sys.argv[1].split(","), sys.argv[2:]
parked = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in fds]  # above all that may be in the way
for place, fd in enumerate(parked, 3):
    os.dup2(fd, place)
if "LISTEN_FDS" in os.environ:
    os.environ["LISTEN_PID"] = str(os.getpid())
os.closerange(3 + len(fds), 256)
os.execvp(words[0], words)
"""


def with_descriptors(line: Sequence[str], *fds: int, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that is started as systemd does, with `fds` as its descriptors from 3 on."""
    words = [sys.executable, "-c", MOVED, ",".join(map(str, fds)), *line]
    environment = {**os.environ, **environment}
    return subprocess.run(
        words, pass_fds=fds, capture_output=True, text=True, check=False, timeout=30, env=environment
    )


def test_preserved_descriptors_are_the_program_s_from_3_on(oci: Command, bundle: Bundle) -> None:
    (out, end), (other, other_end) = os.pipe(), os.pipe()
    made = bundle("sh", "-c", "echo three >&3; echo four >&4; ls /proc/self/fd | wc -l")
    line = oci.line("run", "--preserve-fds", "2", "--bundle", made, "c1")
    done = with_descriptors(line, end, other_end)
    os.close(end)
    os.close(other_end)
    assert (os.read(out, 100), os.read(other, 100)) == (b"three\n", b"four\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "6\n", "")  # 0 to 4, and ls's own
    os.close(out)
    os.close(other)


def test_preserved_descriptors_of_exec(oci: Command, bundle: Bundle) -> None:
    oci.detach(bundle("sleep", "100"), "c1").ok()
    out, end = os.pipe()
    line = oci.line("exec", "--preserve-fds", "1", "c1", "sh", "-c", "echo three >&3")
    assert with_descriptors(line, end).returncode == 0
    os.close(end)
    assert os.read(out, 100) == b"three\n"
    os.close(out)


def test_preserved_descriptor_that_is_not_open_is_named(oci: Command, bundle: Bundle) -> None:
    """The command has descriptors of its own by then, which are not for the container."""
    answer = oci("run", "--preserve-fds", "3", "--bundle", bundle("true"), "c1")
    assert (answer.status, "unable to stat preserved-fd 1 (of 3)" in answer.message) == (1, True)


def test_sockets_of_systemd_are_passed_with_their_names(oci: Command, bundle: Bundle, tmp_path: Path) -> None:
    made = bundle("sh", "-c", 'echo "$LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES"; readlink /proc/self/fd/3')
    with listening(tmp_path / "web") as web:
        line = oci.line("run", "--bundle", made, "c1")
        done = with_descriptors(line, web.fileno(), LISTEN_FDS="1", LISTEN_FDNAMES="web")
        inode = os.fstat(web.fileno()).st_ino
    assert (done.returncode, done.stdout, done.stderr) == (0, f"1 1 web\nsocket:[{inode}]\n", "")


# ---- systemd's readiness ----


@pytest.fixture
def speaker(busybox_rootfs: Path, tmp_path: Path) -> Path:
    """A program without libraries that says READY=1 to $NOTIFY_SOCKET, for a root that has busybox alone."""
    source = tmp_path / "ready.c"
    source.write_text(
        """
        #include <stdlib.h>
        #include <string.h>
        #include <sys/socket.h>
        #include <sys/un.h>
        #include <unistd.h>
        int main(void) {
            struct sockaddr_un address = {.sun_family = AF_UNIX};
            strncpy(address.sun_path, getenv("NOTIFY_SOCKET"), sizeof address.sun_path - 1);
            int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
            const char *texts[] = {"STATUS=soon", "READY=1"};
            for (int i = 0; i < 2; i++)
                if (sendto(fd, texts[i], strlen(texts[i]), 0, (void *)&address, sizeof address) < 0)
                    return 1;
            pause();
        }
        """
    )
    program = tmp_path / "ready"
    done = subprocess.run(
        ["gcc", "-static", "-o", program, source], check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"no static C library: install libc6-dev ({done.stderr.strip().splitlines()[-1]})")
    return program


@pytest.mark.parametrize("way", ["create and start", "run detached", "run"])
def test_readiness_is_passed_on(
    oci: Command, bundle: Bundle, tmp_path: Path, speaker: Path, way: str
) -> None:
    def add_program(spec: dict[str, Any]) -> None:
        mount = {"destination": "/tmp", "type": "bind", "source": str(tmp_path), "options": ["bind"]}
        spec["mounts"].append(mount)

    made = bundle(f"/tmp/{speaker.name}", change=add_program)
    with listening(tmp_path / "systemd", socket.SOCK_DGRAM) as systemd, contextlib.ExitStack() as stack:
        environment = {"NOTIFY_SOCKET": str(tmp_path / "systemd")}
        if way == "create and start":
            oci.create(made, "c1", env={**os.environ, **environment}).ok()
            words = ["start", "c1"]
        else:
            words = ["run", *(["--detach"] if "detached" in way else []), "--bundle", made, "c1"]
        process = stack.enter_context(oci.start(*words, env={**os.environ, **environment}, **QUIET))
        assert systemd.recv(100) == b"READY=1\n"
        pid = json.loads(oci("state", "c1").text)["pid"]
        assert systemd.recv(100) == f"MAINPID={pid}\n".encode()
        data, fds, _, _ = socket.recv_fds(systemd, 100, 1)
        assert data == b"BARRIER=1"
        if way != "run":
            with pytest.raises(subprocess.TimeoutExpired):  # it waits until systemd has heard it
                process.wait(0.3)
            os.close(fds[0])
            assert process.wait(20) == 0
        else:
            os.close(fds[0])
        oci("delete", "--force", "c1").ok()


def test_readiness_of_a_program_that_ends_before_is_not_waited_for(
    oci: Command, bundle: Bundle, tmp_path: Path
) -> None:
    with listening(tmp_path / "systemd", socket.SOCK_DGRAM):
        environment = {"NOTIFY_SOCKET": str(tmp_path / "systemd")}
        oci.detach(bundle("sleep", "0.2"), "c1", env={**os.environ, **environment}).ok()
